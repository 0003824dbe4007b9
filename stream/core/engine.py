"""One partition: events and instants in; readings, alerts, changed rows and shares out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np

from stream.core.arrays import Digests, Ints, run_bounds, unique
from stream.core.board import Board
from stream.core.columns import contributions_of, digests_of, dims_of, times_of
from stream.core.dims import Dims, lasting
from stream.core.events import Event
from stream.core.kpis import kpis_over
from stream.core.rows import Evicted, RowKey, StoredRows
from stream.core.rules import Rules
from stream.core.scopes import scope_ids
from stream.core.shares import Shares
from stream.core.tallies import Tallies
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
        self._changed_rows: list[Ints] = []
        self._evicted: list[RowKey[Dims]] = []

    @property
    def is_dirty(self) -> bool:
        """Whether there is state that was not taken yet."""
        return any(map(len, self._changed_rows)) or bool(self._evicted or self._announcements)

    def apply(self, events: Sequence[Event]) -> Applied:
        """Counts a block of events, each at most once ever, whatever was applied before.

        Whether an event is a repeat is asked before whether it is late: a repeat of an accepted
        event is one, however old.
        """
        if not events:
            return Applied(0, 0, [])
        at_ms, digests = times_of(events), digests_of(events)
        minutes = at_ms // MINUTE_MS
        accepted, refused = self._admit(at_ms, minutes, digests)
        duplicates = len(events) - len(accepted) - len(refused)
        if len(accepted) == len(events):
            self._add(events, at_ms, minutes, digests)
        else:
            events = [events[position] for position in accepted]
            self._add(events, at_ms[accepted], minutes[accepted], digests[accepted])
        self.rows.tidy()
        return Applied(len(accepted), duplicates, refused)

    def restore_rows(self, stored: StoredRows[Dims]) -> None:
        """Takes in stored rows. Before the first tick."""
        rows = self.rows.load(stored)
        self._introduce()
        self._buckets_of(rows)
        self._note_teams(rows, stored.latest_ms)
        self.shares.touch(rows)
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
        changed, evicted = unique(self._changed_rows), self._evicted
        self._changed_rows, self._evicted = [], []
        return changed, evicted

    def _tallies(self) -> Tallies:
        """All of a team's agents are here, or its goals would not be."""
        return self.verdicts.tallies()

    def _accepted_span(self) -> tuple[int, float]:
        """The first minute and the last millisecond at which an event is accepted."""
        if self.rules.keep_all or self.now_ms is None:
            return -1, float("inf")
        skew = self.rules.skew_ms
        latest = float("inf") if skew is None else self.now_ms + skew
        return ceil_minute(self.now_ms) - self._retention, latest

    def _admit(
        self, at_ms: Ints, minutes: Ints, digests: Digests
    ) -> tuple[list[int], list[tuple[int, str]]]:
        """The positions of the events that count, and those that are refused, with the reason."""
        low, high = self._accepted_span()
        outside = (minutes < low) | (at_ms > high)
        if not outside.any() and self._are_all_new(minutes, digests):
            return list(range(len(minutes))), []
        accepted: list[int] = []
        refused: list[tuple[int, str]] = []
        seen_in: dict[int, set[int]] = {}
        columns = zip(minutes.tolist(), digests.tolist(), outside.tolist(), strict=True)
        for position, (minute, digest, is_outside) in enumerate(columns):
            seen = seen_in.get(minute)
            if seen is None:
                seen = seen_in[minute] = self.rows.ids_in(minute)
            if digest in seen:
                continue
            if is_outside:
                refused.append((position, LATE if minute < low else EARLY))
            else:
                seen.add(digest)
                accepted.append(position)
        return accepted, refused

    def _are_all_new(self, minutes: Ints, digests: Digests) -> bool:
        """Whether none of these is a repeat; they have then been seen. Minute by minute: faster."""
        order = np.argsort(minutes, kind="stable")
        ordered, ids = minutes[order], digests[order].tolist()
        found = []
        for start, end in run_bounds(ordered):
            seen, new = self.rows.ids_in(int(ordered[start])), set(ids[start:end])
            if len(new) < end - start or not seen.isdisjoint(new):
                return False
            found.append((seen, new))
        for seen, new in found:
            seen.update(new)
        return True

    def _add(self, events: Sequence[Event], at_ms: Ints, minutes: Ints, digests: Digests) -> None:
        """Adds what a block contributes to rows and sums, all at once."""
        if not events:
            return
        named = dims_of(events)
        self.unattributed += list(map(itemgetter(0), named)).count(None)
        dims = self.rows.numbers(named, lasting)
        absorbed = self.rows.absorb(minutes, dims, digests, at_ms)
        self._count(absorbed.rows, absorbed.sums(contributions_of(events, self.rules.thresholds)))
        self._note_teams(absorbed.rows, self.rows.latest_ms[absorbed.rows])
        self._changed_rows.append(absorbed.rows)
        self.shares.touch(absorbed.rows)

    def _note_teams(self, rows: Ints, latest_ms: Ints) -> None:
        """In which team, and where, agents were last seen."""
        if "agent" in self.tables:
            self.tables["agent"].note_teams(self.rows.dims_index[rows], latest_ms)

    def _join(self, indices: Sequence[int], dims: Sequence[Dims]) -> None:
        super()._join(indices, dims)
        self.shares.join(indices, dims)
        if "agent" in self.tables:
            self.tables["agent"].teams.join(indices, [(of.team, of.site) for of in dims])

    def _leave(self, index: int) -> None:
        self.shares.leave(index)
        if "agent" in self.tables:
            self.tables["agent"].teams.leave(index)
        super()._leave(index)

    def _forget(self, evicted: Evicted[Dims]) -> None:
        changed = unique(self._changed_rows)
        self._changed_rows = [changed[~np.isin(changed, evicted.rows)]]
        self._evicted += evicted.keys
        self.shares.forget(evicted.rows)
