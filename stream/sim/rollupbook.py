"""What sources have told the rollups, and whose part of a figure is stale, by the written rules.

A part without news for ten seconds, by the clock of the worker that adds it up, is included as it
was and nobody is judged by it; nor where it came back and has not reached the minute with which
windows end, since these never go back. Now is where the slowest of the others has come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, Final

from stream.sim.counting import MINUTE, Fields, up
from stream.sim.view import Tallies, added_up, expect
from stream.sim.witness import Frozen

STALE_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Report:
    """What a source has told the rollups, and how many of its accepted events that includes."""

    offset: int
    source: int
    sequence: int
    as_of: int
    offsets: dict[str, int]
    count: int
    tallies: Tallies

    @property
    def part(self) -> dict[str, Any]:
        """As readings name it."""
        return {"partition": self.source, "as_of": iso(self.as_of), "offsets": self.offsets}


@dataclass(frozen=True, slots=True)
class Combined:
    """The parts of a partition of the scopes at an instant, by source; some may be `stale`."""

    reports: Sequence[Report]
    stale: list[int]
    is_complete: bool

    @property
    def is_held(self) -> bool:
        """Whether verdicts have to stay as they are."""
        return bool(self.stale) or not self.is_complete

    @property
    def origin(self) -> dict[str, Any]:
        """What readings say of it."""
        parts = [report.part for report in self.reports]
        as_of = min((part["as_of"] for part in parts), default=None)
        return {"parts": parts, "as_of": as_of, "stale": self.stale}

    @property
    def tallies(self) -> Tallies:
        """Those that its sources told."""
        return added_up(report.tallies for report in self.reports)

    def events(self, accepted: Sequence[Iterable[Fields]]) -> list[Fields]:
        """Of the accepted events of all sources, those that are included."""
        parts = (islice(accepted[report.source], report.count) for report in self.reports)
        return [*chain.from_iterable(parts)]


class RollupBook:
    """What was told to each partition of the scopes."""

    def __init__(self, partitions: int) -> None:
        """Nothing yet."""
        self._partitions = partitions
        self._told: dict[int, list[Report]] = {number: [] for number in range(partitions)}

    def note(self, number: int, report: Report) -> None:
        """A report has become visible."""
        self._told[number].append(report)

    def combined(self, number: int, end: int, now: int, frozen: Frozen) -> Combined:
        """What a stage that has read up to `end` adds up."""
        latest = {r.source: r for r in self._told[number] if r.offset < end}
        reports = [latest[source] for source in sorted(latest)]
        stale = [r.source for r in reports if _is_stale(r, now, frozen.wall_ms)]
        return Combined(reports, stale, len(reports) == self._partitions)


def judge_now(combined: Combined, before: int, now: int, frozen: Frozen) -> None:
    """Now is where the slowest live source has come, or where it was, within that minute."""
    known = [report.as_of for report in combined.reports]
    live = [r.as_of for r in combined.reports if r.source not in combined.stale]
    due = min(live, default=frozen.wall_ms - STALE_MS)
    expect(now >= due, f"now is {now}, its live sources have come to {due}")
    ends = up(due, MINUTE) if live else max(before, due, *known)
    expect(now <= ends, f"now is {now}, no further than {ends} has any live source come")


def iso(at_ms: int) -> str:
    """An instant as readings write it."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _is_stale(report: Report, now: int, wall: int) -> bool:
    return wall - report.as_of > STALE_MS or up(report.as_of, MINUTE) < up(now, MINUTE)
