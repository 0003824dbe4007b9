"""What one partition adds to the scopes that other partitions add to as well.

A team's or a queue's contacts lie on many partitions. Each publishes the *absolute* sums of its
minutes that changed, never a window's: windows expire with time, and partitions would be cut at
different instants. An absolute sum may be read again, in any order after its predecessors, and
counts once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np

from stream.core.arrays import Ints, roomy, summed, unique
from stream.core.dims import Dims
from stream.core.kpis import ScopeKind
from stream.core.measures import COLUMNS
from stream.core.numbers import Numbers
from stream.core.rows import RowStore
from stream.core.scopes import NOBODY, column_groups, scope_ids

_FIRST_CAPACITY: Final = 256
_MINUTE_BITS: Final = 32
_MINUTE_MASK: Final = (1 << _MINUTE_BITS) - 1
_BLOCKS_MAX: Final = 1_000
# What shared scopes ask of dimensions.
_ALIKE: Final = attrgetter("site", "team", "queue", "channel", "campaign")


class ScopeName(NamedTuple):
    """One scope: its kind and its id."""

    kind: ScopeKind
    scope_id: str


class SharePlace(NamedTuple):
    """A minute of a scope."""

    scope: ScopeName
    minute: int


class Shares:
    """Which scopes' minutes have changed in one partition's rows, and their sums on demand.

    Summed when told and not as events come: a partition that catches up tells nothing, and of
    one that is live only the last few minutes change.
    """

    def __init__(
        self, rows: RowStore[Dims], kinds: Sequence[ScopeKind], queue_teams: Mapping[str, str]
    ) -> None:
        """Nothing has changed yet, of scopes of these kinds over these rows."""
        self._store = rows
        self._kinds = kinds
        self._ids_of = [partial(scope_ids, kind, queue_teams) for kind in kinds]
        groups = [
            (2 * number + group, columns)
            for number, kind in enumerate(kinds)
            for group, columns in column_groups(kind)
        ]
        # Of each group its place among those that a row names, and its columns.
        self._named: list[int] = [place for place, _ in groups]
        self._columns = [columns for _, columns in groups]
        self._codes: Numbers[ScopeName] = Numbers(reserved=1)
        self._shared: Numbers[tuple[str | None, ...]] = Numbers(reserved=1)
        self._shared_of_dims: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._by_shared: Ints = np.zeros((_FIRST_CAPACITY, len(kinds), 2), dtype=np.int64)
        self._touched: list[Ints] = []
        self._gone: set[SharePlace] = set()

    @property
    def has_changed(self) -> bool:
        """Whether there is a sum that was not taken yet."""
        return bool(self._touched)

    def join(self, indices: Sequence[int], dims: Sequence[Dims]) -> None:
        """Makes known what the dimensions with these indices count for.

        Many of them differ by what no shared scope asks for, and count for the same.
        """
        if not self._kinds:
            return
        self._shared_of_dims = roomy(self._shared_of_dims, max(indices))
        alike = list(map(_ALIKE, dims))
        known = self._shared.of
        new = {names: of for names, of in zip(alike, dims, strict=True) if names not in known}
        self._shared_of_dims[indices] = self._shared.hold_all(alike)
        if new:
            self._join_shared([known[names] for names in new], list(new.values()))

    def _join_shared(self, shared: list[int], dims: list[Dims]) -> None:
        self._by_shared = roomy(self._by_shared, max(shared))
        for number, kind in enumerate(self._kinds):
            for group, names in enumerate(self._ids_of[number](dims)):
                scopes = [None if name is None else ScopeName(kind, name) for name in names]
                self._by_shared[shared, number, group] = self._codes.hold_all(scopes)

    def leave(self, index: int) -> None:
        """Undoes `join`, once all minutes with these dimensions are forgotten."""
        if not self._kinds:
            return
        shared = int(self._shared_of_dims[index])
        if not self._shared.let_go(shared):
            return
        self._shared.free(shared)
        for code in self._by_shared[shared].ravel().tolist():
            if code != NOBODY and self._codes.let_go(code):
                self._codes.free(code)
        self._by_shared[shared] = NOBODY

    def touch(self, rows: Ints) -> None:
        """Notes that these rows have changed."""
        if self._kinds:
            self._touched.append(rows)
            if len(self._touched) > _BLOCKS_MAX:
                self._touched = [unique(self._touched)]

    def forget(self, rows: Ints) -> None:
        """Lets the minutes of these rows go, which are all there are of them."""
        keys = np.unique(self._keys(rows)).tolist() if self._kinds else []
        for key in keys:
            if key >> _MINUTE_BITS != NOBODY:
                self._gone.add(self._place(key))

    def untold_minutes(self, at_most: int) -> list[int] | None:
        """The minutes that have changed and were not taken yet; None where they are more."""
        if not self._touched:
            return []
        self._touched = [unique(self._touched)]
        minutes: list[int] = np.unique(self._store.minute[self._touched[0]]).tolist()
        return minutes if len(minutes) <= at_most else None

    def assume_told_except(self, minutes: Collection[int]) -> None:
        """After a restart: what was restored has been told before, but for these minutes."""
        panes = self._store.panes
        rows = [panes[minute].rows for minute in minutes if minute in panes]
        self._touched = [np.concatenate(rows).astype(np.int64)] if rows else []

    def take_gone(self) -> list[SharePlace]:
        """The places that were forgotten since the last call."""
        gone, self._gone = self._gone, set()
        return sorted(gone)

    def take(self, rows_max: int | None) -> tuple[list[SharePlace], Ints]:
        """The changed places with their sums.

        The oldest first, and of so many minutes only that no more than `rows_max` rows are to be
        gone through, or those of one minute.
        """
        touched, rows = self._chosen(rows_max)
        # A place is told whole: a row that changes its work leaves its service to be told, too.
        changed = np.unique(self._keys(touched))
        changed = changed[changed >> _MINUTE_BITS != NOBODY]
        of_rows = self._keys(rows)
        is_changed = np.isin(of_rows, changed)
        keys, found = [], []
        for columns, of_row, there in zip(self._columns, of_rows, is_changed, strict=True):
            if there.any():
                measures = self._store.measures(rows[there], columns)
                of_key, sums = summed(of_row[there], measures)
                keys.append(of_key)
                found.append((of_key, columns, sums))
        every = np.unique(np.concatenate(keys)) if keys else np.zeros(0, dtype=np.int64)
        total = np.zeros((len(every), COLUMNS), dtype=np.int64)
        for of_key, columns, sums in found:
            total[np.searchsorted(every, of_key), columns] += sums
        return [self._place(key) for key in every.tolist()], total

    def _chosen(self, rows_max: int | None) -> tuple[Ints, Ints]:
        """The changed rows that are taken now, and all rows of their minutes."""
        panes = self._store.panes
        touched = unique(self._touched)
        minutes = self._store.minute[touched]
        chosen: list[int] = []
        left = rows_max
        for minute in np.unique(minutes).tolist():
            if minute in panes and (left is None or not chosen or left >= len(panes[minute].rows)):
                chosen.append(minute)
                left = None if left is None else left - len(panes[minute].rows)
            elif minute in panes:
                break
        last = chosen[-1] if chosen else -1
        self._touched = [later] if len(later := touched[minutes > last]) and chosen else []
        rows = [np.array(panes[minute].rows, dtype=np.int64) for minute in chosen]
        return touched[np.isin(minutes, chosen)], np.concatenate(rows or [touched[:0]])

    def _keys(self, rows: Ints) -> Ints:
        """Whom each row counts for, and its minute: [group, row]."""
        codes = self._by_shared[self._shared_of_dims[self._store.dims_index[rows]]]
        of_group = codes.reshape(len(rows), 2 * len(self._kinds)).T[self._named]
        keys: Ints = of_group << _MINUTE_BITS | self._store.minute[rows]
        return keys

    def _place(self, key: int) -> SharePlace:
        scope = self._codes.names[key >> _MINUTE_BITS]
        assert scope is not None, "a scope outlives its minutes"
        return SharePlace(scope, key & _MINUTE_MASK)
