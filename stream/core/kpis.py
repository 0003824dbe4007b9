"""The KPI catalogue: each KPI is data over the additive measures, divided at read time only.

A value is `None` where there is nothing to count from, never 0, and every value comes with its
samples. Sources are named with each definition; where vendors disagree, the variant is named too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.core.measures import COLUMN, Thresholds, base_name

ScopeKind = Literal["agent", "team", "queue", "channel", "campaign", "site"]
SCOPE_KINDS: Final[tuple[ScopeKind, ...]] = (
    "agent",
    "team",
    "queue",
    "channel",
    "campaign",
    "site",
)
SERVICE_SCOPES: Final = frozenset({"team", "queue", "channel", "campaign", "site"})
ALL_SCOPES: Final = frozenset(SCOPE_KINDS)

Unit = Literal["contacts", "surveys", "seconds", "ratio", "points"]
Shape = Literal["count", "rate", "mean", "net"]
Terms = tuple[tuple[str, int], ...]
ColumnTerms = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Kpi:
    """One KPI: `scale × numerator ÷ (denominator × divisor)`, over sums of measures.

    `numerator` and `denominator` are (measure, weight) terms. `shape` says what kind of evidence
    its samples are: a `rate` counts successes among samples and so has a confidence interval.
    """

    name: str
    unit: Unit
    shape: Shape
    direction: Literal["up", "down", "none"]
    numerator: Terms
    denominator: Terms
    formula: str
    purpose: str
    when_missed: str
    source: str
    scopes: frozenset[str] = ALL_SCOPES
    scale: int = 1
    divisor: int = 1
    version: int = 1
    service: bool = False

    @property
    def metric(self) -> str:
        """The Prometheus gauge: the name with its unit last."""
        return f"kpi_{self.name}_{self.unit}" if self.unit != self.name else f"kpi_{self.name}"

    def form(self, kind: str) -> Form:
        """The KPI over the columns that count for scopes of `kind`."""
        suffix = "" if not self.service else ":leg" if kind == "queue" else ":first_leg"
        return Form(
            self,
            tuple((COLUMN[name + suffix], weight) for name, weight in self.numerator),
            tuple((COLUMN[name + suffix], weight) for name, weight in self.denominator),
        )

    def definition(self, thresholds: Thresholds, queue: str | None) -> str:
        """The definition's name and version, with the thresholds that this number used."""
        if not self.service or self.name in {"offered", "answer_time"}:
            return f"{self.name}/{self.version}"
        limits = thresholds.of(queue)
        varied = queue is None and bool(thresholds.by_queue)
        short = f"short<={limits.short_abandon_ms}ms"
        level = f"wait<={limits.answer_ms}ms," if self.name == "service_level" else ""
        per = ",per-queue" if varied else ""
        return f"{self.name}/{self.version}:{level}{short}{per},by-end"


class Form(NamedTuple):
    """A KPI over columns of sums: (column, weight) terms above and below the line."""

    kpi: Kpi
    numerator: ColumnTerms
    denominator: ColumnTerms

    def fraction(self, sums: Sequence[int]) -> tuple[int, int]:
        """The exact numerator and denominator over one scope's sums."""
        return (
            sum(sums[column] * weight for column, weight in self.numerator),
            sum(sums[column] * weight for column, weight in self.denominator),
        )

    def columns_of(
        self, sums: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The same over many scopes at once: `sums` is [scope, column]."""
        return _weighted(sums, self.numerator), _weighted(sums, self.denominator)


def _weighted(sums: npt.NDArray[np.int64], terms: ColumnTerms) -> npt.NDArray[np.int64]:
    total = np.zeros(len(sums), dtype=np.int64)
    for column, weight in terms:
        total += sums[:, column] * weight
    return total


def _sum(*names: str) -> Terms:
    return tuple((name, 1) for name in names)


_CONNECT: Final = "Amazon Connect, metrics definitions"
_COACH: Final = "Compare with the same mix of reasons and channels before coaching."

_WORK_KPIS: Final = (
    Kpi(
        name="handled",
        unit="contacts",
        shape="count",
        direction="none",
        numerator=_sum("handled"),
        denominator=_sum("handled"),
        formula="legs with outcome handled",
        purpose="How much work was done; the weight behind every mean beside it.",
        when_missed="Look at staffing and at what kept agents from taking contacts.",
        source=f"{_CONNECT}: contacts handled",
    ),
    Kpi(
        name="handle_time",
        unit="seconds",
        shape="mean",
        direction="down",
        divisor=1000,
        numerator=_sum("handle_ms"),
        denominator=_sum("talked"),
        formula="Σ (talk + hold + wrap) ÷ handled legs with a talk_ms",
        purpose="The time one contact costs (AHT), for planning before judging.",
        when_missed=_COACH,
        source=f"{_CONNECT}: average handle time",
    ),
    Kpi(
        name="talk_time",
        unit="seconds",
        shape="mean",
        direction="down",
        divisor=1000,
        numerator=_sum("talk_ms"),
        denominator=_sum("talked"),
        formula="Σ talk ÷ handled legs with a talk_ms",
        purpose="The part of handle time spent with the customer.",
        when_missed=_COACH,
        source=f"{_CONNECT}: average agent interaction time",
    ),
    Kpi(
        name="hold_time",
        unit="seconds",
        shape="mean",
        direction="down",
        divisor=1000,
        numerator=_sum("hold_ms"),
        denominator=_sum("hold_known"),
        formula="Σ hold ÷ handled legs with a hold_ms",
        purpose="How long customers wait on hold, over all contacts.",
        when_missed="Find what agents look up or whom they ask while the customer holds.",
        source=f"{_CONNECT}: average customer hold time all contacts",
    ),
    Kpi(
        name="hold_time_held",
        unit="seconds",
        shape="mean",
        direction="down",
        divisor=1000,
        numerator=_sum("hold_ms"),
        denominator=_sum("held"),
        formula="Σ hold ÷ handled legs with hold_ms > 0",
        purpose="How long a hold lasts once it happens.",
        when_missed="Find what agents look up or whom they ask while the customer holds.",
        source=f"{_CONNECT}: average customer hold time",
    ),
    Kpi(
        name="wrap_time",
        unit="seconds",
        shape="mean",
        direction="down",
        divisor=1000,
        numerator=_sum("wrap_ms"),
        denominator=_sum("wrap_known"),
        formula="Σ wrap ÷ handled legs with a wrap_ms",
        purpose="The work that remains after the customer left (ACW).",
        when_missed="Look at the forms and systems that wrap-up goes into.",
        source=f"{_CONNECT}: average after contact work time",
    ),
    Kpi(
        name="transfer_rate",
        unit="ratio",
        shape="rate",
        direction="down",
        numerator=_sum("transferred_by_agent"),
        denominator=_sum("handled"),
        formula="legs transferred by the agent ÷ handled legs",
        purpose="How often a customer has to start again with somebody else.",
        when_missed="Check routing and skills first; then what agents may not decide alone.",
        source=f"{_CONNECT}: contacts transferred out by agent ÷ contacts handled",
    ),
    Kpi(
        name="resolution_rate",
        unit="ratio",
        shape="rate",
        direction="up",
        numerator=_sum("resolved"),
        denominator=_sum("resolved_known"),
        formula="legs coded resolved ÷ legs coded either way",
        purpose="Whether the matter was settled, as the agent coded it (not FCR).",
        when_missed="Read the reasons with the lowest rate: a process usually stands behind.",
        source="Call Centre Helper: agent-coded resolution, distinct from repeat-based FCR",
    ),
    Kpi(
        name="csat",
        unit="ratio",
        shape="rate",
        direction="up",
        numerator=_sum("csat_satisfied"),
        denominator=_sum("csat_answered"),
        formula="answers of 4 or 5 ÷ answers of 1 to 5",
        purpose="The share of answering customers who were satisfied.",
        when_missed="Read the comments of the low answers and group them by cause.",
        source="Top-two-box CSAT: count(4, 5) ÷ responses",
    ),
    Kpi(
        name="csat_mean",
        unit="points",
        shape="mean",
        direction="up",
        numerator=_sum("csat_points"),
        denominator=_sum("csat_answered"),
        formula="Σ csat ÷ answers of 1 to 5",
        purpose="CSAT as a mean, for those who report it so.",
        when_missed="Read the comments of the low answers and group them by cause.",
        source="zykrr, metrics: CSAT as a mean of 1 to 5",
    ),
    Kpi(
        name="nps",
        unit="points",
        shape="net",
        direction="up",
        scale=100,
        numerator=(("nps_promoters", 1), ("nps_detractors", -1)),
        denominator=_sum("nps_answered"),
        formula="100 × (answers of 9, 10 − answers of 0 to 6) ÷ answers of 0 to 10",
        purpose="Loyalty: would customers recommend us.",
        when_missed="Call detractors back; ask what would have to change.",
        source="Net Promoter Score: %(9–10) − %(0–6), −100 … 100",
    ),
    Kpi(
        name="ces",
        unit="points",
        shape="mean",
        direction="up",
        numerator=_sum("ces_points"),
        denominator=_sum("ces_answered"),
        formula="Σ ces ÷ answers of 1 to 7 (7 = easy)",
        purpose="How easy it was for the customer.",
        when_missed="Walk the customer's path for the hardest reason and remove a step.",
        source="Customer Effort Score, mean on 1 to 7, 7 = easy",
    ),
    Kpi(
        name="surveys",
        unit="surveys",
        shape="count",
        direction="none",
        numerator=_sum("surveys"),
        denominator=_sum("surveys"),
        formula="answered surveys",
        purpose="How many customers the satisfaction figures rest on.",
        when_missed="Check that surveys are sent, and on which contacts.",
        source="count of survey records",
    ),
)

_SERVICE_KPIS: Final = (
    Kpi(
        name="offered",
        unit="contacts",
        shape="count",
        direction="none",
        numerator=_sum("offered"),
        denominator=_sum("offered"),
        formula="inbound: handled + abandoned + callback + voicemail + overflowed",
        purpose="What customers asked of us.",
        when_missed="Compare with the forecast.",
        source=f"{_CONNECT}: contacts queued; finished contacts only",
        scopes=SERVICE_SCOPES,
        service=True,
    ),
    Kpi(
        name="service_level",
        unit="ratio",
        shape="rate",
        direction="up",
        numerator=_sum("answered_in_time"),
        denominator=(("answered_waited", 1), ("abandoned_waited", 1), ("abandoned_short", -1)),
        formula="handled with wait ≤ T ÷ (handled + abandoned − short), of those with a wait_ms",
        purpose="The share of callers who were answered in time.",
        when_missed="Move people or callbacks to the queue now; then look at the forecast.",
        source="Genesys Cloud: service level, abandons in, short abandons out",
        scopes=SERVICE_SCOPES,
        service=True,
    ),
    Kpi(
        name="answer_time",
        unit="seconds",
        shape="mean",
        direction="down",
        divisor=1000,
        numerator=_sum("answer_wait_ms"),
        denominator=_sum("answered_waited"),
        formula="Σ wait of handled ÷ handled with a wait_ms",
        purpose="How long answered callers waited (ASA).",
        when_missed="Move people or callbacks to the queue now; then look at the forecast.",
        source=f"{_CONNECT}: average queue answer time (abandons out)",
        scopes=SERVICE_SCOPES,
        service=True,
    ),
    Kpi(
        name="abandon_rate",
        unit="ratio",
        shape="rate",
        direction="down",
        numerator=(("abandoned", 1), ("abandoned_short", -1)),
        denominator=(("offered", 1), ("abandoned_short", -1)),
        formula="(abandoned − short) ÷ (offered − short)",
        purpose="The share of callers who gave up waiting.",
        when_missed="Announce the wait, offer a callback; then look at staffing.",
        source="Talkdesk: abandonment rate with short abandons excluded",
        scopes=SERVICE_SCOPES,
        service=True,
    ),
)

CATALOGUE: Final[Mapping[str, Kpi]] = {kpi.name: kpi for kpi in (*_WORK_KPIS, *_SERVICE_KPIS)}


def kpis_of(kind: str) -> tuple[Kpi, ...]:
    """The KPIs given for scopes of `kind`, in the catalogue's order."""
    return tuple(kpi for kpi in CATALOGUE.values() if kind in kpi.scopes)


def kpis_over(measures: Collection[str]) -> set[str]:
    """The names of the KPIs that are counted from any of these measures (by their ids)."""
    bases = {base_name(measure) for measure in measures}
    return {
        kpi.name
        for kpi in CATALOGUE.values()
        if any(name in bases for name, _ in (*kpi.numerator, *kpi.denominator))
    }


def definitions(kind: str, scope_id: str, thresholds: Thresholds) -> dict[str, str]:
    """The definition that each KPI of this scope is counted by."""
    queue = scope_id if kind == "queue" else None
    return {kpi.name: kpi.definition(thresholds, queue) for kpi in kpis_of(kind)}
