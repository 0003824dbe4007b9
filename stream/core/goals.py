"""Goals as data, and the judgement of one figure against one goal.

A verdict needs evidence: a miss that too few contacts stand behind, or that chance explains, is
`UNPROVEN` and shown with its samples, so that three bad surveys ruin nobody's day.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from statistics import NormalDist
from typing import Final, Literal

from stream.core.kpis import Kpi, ScopeKind
from stream.core.ratios import ratio


class Verdict(IntEnum):
    """What is to be said of a goal; the numbers are those of the `kpi_goal_state` gauge."""

    NO_DATA = 0
    MET = 1
    UNPROVEN = 2
    MISSED = 3

    @property
    def word(self) -> str:
        """The verdict as readings and alerts spell it."""
        return self.name.lower()


Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Target:
    """A bound in the KPI's own unit: `at_least` says on which side the good values lie."""

    at_least: bool
    bound: float

    def holds(self, value: float) -> bool:
        """Whether `value` meets the bound; the bound itself does."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        """The target as one would write it."""
        return f"{'>=' if self.at_least else '<='} {self.bound:.15g}"


_TARGET: Final = re.compile(r"\s*(>=|<=)\s*(.+?)\s*")
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_RANGES: Final = {
    "ratio": (0.0, 1.0),
    "csat_mean": (1.0, 5.0),
    "ces": (1.0, 7.0),
    "nps": (-100.0, 100.0),
}


def parse_target(text: str, kpi: Kpi) -> Target:
    """The target that `text` writes, such as `>= 85%`, `<= 6m30s`, `>= 4.2`.

    Raises:
        ValueError: if it is not a bound, not in the KPI's unit, or out of its range.
    """
    match = _TARGET.fullmatch(text)
    if not match:
        message = f"{text!r}: expected '>=' or '<=' and a value"
        raise ValueError(message)
    bound = _parse_value(match[2], kpi, text)
    low, high = _RANGES.get(kpi.name, _RANGES.get(kpi.unit, (0.0, math.inf)))
    if not (low <= bound <= high and math.isfinite(bound)):
        message = f"{text!r}: {kpi.name} lies between {low:g} and {high:g}"
        raise ValueError(message)
    return Target(match[1] == ">=", bound)


def _parse_value(word: str, kpi: Kpi, text: str) -> float:
    if kpi.unit == "seconds":
        parts = _DURATION.fullmatch(word)
        if parts and any(parts.groups()):
            hours, minutes, seconds = (float(part or 0) for part in parts.groups())
            return hours * 3600 + minutes * 60 + seconds
        message = f"{text!r}: {kpi.name} is a duration; expected one such as '6m30s'"
        raise ValueError(message)
    percent = kpi.unit == "ratio" and word.endswith("%")
    try:
        value = float(word[:-1] if percent else word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        hint = "'85%' or 0.85" if kpi.unit == "ratio" else "a number"
        message = f"{text!r}: {kpi.name} is in {kpi.unit}; expected {hint}"
        raise ValueError(message)
    return value / 100 if percent else value


@dataclass(frozen=True, slots=True)
class Terms:
    """What one person, team or queue is held to: target, hysteresis, amber band, evidence."""

    target: Target
    clear: Target | None = None
    warn: Target | None = None
    min_samples: int = 1


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal. `for_ms` is how long a miss must last; `evidence` a confidence such as 0.9.

    `team` is told where a scope has no team of its own: of a campaign, a channel or a site.
    """

    name: str
    purpose: str
    kpi: Kpi
    scope: ScopeKind
    window: str
    terms: Terms
    what_to_do: str
    for_ms: int = 0
    severity: Severity = "warning"
    evidence: float | None = None
    team: str | None = None
    by_team: Mapping[str, Terms] = field(default_factory=dict)
    by_id: Mapping[str, Terms] = field(default_factory=dict)

    def terms_for(self, scope_id: str, team: str | None) -> Terms:
        """The terms that hold for one scope: its own, else its team's, else everybody's."""
        own = self.by_id.get(scope_id)
        if own is not None:
            return own
        return self.by_team.get(team, self.terms) if team is not None else self.terms


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with what it rests on."""

    verdict: Verdict
    value: float | int | None
    samples: int
    terms: Terms

    @property
    def amber(self) -> bool:
        """Met, but within the warning band."""
        warn = self.terms.warn
        return bool(
            self.verdict is Verdict.MET
            and warn is not None
            and self.value is not None
            and not warn.holds(self.value)
        )

    @property
    def cleared(self) -> bool:
        """Met, and beyond the hysteresis: a firing alert may end."""
        if self.verdict is not Verdict.MET or self.value is None:
            return False
        return self.terms.clear is None or self.terms.clear.holds(self.value)


def judge(goal: Goal, terms: Terms, numerator: int, denominator: int) -> Judgement:
    """The verdict on two exact sums. A rate may need evidence; a mean has `min_samples` only."""
    samples = max(denominator, 0)
    value = ratio(numerator, denominator, goal.kpi)
    if value is None:
        return Judgement(Verdict.NO_DATA, None, samples, terms)
    if terms.target.holds(value):
        return Judgement(Verdict.MET, value, samples, terms)
    proven = samples >= terms.min_samples and _is_significant(goal, terms, numerator, samples)
    return Judgement(Verdict.MISSED if proven else Verdict.UNPROVEN, value, samples, terms)


def _is_significant(goal: Goal, terms: Terms, successes: int, samples: int) -> bool:
    """Whether a missed rate is beyond what chance explains, by a one-sided Wilson bound."""
    if goal.evidence is None or goal.kpi.shape != "rate":
        return True
    low, high = wilson(successes, samples, goal.evidence)
    return high < terms.target.bound if terms.target.at_least else low > terms.target.bound


def wilson(successes: int, samples: int, confidence: float) -> tuple[float, float]:
    """The Wilson score bounds of a rate, each one-sided at `confidence` (0.5 to 1).

    Source: E. B. Wilson, Probable inference, JASA 22 (1927).
    """
    z = NormalDist().inv_cdf(confidence)
    share = successes / samples
    centre = share + z * z / (2 * samples)
    margin = z * math.sqrt(share * (1 - share) / samples + z * z / (4 * samples * samples))
    scale = 1 + z * z / samples
    return (centre - margin) / scale, (centre + margin) / scale
