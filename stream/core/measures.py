"""The additive measures: what one event contributes to the row it belongs to.

Every measure is an integer and additive (counts; milliseconds; points), so that sums are exact,
mergeable in any order and free of drift when a window lets go of a minute. They stand in three
groups of columns. *Work* counts for every scope the event names. *Service* (what callers met)
counts inbound contacts only, once for every leg, for the queue; and once for first legs, for the
scopes above the queue. Definitions: `kpis.py`, which divides them at read time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from stream.core.events import Event, Interaction, Survey

WORK: Final = (
    "legs",
    "handled",
    "talked",
    "handle_ms",
    "talk_ms",
    "hold_known",
    "hold_ms",
    "held",
    "wrap_known",
    "wrap_ms",
    "transferred_by_agent",
    "resolved_known",
    "resolved",
    "surveys",
    "csat_answered",
    "csat_satisfied",
    "csat_points",
    "nps_answered",
    "nps_promoters",
    "nps_detractors",
    "ces_answered",
    "ces_points",
)
SERVICE: Final = (
    "offered",
    "abandoned",
    "abandoned_waited",
    "abandoned_short",
    "answered_waited",
    "answer_wait_ms",
    "answered_in_time",
)
MEASURES: Final = (
    *WORK,
    *(f"{name}:leg" for name in SERVICE),
    *(f"{name}:first_leg" for name in SERVICE),
)
COLUMN: Final[Mapping[str, int]] = {name: column for column, name in enumerate(MEASURES)}
WORK_COLUMNS: Final = len(WORK)
COLUMNS: Final = len(MEASURES)

_THRESHOLD_MEASURES: Final = {"abandoned_short": 1, "answered_in_time": 0}
_OFFERED: Final = frozenset({"handled", "abandoned", "callback", "voicemail", "overflowed"})
_LEG: Final = WORK_COLUMNS
_FIRST_LEG: Final = WORK_COLUMNS + len(SERVICE)

(
    _LEGS,
    _HANDLED,
    _TALKED,
    _HANDLE_MS,
    _TALK_MS,
    _HOLD_KNOWN,
    _HOLD_MS,
    _HELD,
    _WRAP_KNOWN,
    _WRAP_MS,
    _TRANSFERRED,
    _RESOLVED_KNOWN,
    _RESOLVED,
    _SURVEYS,
    _CSAT_ANSWERED,
    _CSAT_SATISFIED,
    _CSAT_POINTS,
    _NPS_ANSWERED,
    _NPS_PROMOTERS,
    _NPS_DETRACTORS,
    _CES_ANSWERED,
    _CES_POINTS,
) = range(WORK_COLUMNS)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A queue's service level thresholds, both inclusive, in milliseconds of waiting."""

    answer_ms: int = 20_000
    short_abandon_ms: int = 5_000


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of every queue: its own, or else the default."""

    default: Threshold = Threshold()
    by_queue: Mapping[str, Threshold] = field(default_factory=dict)

    def of(self, queue: str | None) -> Threshold:
        """The thresholds of `queue`."""
        return self.by_queue.get(queue, self.default) if queue is not None else self.default


def measure_ids(thresholds: Thresholds) -> tuple[str, ...]:
    """The columns' ids, thresholds included: a changed threshold is another measure."""
    return tuple(_measure_id(name, thresholds) for name in MEASURES)


def base_name(measure: str) -> str:
    """A measure id without its leg suffix and thresholds."""
    return measure.partition("<=")[0].partition(":")[0]


def _measure_id(name: str, thresholds: Thresholds) -> str:
    which = _THRESHOLD_MEASURES.get(base_name(name))
    if which is None:
        return name
    own = {queue: _milliseconds(t, which) for queue, t in sorted(thresholds.by_queue.items())}
    differing = {q: ms for q, ms in own.items() if ms != _milliseconds(thresholds.default, which)}
    limits = [f"{_milliseconds(thresholds.default, which)}"]
    limits += [f"{queue}={ms}" for queue, ms in differing.items()]
    return f"{name}<={','.join(limits)}"


def _milliseconds(threshold: Threshold, which: int) -> int:
    return threshold.short_abandon_ms if which else threshold.answer_ms


def contribute(event: Event, thresholds: Thresholds, entries: list[int]) -> None:
    """Appends the event's contributions to `entries`, flat: a column, its value, and so on."""
    if type(event) is Interaction:
        _contribute_work(event, entries)
        if event.direction == "inbound" or event.direction is None:
            _contribute_service(event, thresholds.of(event.queue), entries)
    else:
        _contribute_survey(event, entries)  # type: ignore[arg-type]


def _contribute_work(event: Interaction, entries: list[int]) -> None:
    if event.resolved is not None:
        entries += (_RESOLVED_KNOWN, 1, _RESOLVED, 1) if event.resolved else (_RESOLVED_KNOWN, 1)
    if event.outcome != "handled":
        entries += (_LEGS, 1)
        return
    hold, wrap, talk = event.hold_ms, event.wrap_ms, event.talk_ms
    if talk is None:
        entries += (_LEGS, 1, _HANDLED, 1)
    else:
        handle = talk + (hold or 0) + (wrap or 0)
        entries += (_LEGS, 1, _HANDLED, 1, _TALKED, 1, _HANDLE_MS, handle, _TALK_MS, talk)
    if hold is not None:
        entries += (_HOLD_KNOWN, 1, _HOLD_MS, hold, _HELD, 1) if hold else (_HOLD_KNOWN, 1)
    if wrap is not None:
        entries += (_WRAP_KNOWN, 1, _WRAP_MS, wrap)
    if event.transferred_by == "agent":
        entries += (_TRANSFERRED, 1)


def _contribute_service(event: Interaction, threshold: Threshold, entries: list[int]) -> None:
    outcome, wait = event.outcome, event.wait_ms
    if outcome not in _OFFERED:
        return
    first_leg = event.leg == 1 or event.leg is None
    for base in (_LEG, _FIRST_LEG) if first_leg else (_LEG,):
        entries += (base, 1)
        if outcome == "handled":
            if wait is not None:
                entries += (base + 4, 1, base + 5, wait)
                if wait <= threshold.answer_ms:
                    entries += (base + 6, 1)
        elif outcome == "abandoned":
            entries += (base + 1, 1)
            if wait is not None:
                entries += (base + 2, 1)
                if wait <= threshold.short_abandon_ms:
                    entries += (base + 3, 1)


def _contribute_survey(event: Survey, entries: list[int]) -> None:
    entries += (_SURVEYS, 1)
    if event.csat is not None:
        entries += (_CSAT_ANSWERED, 1, _CSAT_POINTS, event.csat)
        if event.csat >= 4:  # noqa: PLR2004 - top two of five boxes
            entries += (_CSAT_SATISFIED, 1)
    if event.nps is not None:
        entries += (_NPS_ANSWERED, 1)
        if event.nps >= 9:  # noqa: PLR2004 - promoters are 9 and 10
            entries += (_NPS_PROMOTERS, 1)
        elif event.nps <= 6:  # noqa: PLR2004 - detractors are 0 to 6
            entries += (_NPS_DETRACTORS, 1)
    if event.ces is not None:
        entries += (_CES_ANSWERED, 1, _CES_POINTS, event.ces)
