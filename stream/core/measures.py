"""The additive measures: what events contribute to the rows they belong to.

Every measure is an integer and additive (counts; milliseconds; points), so that sums are exact,
mergeable in any order and free of drift when a window lets go of a minute. They stand in three
groups of columns. *Work* counts for every scope the event names. *Service* (what callers met)
counts inbound contacts only, once for every leg, for the queue; and once for first legs, for the
scopes above the queue. What an event adds: `contributions.py`. Definitions: `kpis.py`, which
divides them at read time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

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
