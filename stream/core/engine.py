"""One partition: events and instants in; readings, alerts and changed rows out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from stream.core.alerts import AlertState
from stream.core.buckets import OUTSIDE, Buckets
from stream.core.events import Event, event_time_ms, kind_of
from stream.core.kpis import CATALOGUE, ScopeKind, kpis_over
from stream.core.measures import COLUMNS, contribute
from stream.core.readings import Reading, ReadingKey, Readings
from stream.core.rows import UNPLACED, Ints, RowKey, RowStore, dims_of, event_digest
from stream.core.rules import Rules
from stream.core.scopes import ScopeTable
from stream.core.verdicts import AlertKey, Announcement, Verdicts
from stream.core.windows import MINUTE_MS, ceil_minute, retention_minutes

LATE: Final = "late"
EARLY: Final = "early"


class Applied(NamedTuple):
    """What became of a block: how many counted, how many were repeats, and who was refused."""

    applied: int
    duplicates: int
    refused: list[tuple[int, str]]


class Engine:
    """The state of one partition. Not thread-safe.

    Nothing in it waits, reads a clock or fails on an event that passed validation.
    """

    def __init__(self, rules: Rules) -> None:
        """An empty partition that has not been told the time yet.

        `unattributed` counts the events that counted and name no agent; minutes before `kept_from`
        were forgotten.
        """
        self.rules = rules
        self.now_ms: int | None = None
        self.rows = RowStore()
        self.buckets = Buckets(rules.windows)
        self.tables: dict[ScopeKind, ScopeTable] = {
            kind: ScopeTable(kind, len(rules.windows), rules.queue_teams) for kind in rules.kinds
        }
        names = [window.name for window in rules.windows]
        self.verdicts = Verdicts(rules.goals, self.tables, names)
        self.readings = Readings(rules.windows, self.tables, self.verdicts)
        self._retention = retention_minutes(rules.windows)
        self.kept_from = 0
        self.unattributed = 0
        self._incomplete: set[tuple[int, int]] = set()
        self._known_dims: set[int] = set()
        self._changed_rows: set[int] = set()
        self._evicted: list[RowKey] = []
        self._announcements: list[Announcement] = []

    @property
    def is_dirty(self) -> bool:
        """Whether there is state that was not taken yet."""
        return bool(self._changed_rows or self._evicted or self._announcements)

    def apply(self, events: Sequence[Event]) -> Applied:
        """Counts a block of events, each at most once ever, whatever was applied before.

        Whether an event is a repeat is asked before whether it is late: a repeat of an accepted
        event is one, however old.
        """
        entries: list[int] = []
        touched: list[int] = []
        sizes: list[int] = []
        refused: list[tuple[int, str]] = []
        duplicates = 0
        low, high = self._accepted_span()
        rows, thresholds = self.rows, self.rules.thresholds
        for position, event in enumerate(events):
            at_ms = event_time_ms(event)
            minute = at_ms // MINUTE_MS
            digest = event_digest(kind_of(event), event.event_id)
            if rows.knows(minute, digest):
                duplicates += 1
            elif minute < low:
                refused.append((position, LATE))
            elif at_ms > high:
                refused.append((position, EARLY))
            else:
                self.unattributed += event.agent_id is None
                touched.append(rows.absorb(minute, dims_of(event), digest, at_ms))
                before = len(entries)
                contribute(event, thresholds, entries)
                sizes.append((len(entries) - before) // 2)
        self._add(touched, sizes, entries)
        return Applied(len(touched), duplicates, refused)

    def tick(self, now_ms: int) -> None:
        """Moves now on, never back: windows roll, old minutes go, goals are judged."""
        if self.now_ms is None or now_ms > self.now_ms:
            before, self.now_ms = self.now_ms, now_ms
            self.readings.settling = False
            self._roll(now_ms)
            if before is None or ceil_minute(before) != ceil_minute(now_ms):
                self._evict(ceil_minute(now_ms) - self._retention)
        if self.verdicts.open:
            self._announcements += self.verdicts.judge(self.buckets, self.now_ms)

    def begin_judging(self) -> None:
        """From now on verdicts are given: the partition has caught up."""
        self.verdicts.begin()

    def settle(self) -> None:
        """Makes every reading due that is not of this instant: a replay has come to its end."""
        self.readings.settling = True

    def restore_rows(self, rows: Iterable[tuple[RowKey, int, bytes]], measures: Ints) -> None:
        """Takes in stored rows, with their measures in the same order. Before the first tick."""
        places = [self.rows.load(key, latest_ms, ids) for key, latest_ms, ids in rows]
        if places:
            self.rows.measures[places] = measures
            self._introduce(places)
            self._buckets_of(places)
            self.readings.assume_all_shown()

    def note_new_measures(self, since_ms: Mapping[str, int]) -> None:
        """Leaves KPIs empty where a window begins before all their measures were counted.

        `since_ms` names measures that a changed definition began anew, and when: what was counted
        before lacks them, events ahead of now included, and a ratio over both would be wrong.
        """
        for name in kpis_over(since_ms.keys()):
            starts = [since_ms[m] for m in since_ms if name in kpis_over({m})]
            self._complete_from(name, ceil_minute(max(starts) + (self.rules.skew_ms or 0)))

    def note_forgotten(self, kept_from: int, now_ms: int) -> None:
        """Leaves all KPIs empty over windows that reach back before what was kept.

        That happens where a restart brings a longer window than those that were kept before.
        """
        self.kept_from = kept_from
        if any(window.span(now_ms)[0] < kept_from for window in self.rules.windows):
            for name in CATALOGUE:
                self._complete_from(name, kept_from)

    def _complete_from(self, kpi: str, minute: int) -> None:
        first = max(minute, self.readings.complete_from.get(kpi, 0))
        self.readings.complete_from[kpi] = self.verdicts.complete_from[kpi] = first
        self._incomplete |= {(first, index) for index in range(len(self.rules.windows))}

    def restore_alert(self, key: AlertKey, state: AlertState) -> None:
        """Takes in a stored alert."""
        self.verdicts.restore(key, state)

    def take_rows(self) -> tuple[Ints, list[RowKey]]:
        """The rows changed since the last call, and the keys of those forgotten."""
        changed = np.array(sorted(self._changed_rows), dtype=np.int64)
        evicted, self._evicted = self._evicted, []
        self._changed_rows = set()
        return changed, evicted

    def take_alerts(self) -> tuple[list[Announcement], dict[AlertKey, AlertState | None]]:
        """The transitions since the last call, and the states to store (None: delete)."""
        announcements, self._announcements = self._announcements, []
        changed, self.verdicts.changed = self.verdicts.changed, set()
        return announcements, {key: self.verdicts.state(key) for key in changed}

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

    def _accepted_span(self) -> tuple[int, float]:
        """The first minute and the last millisecond at which an event is accepted."""
        if self.rules.keep_all or self.now_ms is None:
            return -1, float("inf")
        skew = self.rules.skew_ms
        latest = float("inf") if skew is None else self.now_ms + skew
        return ceil_minute(self.now_ms) - self._retention, latest

    def _add(self, touched: list[int], sizes: list[int], entries: list[int]) -> None:
        """Adds a block's contributions to rows and sums, all at once."""
        if not touched:
            return
        store = self.rows
        self._changed_rows.update(touched)
        self._introduce(touched)
        pairs = np.array(entries, dtype=np.int64).reshape(-1, 2)
        column, value = pairs[:, 0], pairs[:, 1]
        rows = np.repeat(np.array(touched, dtype=np.int64), sizes)
        np.add.at(store.measures.reshape(-1), rows * COLUMNS + column, value)
        buckets = self._buckets_of(touched)
        bucket = np.repeat(buckets, sizes)
        inside = bucket != OUTSIDE
        dims = store.dims_index[rows]
        for table in self.tables.values():
            table.add(bucket[inside], dims[inside], column[inside], value[inside])
        self._touch(np.array(touched, dtype=np.int64), buckets)

    def _touch(self, rows: Ints, buckets: Ints) -> None:
        dims = self.rows.dims_index[rows]
        for bucket in np.unique(buckets[buckets != OUTSIDE]).tolist():
            of_bucket = np.unique(dims[buckets == bucket])
            for table in self.tables.values():
                table.touch(of_bucket, self.buckets.masks[bucket])

    def _buckets_of(self, rows: list[int]) -> Ints:
        """Each row's bucket; panes seen for the first time are placed."""
        panes = self.rows.panes
        found: dict[int, int] = {}
        minutes = self.rows.minute[rows].tolist()
        for minute in set(minutes):
            pane = panes[minute]
            if pane.bucket == UNPLACED:
                self.buckets.place(pane)
            found[minute] = pane.bucket
        self._size_tables()
        return np.array([found[minute] for minute in minutes], dtype=np.int64)

    def _roll(self, now_ms: int) -> None:
        """Moves the minutes that passed an edge of a window; renews what is complete again."""
        for source, target, panes in self.buckets.advance(now_ms, self.rows.panes):
            self._move(source, target, [row for pane in panes for row in pane.rows])
        self.buckets.tidy()
        for first, window in list(self._incomplete):
            if first <= self.buckets.spans[window][0]:
                self._incomplete.remove((first, window))
                for table in self.tables.values():
                    table.renew(list(table.slots.values()), np.uint64(1 << window))

    def _move(self, source: int, target: int, rows: list[int]) -> None:
        self._size_tables()
        store, masks = self.rows, self.buckets.masks
        measures, dims = store.measures[rows], store.dims_index[rows]
        for table in self.tables.values():
            table.move(measures, dims, source, target, masks[source] ^ masks[target])

    def _size_tables(self) -> None:
        for table in self.tables.values():
            table.need_buckets(len(self.buckets.masks))

    def _introduce(self, rows: list[int]) -> None:
        """Tells the tables whom new dimensions count for, and where agents were last seen."""
        store = self.rows
        for row in set(rows):
            index = int(store.dims_index[row])
            dims = store.dims[index]
            assert dims is not None, "a live row's dimensions are interned"
            if index not in self._known_dims:
                self._known_dims.add(index)
                for table in self.tables.values():
                    table.join(index, dims)
            if dims.team is not None and dims.agent is not None and "agent" in self.tables:
                self.tables["agent"].note_team(index, dims.team, int(store.latest_ms[row]))

    def _evict(self, horizon: int) -> None:
        """Forgets the minutes before `horizon`; scopes without rows leave with tombstones."""
        if self.rules.keep_all:
            return
        panes, passed = self.rows.panes, range(self.kept_from, horizon)
        self.kept_from = horizon
        if len(passed) < len(panes):
            old = [minute for minute in passed if minute in panes]
        else:
            old = [minute for minute in panes if minute < horizon]
        if not old:
            return
        for minute in old:
            pane = self.rows.panes[minute]
            self._changed_rows.difference_update(pane.rows)
            self.buckets.forget(pane)
        if "agent" in self.tables:
            self.tables["agent"].forget_teams(horizon * MINUTE_MS)
        keys, orphans = self.rows.evict(old)
        self._evicted += keys
        for index in orphans:
            for table in self.tables.values():
                for slot in table.leave(index):
                    self.readings.forget(table, slot)
                    self.verdicts.forget(table, slot)
                    table.free(slot)
            self._known_dims.discard(index)
            self.rows.release_dims(index)
