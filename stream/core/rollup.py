"""Figures of scopes that lie on many partitions: their sources' sums added up.

A *source* is an input partition. It reports: the absolute sums of the minutes that changed, and
the instant and offsets at which they hold. All that a report says becomes visible at once, so
every figure here is the sum of whole states of its sources, each with its own as-of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from stream.core.arrays import Ints
from stream.core.board import Board
from stream.core.kpis import ScopeKind
from stream.core.rules import Rules
from stream.core.scopes import EVERY_WINDOW, IdsOf
from stream.core.shares import SharePlace
from stream.core.tallies import Tallies, added_up
from stream.core.windows import ceil_minute

STALE_AFTER_MS: Final = 10_000


class Part(NamedTuple):
    """What one source adds to one scope; the dimensions of a row here."""

    source: int
    kind: ScopeKind
    scope_id: str


class Report(NamedTuple):
    """A source's state: when it held, and what it includes.

    `offsets`: per input topic, the first offset not included. `complete_from`: the minute from
    which on a KPI is complete, where a definition has changed. `settled`: a replay has ended.
    `kept_from`: the source has forgotten the minutes before. `tallies`: of its agents; None of a
    source that tells none.
    """

    source: int
    as_of_ms: int
    offsets: Mapping[str, int]
    complete_from: Mapping[str, int]
    settled: bool = False
    kept_from: int = 0
    tallies: Tallies | None = None


class Batch(NamedTuple):
    """A report with the sums that changed since the one before: [place, column]."""

    report: Report
    places: list[SharePlace]
    sums: Ints


class Rollup(Board[Part]):
    """One partition of the scopes: which ones follows from their names."""

    def __init__(self, rules: Rules, sources: int) -> None:
        """Nothing is known of any of the sources 0 to `sources` − 1."""
        super().__init__(rules, {kind: _ids_of(kind) for kind in rules.kinds})
        self.sources = range(sources)
        self.reports: dict[int, Report] = {}
        self.stale: list[int] = []
        self._waiting: dict[int, deque[Batch]] = {source: deque() for source in self.sources}

    @property
    def is_complete(self) -> bool:
        """Whether every source has reported."""
        return len(self.reports) == len(self.sources)

    @property
    def as_of_ms(self) -> int:
        """The oldest as-of among the sources; at least one has to have reported."""
        return min(report.as_of_ms for report in self.reports.values())

    @property
    def is_settled(self) -> bool:
        """Whether every source has come to the end of a replay."""
        return self.is_complete and all(report.settled for report in self.reports.values())

    @property
    def lacks_minutes(self) -> bool:
        """Whether a source ahead of now has forgotten minutes that a window still needs.

        So it is after a restart in a replay, until now has come to that source's instant.
        """
        now_ms = self.now_ms or 0
        first = min((window.span(now_ms)[0] for window in self.rules.windows), default=0)
        return not self.is_settled and any(
            report.as_of_ms > now_ms and report.kept_from > first
            for report in self.reports.values()
        )

    def begin_judging(self) -> None:
        """From now on verdicts are given, but for windows that reach back before what was kept."""
        for report in self.reports.values():
            self.note_forgotten(report.kept_from, self.now_ms or 0)
        super().begin_judging()
        if self.is_settled and self.now_ms is not None:
            self.tick(self.now_ms)  # nothing comes after it

    def absorb(self, batch: Batch) -> None:
        """Makes a source's new state visible, whatever its predecessors were."""
        report = batch.report
        self.reports[report.source] = report
        for kpi, minute in report.complete_from.items():
            if minute > self.readings.complete_from.get(kpi, 0):
                self.complete_from(kpi, minute)
        kept = [i for i, place in enumerate(batch.places) if place.minute >= self._swept]
        if kept:
            self._replace(report.source, [batch.places[i] for i in kept], batch.sums[kept])

    def wait_for_others(self, batch: Batch) -> None:
        """Makes states visible instant by instant, each once every source has come to it.

        So a replay judges goals at the files' instants, whichever partition is read faster.
        """
        self._waiting[batch.report.source].append(batch)
        while (now_ms := self._next_instant()) is not None:
            for queue in self._waiting.values():
                while queue and queue[0].report.as_of_ms <= now_ms:
                    self.absorb(queue.popleft())
            self.tick(now_ms)
            if self.is_settled:
                self.settle()

    def roll(self, wall_ms: int) -> None:
        """Moves now to where the slowest live source has come.

        A source that has said nothing for `STALE_AFTER_MS` is included as it was and no longer
        waited for; nobody is judged by it. Coming back it stays stale until it has reached the
        minute that windows end with: they do not go back.
        """
        edge = 0 if self.now_ms is None else ceil_minute(self.now_ms)
        stale = [
            source
            for source, report in sorted(self.reports.items())
            if wall_ms - report.as_of_ms > STALE_AFTER_MS or ceil_minute(report.as_of_ms) < edge
        ]
        live = [r.as_of_ms for source, r in self.reports.items() if source not in stale]
        self.verdicts.held = bool(stale)
        if stale != self.stale:
            self.stale = stale
            for table in self.tables.values():  # so that readers know
                table.urgent[list(table.slots.values())] = EVERY_WINDOW
        self.tick(min(live, default=wall_ms - STALE_AFTER_MS))

    def _tallies(self) -> Tallies | None:
        """Every agent is one source's: their tallies add up."""
        told = [report.tallies for report in self.reports.values()]
        return None if None in told else added_up(each for each in told if each is not None)

    def _next_instant(self) -> int | None:
        """The first that waits, once no source can come with an earlier one."""
        heads = [queue[0].report.as_of_ms for queue in self._waiting.values() if queue]
        now_ms = min(heads, default=None)
        for source, queue in self._waiting.items():
            known = self.reports.get(source)
            if now_ms is not None and not queue and (known is None or known.as_of_ms < now_ms):
                return None
        return now_ms

    def _replace(self, source: int, places: list[SharePlace], sums: Ints) -> None:
        """Puts new absolute sums in place of old ones; each place at most once."""
        minutes = np.array([place.minute for place in places], dtype=np.int64)
        order = np.argsort(minutes, kind="stable")
        parts = [Part(source, *places[at].scope) for at in order.tolist()]
        rows = self.rows.rows_of(minutes[order], self.rows.numbers(parts))
        self._count(rows, sums[order] - self.rows.measures(rows))
        self.rows.tidy()


def _ids_of(kind: ScopeKind) -> IdsOf:
    def ids_of(parts: Sequence[Part]) -> tuple[list[str | None], list[str | None]]:
        names = [part.scope_id if part.kind == kind else None for part in parts]
        return names, names

    return ids_of
