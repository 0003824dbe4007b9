"""An independent model of one partition, written from the definitions and nothing else.

It keeps events as plain dicts and has every KPI counted anew, event by event, whenever it is
asked (`stream/sim/counting.py`, which shares no code with the engine).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from stream.sim.counting import DAY, HOUR, KINDS, MINUTE, Definitions, Fields, Value, latest_teams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["HOUR", "KINDS", "LENGTHS", "MINUTE", "QUEUE_TEAMS", "ZONE", "Auditor", "Fields"]

LENGTHS: Final[Mapping[str, int]] = {
    "15m": 15 * MINUTE,
    "1h": HOUR,
    "8h": 8 * HOUR,
    "today": 26 * HOUR,
    "2d": 2 * DAY,
}
SKEW: Final = 5 * MINUTE
QUEUE_TEAMS: Final = {"q1": "t1"}
ZONE: Final = ZoneInfo("Europe/Berlin")
DEFINITIONS: Final = Definitions(
    LENGTHS,
    ZONE,
    QUEUE_TEAMS,
    answer_ms={"q1": 20_000, "q2": 30_000, None: 20_000},
    short_ms={"q1": 5_000, "q2": 2_000, None: 5_000},
)


class Auditor:
    """What was accepted, and what every KPI therefore is."""

    def __init__(self) -> None:
        """Nothing accepted, no time known."""
        self.now: int | None = None
        self.accepted: dict[tuple[str, str], Fields] = {}

    def tick(self, now: int) -> None:
        """Now goes on and never back; what is older than retention is forgotten."""
        self.now = now if self.now is None else max(self.now, now)
        oldest = self.oldest()
        self.accepted = {key: e for key, e in self.accepted.items() if e["at"] >= oldest}

    def oldest(self) -> int:
        """The first millisecond that is kept."""
        return 0 if self.now is None else DEFINITIONS.oldest(self.now)

    def apply(self, events: Sequence[Fields]) -> tuple[int, int, list[tuple[int, str]]]:
        """How many count and how many repeat, and which are refused and why."""
        applied, repeats, refused = 0, 0, []
        for position, event in enumerate(events):
            key = (event["type"], event["event_id"])
            if key in self.accepted:
                repeats += 1
            elif event["at"] < self.oldest():
                refused.append((position, "late"))
            elif self.now is not None and event["at"] > self.now + SKEW:
                refused.append((position, "early"))
            else:
                self.accepted[key] = event
                applied += 1
        return applied, repeats, refused

    def within(self, window: str) -> list[Fields]:
        """The accepted events that a window holds now."""
        assert self.now is not None, "a window needs an instant"
        low, high = DEFINITIONS.span(window, self.now)
        return [event for event in self.accepted.values() if low <= event["at"] < high]

    def figures(self, kind: str, window: str) -> dict[str, dict[str, Value]]:
        """Every KPI of every scope that has something in the window."""
        groups = DEFINITIONS.grouped(kind, self.within(window))
        return {name: DEFINITIONS.figures(kind, groups, name) for name in groups.names}

    def teams(self) -> dict[str, str]:
        """Each agent's team: that of the latest event kept that names one."""
        return latest_teams(self.accepted.values())
