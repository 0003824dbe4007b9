"""A board of figures: rows by minute, their sums by window and scope, verdicts and readings.

Rows of events (`engine.py`) and rows of other partitions' sums (`rollup.py`) are both summed,
rolled, forgotten, judged and read here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, cast

import numpy as np

from stream.core.alerts import AlertState
from stream.core.arrays import Ints
from stream.core.buckets import OUTSIDE, Buckets
from stream.core.kpis import CATALOGUE, ScopeKind
from stream.core.readings import Reading, ReadingKey, Readings
from stream.core.rows import UNPLACED, D, Evicted, RowStore
from stream.core.rules import Rules
from stream.core.scopes import IdsOf, ScopeTable
from stream.core.tallies import NOBODY, Tallies
from stream.core.verdicts import AlertKey, Announcement, Verdicts
from stream.core.windows import MINUTE_MS, ceil_minute, retention_minutes


class Board(Generic[D]):
    """Rows, and all that follows from them at an instant. Not thread-safe; reads no clock."""

    def __init__(self, rules: Rules, ids_of: Mapping[ScopeKind, IdsOf]) -> None:
        """No rows, and no instant yet. `ids_of`: whom a row counts for, for each kind of scope.

        Minutes before `kept_from` were forgotten.
        """
        self.rules = rules
        self.now_ms: int | None = None
        self.rows: RowStore[D] = RowStore()
        self.buckets = Buckets(rules.windows)
        self.tables = {
            kind: ScopeTable(kind, len(rules.windows), whom, rules.queue_teams)
            for kind, whom in ids_of.items()
        }
        names = [window.name for window in rules.windows]
        self.verdicts = Verdicts(rules.goals, self.tables, names)
        self.readings = Readings(rules.windows, self.tables, self.verdicts)
        self.kept_from = self._swept = 0
        self._retention = retention_minutes(rules.windows)
        self._incomplete: set[tuple[int, int]] = set()
        self._announcements: list[Announcement] = []

    @property
    def has_announcements(self) -> bool:
        """Whether there are transitions that were not taken yet."""
        return bool(self._announcements)

    def tick(self, now_ms: int) -> None:
        """Moves now on, never back: windows roll, old minutes go, goals are judged."""
        if self.now_ms is None or now_ms > self.now_ms:
            before, self.now_ms = self.now_ms, now_ms
            self.readings.settling = False
            self._roll(now_ms, is_first=before is None)
            if before is None or ceil_minute(before) != ceil_minute(now_ms):
                self._evict(ceil_minute(now_ms) - self._retention)
        if self.verdicts.open:
            self._announcements += self._tallied(self.verdicts.judge(self.buckets, self.now_ms))

    def begin_judging(self) -> None:
        """From now on verdicts are given: the partition has caught up."""
        self.verdicts.begin()

    def settle(self) -> None:
        """Makes every reading due that is not of this instant: a replay has come to its end."""
        self.readings.settling = True

    def complete_from(self, kpi: str, minute: int) -> None:
        """Leaves a KPI empty over windows that reach back before `minute`."""
        first = max(minute, self.readings.complete_from.get(kpi, 0))
        self.readings.complete_from[kpi] = self.verdicts.complete_from[kpi] = first
        self._incomplete |= {(first, index) for index in range(len(self.rules.windows))}

    def note_forgotten(self, kept_from: int, now_ms: int) -> None:
        """Leaves all KPIs empty over windows that reach back before what was kept.

        That happens where a restart brings a longer window than those that were kept before, and
        where a source of a rollup has gone on by more than what is kept beyond the windows.
        """
        self.kept_from = max(self.kept_from, kept_from)
        if any(window.span(now_ms)[0] < kept_from for window in self.rules.windows):
            for name in CATALOGUE:
                self.complete_from(name, kept_from)

    def restore_alert(self, key: AlertKey, state: AlertState) -> None:
        """Takes in a stored alert."""
        self.verdicts.restore(key, state)

    def take_alerts(self) -> tuple[list[Announcement], dict[AlertKey, AlertState | None]]:
        """The transitions since the last call, and the states to store (None: delete)."""
        announcements, self._announcements = self._announcements, []
        changed, self.verdicts.changed = self.verdicts.changed, set()
        return announcements, {key: self.verdicts.state(key) for key in sorted(changed)}

    def take_readings(self) -> tuple[list[Reading], list[ReadingKey]]:
        """The readings that are due, and the keys that are gone: those are to be written first."""
        if self.now_ms is None:
            return [], []
        return self.readings.take(self.buckets, self.now_ms)

    def read_all(self, kind: ScopeKind, window: str) -> list[Reading]:
        """A reading of every scope of `kind` that has something in `window`, now."""
        table = self.tables[kind]
        slots = np.array(sorted(table.slots.values()), dtype=np.int64)
        index = [w.name for w in self.rules.windows].index(window)
        assert self.now_ms is not None, "a reading needs an instant"
        readings = self.readings.read(kind, index, slots, self.buckets, self.now_ms)
        return [reading for reading in readings if not reading.empty]

    def _tallies(self) -> Tallies | None:
        """All agents by team and KPI, of KPIs that both have goals on; None if they are unknown."""
        raise NotImplementedError

    def _tallied(self, announcements: list[Announcement]) -> list[Announcement]:
        """With what tells a team's fault from an agent's, once all of them are judged."""
        places = [
            (at, each.key.scope_id, each.goal.kpi.name)
            for at, each in enumerate(announcements)
            if each.goal is not None and each.goal.scope == "team"
        ]
        places = [place for place in places if place[2] in self.verdicts.tallied]
        tallies = self._tallies() if places else None
        if tallies is not None:
            for at, team, kpi in places:
                tally = tallies.get(team, {}).get(kpi, NOBODY)
                announcements[at] = announcements[at]._replace(tally=tally)
        return announcements

    def _forget(self, evicted: Evicted[D]) -> None:
        """Called with the rows of forgotten minutes."""

    def _introduce(self) -> None:
        """Tells the tables whom new dimensions count for."""
        if new := self.rows.take_new_dims():
            self._join(new, cast("list[D]", [self.rows.dims[index] for index in new]))

    def _count(self, rows: Ints, change: Ints) -> None:
        """Adds to the sums of rows, each given once, and of all that they count for."""
        self._introduce()
        self.rows.add(rows, change)
        buckets, dims = self._buckets_of(rows), self.rows.dims_index[rows]
        for bucket in np.unique(buckets[buckets != OUTSIDE]).tolist():
            there = buckets == bucket
            for table in self.tables.values():
                table.move(change[there], dims[there], OUTSIDE, bucket, 0)
                table.touch(dims[there], self.buckets.masks[bucket])

    def _join(self, indices: Sequence[int], dims: Sequence[D]) -> None:
        for table in self.tables.values():
            table.join(indices, dims)

    def _buckets_of(self, rows: Ints) -> Ints:
        """Each row's bucket; panes seen for the first time are placed."""
        minutes, where = np.unique(self.rows.minute[rows], return_inverse=True)
        panes = [self.rows.panes[minute] for minute in minutes.tolist()]
        for pane in panes:
            if pane.bucket == UNPLACED:
                self.buckets.place(pane)
        self._size_tables()
        found: Ints = np.array([pane.bucket for pane in panes], dtype=np.int64)[where]
        return found

    def _roll(self, now_ms: int, *, is_first: bool) -> None:
        """Moves the minutes that passed an edge of a window; renews what is complete again.

        An event that now has come up with is as new to its windows as one that has just come.
        """
        for source, target, panes in self.buckets.advance(now_ms, self.rows.panes):
            rows = np.concatenate([pane.rows for pane in panes])
            self._move(source, target, rows)
            if source == OUTSIDE and not is_first:
                for table in self.tables.values():
                    table.touch(self.rows.dims_index[rows], self.buckets.masks[target])
        self.buckets.tidy()
        for first, window in list(self._incomplete):
            if first <= self.buckets.spans[window][0]:
                self._incomplete.remove((first, window))
                for table in self.tables.values():
                    table.renew(list(table.slots.values()), np.uint64(1 << window))

    def _move(self, source: int, target: int, rows: Ints) -> None:
        self._size_tables()
        store, masks = self.rows, self.buckets.masks
        measures, dims = store.measures(rows), store.dims_index[rows]
        for table in self.tables.values():
            table.move(measures, dims, source, target, masks[source] ^ masks[target])

    def _size_tables(self) -> None:
        for table in self.tables.values():
            table.need_buckets(len(self.buckets.masks))

    def _evict(self, horizon: int) -> None:
        """Forgets the minutes before `horizon`; scopes without rows leave with tombstones."""
        if self.rules.keep_all:
            return
        panes, passed = self.rows.panes, range(self._swept, horizon)
        self._swept, self.kept_from = horizon, max(self.kept_from, horizon)
        if len(passed) < len(panes):
            old = [minute for minute in passed if minute in panes]
        else:
            old = [minute for minute in panes if minute < horizon]
        if not old:
            return
        for minute in old:
            self.buckets.forget(panes[minute])
        if "agent" in self.tables:
            self.tables["agent"].forget_teams(horizon * MINUTE_MS)
        evicted = self.rows.evict(old)
        self._forget(evicted)
        for index in evicted.orphans:
            self._leave(index)

    def _leave(self, index: int) -> None:
        """Lets dimensions without rows go, and the scopes that nothing counts for any more."""
        for table in self.tables.values():
            for slot in table.leave(index):
                self.readings.forget(table, slot)
                self.verdicts.forget(table, slot)
                table.free(slot)
        self.rows.release_dims(index)
