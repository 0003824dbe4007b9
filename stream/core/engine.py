"""One partition: events and instants in; readings, alerts, changed rows and shares out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from stream.core.board import Board
from stream.core.buckets import OUTSIDE
from stream.core.events import Event, event_time_ms, kind_of
from stream.core.kpis import kpis_over
from stream.core.measures import COLUMNS, contribute
from stream.core.rows import Dims, Ints, RowKey, dims_of, event_digest
from stream.core.rules import Rules
from stream.core.scopes import scope_ids
from stream.core.shares import Shares
from stream.core.windows import MINUTE_MS, ceil_minute

LATE: Final = "late"
EARLY: Final = "early"


class Applied(NamedTuple):
    """What became of a block: how many counted, how many were repeats, and who was refused."""

    applied: int
    duplicates: int
    refused: list[tuple[int, str]]


class Engine(Board[Dims]):
    """The state of one partition.

    Nothing in it waits, reads a clock or fails on an event that passed validation.
    """

    def __init__(self, rules: Rules) -> None:
        """An empty partition that has not been told the time yet.

        `unattributed` counts the events that counted and name no agent. `shares`: what it adds
        to the scopes that other partitions add to as well.
        """
        whom = {kind: partial(scope_ids, kind, rules.queue_teams) for kind in rules.kinds}
        super().__init__(rules, whom)
        self.shares = Shares(self.rows, rules.shared_kinds, rules.queue_teams)
        self.unattributed = 0
        self._changed_rows: set[int] = set()
        self._evicted: list[RowKey[Dims]] = []

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

    def restore_rows(self, rows: Iterable[tuple[RowKey[Dims], int, bytes]], measures: Ints) -> None:
        """Takes in stored rows, with their measures in the same order. Before the first tick."""
        places = [self.rows.load(key, latest_ms, ids) for key, latest_ms, ids in rows]
        if places:
            self.rows.measures[places] = measures
            self._introduce(places)
            self._buckets_of(places)
            self.shares.touch(np.array(places, dtype=np.int64))
            self.readings.assume_all_shown()

    def note_new_measures(self, since_ms: Mapping[str, int]) -> None:
        """Leaves KPIs empty where a window begins before all their measures were counted.

        `since_ms` names measures that a changed definition began anew, and when: what was counted
        before lacks them, events ahead of now included, and a ratio over both would be wrong.
        """
        for name in kpis_over(since_ms.keys()):
            starts = [since_ms[m] for m in since_ms if name in kpis_over({m})]
            self.complete_from(name, ceil_minute(max(starts) + (self.rules.skew_ms or 0)))

    def take_rows(self) -> tuple[Ints, list[RowKey[Dims]]]:
        """The rows changed since the last call, and the keys of those forgotten."""
        changed = np.array(sorted(self._changed_rows), dtype=np.int64)
        evicted, self._evicted = self._evicted, []
        self._changed_rows = set()
        return changed, evicted

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
        self.shares.touch(np.array(touched, dtype=np.int64))

    def _introduce(self, rows: list[int]) -> None:
        """Also where agents were last seen."""
        super()._introduce(rows)
        store, agents = self.rows, self.tables.get("agent")
        if agents is None:
            return
        for row in set(rows):
            index = int(store.dims_index[row])
            dims = store.dims[index]
            assert dims is not None, "a live row's dimensions are interned"
            if dims.team is not None and dims.agent is not None:
                agents.note_team(index, dims.team, int(store.latest_ms[row]))

    def _join(self, index: int, dims: Dims) -> None:
        super()._join(index, dims)
        self.shares.join(index, dims)

    def _leave(self, index: int) -> None:
        self.shares.leave(index)
        super()._leave(index)

    def _forget(self, keys: list[RowKey[Dims]], rows: list[int]) -> None:
        self._changed_rows.difference_update(rows)
        self._evicted += keys
        self.shares.forget(np.array(rows, dtype=np.int64))
