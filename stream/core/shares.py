"""What one partition adds to the scopes that other partitions add to as well.

A team's or a queue's contacts lie on many partitions. Each publishes the *absolute* sums of its
minutes that changed, never a window's: windows expire with time, and partitions would be cut at
different instants. An absolute sum may be read again, in any order after its predecessors, and
counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from stream.core.kpis import ScopeKind
from stream.core.measures import COLUMNS
from stream.core.rows import Dims, Ints, grown
from stream.core.scopes import NOBODY, column_groups, scope_ids

_FIRST_CAPACITY: Final = 256
_MINUTE_BITS: Final = 32


class ScopeName(NamedTuple):
    """One scope: its kind and its id."""

    kind: ScopeKind
    scope_id: str


class SharePlace(NamedTuple):
    """A minute of a scope."""

    scope: ScopeName
    minute: int


class Shares:
    """One partition's sums by scope and minute, and which of them nobody has been told yet."""

    def __init__(self, kinds: Sequence[ScopeKind], queue_teams: Mapping[str, str]) -> None:
        """Nothing yet, of scopes of these kinds."""
        self._kinds = kinds
        self._ids_of = [partial(scope_ids, kind, queue_teams) for kind in kinds]
        self._groups = [
            (number, group, columns)
            for number, kind in enumerate(kinds)
            for group, columns in column_groups(kind)
        ]
        # A scope's code is its place in `_scopes`; code 0 is nobody.
        self._scopes: list[ScopeName | None] = [None]
        self._codes: dict[ScopeName, int] = {}
        self._references: list[int] = [1]
        self._free_codes: list[int] = []
        self._by_dims: Ints = np.zeros((_FIRST_CAPACITY, len(kinds), 2), dtype=np.int64)
        self.sums: Ints = np.zeros((_FIRST_CAPACITY, COLUMNS), dtype=np.int64)
        self._places: dict[int, int] = {}
        self._by_minute: dict[int, list[int]] = {}
        self._free: list[int] = []
        self._changed: set[int] = set()
        self._gone: list[SharePlace] = []

    @property
    def has_changed(self) -> bool:
        """Whether there is a sum that was not taken yet."""
        return bool(self._changed or self._gone)

    def join(self, index: int, dims: Dims) -> None:
        """Makes known what the dimensions with `index` count for."""
        if index >= len(self._by_dims):
            self._by_dims = grown(self._by_dims, 2 * max(index, len(self._by_dims)))
        for number, kind in enumerate(self._kinds):
            for group, name in enumerate(self._ids_of[number](dims)):
                code = NOBODY if name is None else self._code(ScopeName(kind, name))
                self._by_dims[index, number, group] = code

    def leave(self, index: int) -> None:
        """Undoes `join`, once all minutes with these dimensions are forgotten."""
        for code in self._by_dims[index].ravel().tolist():
            if code != NOBODY:
                self._references[code] -= 1
                if not self._references[code]:
                    name = self._scopes[code]
                    assert name is not None, "only a named scope is referred to"
                    del self._codes[name]
                    self._scopes[code] = None
                    self._free_codes.append(code)
        self._by_dims[index] = NOBODY

    def add(self, dims: Ints, minutes: Ints, position: Ints, column: Ints, value: Ints) -> None:
        """Adds contributions; each is of the `dims` and `minutes` at its `position`."""
        for number, group, columns in self._groups:
            codes = self._by_dims[dims, number, group]
            keys, which = np.unique(codes << _MINUTE_BITS | minutes, return_inverse=True)
            rows = np.array([self._row(key) for key in keys.tolist()], dtype=np.int64)
            flat = self.sums.reshape(-1)
            inside = (column >= columns.start) & (column < columns.stop)
            of_entry = rows[which[position[inside]]]
            np.add.at(flat, of_entry * COLUMNS + column[inside], value[inside])

    def forget(self, minutes: Iterable[int]) -> None:
        """Lets whole minutes go."""
        for minute in minutes:
            for key in self._by_minute.pop(minute, ()):
                row = self._places.pop(key)
                self._changed.discard(key)
                self._gone.append(self._place(key))
                self.sums[row] = 0
                self._free.append(row)

    def assume_told(self) -> None:
        """After a restart: what was restored has been told before."""
        self._changed.clear()

    def take(self, at_most: int | None) -> tuple[list[SharePlace], Ints, list[SharePlace]]:
        """The changed places with their sums, the oldest first, and the places that are gone."""
        chosen = sorted(self._changed, key=_minute_of)[:at_most]
        self._changed.difference_update(chosen)
        gone, self._gone = self._gone, []
        rows = np.array([self._places[key] for key in chosen], dtype=np.int64)
        return [self._place(key) for key in chosen], self.sums[rows], gone

    def _place(self, key: int) -> SharePlace:
        scope = self._scopes[key >> _MINUTE_BITS]
        assert scope is not None, "a scope outlives its minutes"
        return SharePlace(scope, _minute_of(key))

    def _row(self, key: int) -> int:
        """The row of a scope's minute, changed from now on; row 0 takes what is nobody's."""
        if key >> _MINUTE_BITS == NOBODY:
            return NOBODY
        self._changed.add(key)
        row = self._places.get(key)
        if row is None:
            row = self._free.pop() if self._free else len(self._places) + 1
            if row >= len(self.sums):
                self.sums = grown(self.sums, 2 * len(self.sums))
            self._places[key] = row
            self._by_minute.setdefault(_minute_of(key), []).append(key)
        return row

    def _code(self, name: ScopeName) -> int:
        code = self._codes.get(name)
        if code is None:
            if self._free_codes:
                code = self._free_codes.pop()
                self._scopes[code] = name
            else:
                code = len(self._scopes)
                self._scopes.append(name)
                self._references.append(0)
            self._codes[name] = code
        self._references[code] += 1
        return code


def _minute_of(key: int) -> int:
    return key & ((1 << _MINUTE_BITS) - 1)
