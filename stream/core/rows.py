"""The rows: the truth from which every figure is derived.

A row stands for one minute of one combination of dimensions (agent, site, team, queue, channel,
campaign, product, reason). Its value is the sums of its measures and the ids of the events it
has absorbed, which makes applying an event idempotent: a producer's duplicate, a replay after a
crash and a replay after a rebalance are one case. A duplicate carries the same time, hence the
same minute, so ids are looked up minute by minute.

Rows are places in numpy arrays, and whole blocks pass at a time. There are millions of them, so
that sums are as narrow as they come, and a row's first id has its place in an array.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from stream.core.arrays import Digests, Ints, Narrow, grown, roomy, run_bounds, run_sums, runs
from stream.core.athand import AtHand, Minute
from stream.core.numbers import Numbers
from stream.core.places import Places
from stream.core.rowids import RowIds
from stream.core.sums import Sums

SEGMENT_IDS_MAX: Final = 4_096
UNPLACED: Final = -1
_UNKNOWN: Final = -1
_FIRST_CAPACITY: Final = 1_024
_MINUTE_BITS: Final = 32
_DIMS_MASK: Final = (1 << _MINUTE_BITS) - 1
_BY_ROW: Final = ("dims_index", "minute", "segment", "latest_ms")


@dataclass(slots=True)
class Pane:
    """One minute and its rows."""

    minute: int
    bucket: int = UNPLACED
    rows: array[int] = field(default_factory=lambda: array("i"))


D = TypeVar("D")


class RowKey(NamedTuple, Generic[D]):
    """What identifies a row; a row past `SEGMENT_IDS_MAX` ids goes on in the next segment."""

    minute: int
    segment: int
    dims: D


class StoredRows(NamedTuple, Generic[D]):
    """Rows as they were stored, side by side; `ids`: each row's, `ID_BYTES` for one.

    `dims` has each combination of dimensions once, `dims_at` which of them is a row's.
    """

    minute: Ints
    segment: Ints
    dims: Sequence[D]
    dims_at: Ints
    latest_ms: Ints
    ids: Sequence[bytes]
    measures: Ints


class Absorbed(NamedTuple):
    """Where a block went: `order` brings its events into runs, one for each of `rows`."""

    rows: Ints
    order: Ints
    starts: Ints

    def sums(self, values: Ints) -> Ints:
        """The events' values added up for each of `rows`: [row, column]."""
        return run_sums(values[self.order], self.starts)


class Evicted(NamedTuple, Generic[D]):
    """Forgotten rows, their keys, and the dimensions that no row has any more."""

    rows: Ints
    keys: list[RowKey[D]]
    orphans: list[int]


class RowStore(Generic[D]):
    """Rows by minute and dimensions: `Dims` where they hold events."""

    def __init__(self) -> None:
        """An empty store. `row_ids`: what its rows have absorbed."""
        self.panes: dict[int, Pane] = {}
        self.dims_index: Narrow = np.zeros(_FIRST_CAPACITY, dtype=np.int32)
        self.minute: Narrow = np.zeros(_FIRST_CAPACITY, dtype=np.int32)
        self.segment: npt.NDArray[np.uint16] = np.zeros(_FIRST_CAPACITY, dtype=np.uint16)
        self.latest_ms: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._sums = Sums(_FIRST_CAPACITY)
        self.row_ids = RowIds(_FIRST_CAPACITY)
        self._places = Places()
        self._at_hand = AtHand(self._minute_of)
        self._numbers: Numbers[D] = Numbers()
        self._rows_of_dims: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._new_dims: list[int] = []
        self.dims = self._numbers.names

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._places)

    def numbers(
        self,
        dims: Sequence[D],
        lasting: Callable[[Sequence[D]], Sequence[D]] = lambda dims: dims,
    ) -> Ints:
        """The numbers of combinations of dimensions, to be given to rows at once.

        `lasting` is what is kept of new ones.
        """
        numbers = self._numbers.of
        found = np.array(list(map(numbers.get, dims, repeat(_UNKNOWN))), dtype=np.int64)
        if (unknown := np.flatnonzero(found == _UNKNOWN)).size:
            new = [dims[position] for position in unknown.tolist()]
            self._introduce(lasting([*dict.fromkeys(new)]))
            found[unknown] = list(map(numbers.__getitem__, new))
        return found

    def take_new_dims(self) -> list[int]:
        """The numbers given since the last call."""
        new, self._new_dims = self._new_dims, []
        return new

    def ids_in(self, minute: int) -> set[int]:
        """The ids absorbed in a minute; until `tidy`, the caller adds those that it absorbs."""
        return self._at_hand.get(minute).ids

    def tidy(self) -> None:
        """Once a block is through: lets minutes go that were not used for long."""
        self._at_hand.tidy()

    def catch_up(self) -> None:
        """Lets all minutes go: those of a backlog are not used again."""
        self._at_hand.clear()

    def absorb(self, minutes: Ints, dims: Ints, ids: Digests, at_ms: Ints) -> Absorbed:
        """Notes a block of events in their rows, which it opens where needed."""
        keys = minutes << _MINUTE_BITS | dims
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        starts = runs(ordered)
        rows = self.rows_of(ordered[starts] >> _MINUTE_BITS, ordered[starts] & _DIMS_MASK)
        sizes = np.diff(starts, append=len(ordered))
        if (self.row_ids.held[rows] + sizes > SEGMENT_IDS_MAX).any():
            rows, starts, sizes = self._spread(rows, starts, sizes)
        self.row_ids.note(rows, starts, sizes, ids[order])
        latest = np.maximum.reduceat(at_ms[order], starts)
        self.latest_ms[rows] = np.maximum(self.latest_ms[rows], latest)
        return Absorbed(rows, order, starts)

    def rows_of(self, minutes: Ints, dims: Ints) -> Ints:
        """The open rows of minutes and dimensions, opened where there is none.

        Each pair at most once, those of a minute side by side.
        """
        found: list[int] = []
        asked = dims.tolist()
        for start, end in run_bounds(minutes):
            open_rows = self._at_hand.get(int(minutes[start])).open_rows
            found += map(open_rows.get, asked[start:end], repeat(_UNKNOWN))
        rows = np.array(found, dtype=np.int64)
        if (new := np.flatnonzero(rows == _UNKNOWN)).size:
            rows[new] = self._open(minutes[new], dims[new])
        return rows

    def load(self, stored: StoredRows[D]) -> Ints:
        """Takes in rows as they were stored, each once."""
        if not len(stored.minute):
            return stored.minute
        dims = self.numbers(stored.dims)[stored.dims_at]
        order = np.argsort(stored.minute, kind="stable")
        minutes, rows = stored.minute[order], np.empty(len(order), dtype=np.int64)
        rows[order] = self._open(minutes, dims[order])
        for minute in np.unique(minutes).tolist():
            self._at_hand.drop(minute)  # of several segments, the last is open
        self.segment[rows] = stored.segment
        self.latest_ms[rows] = stored.latest_ms
        self.put(rows, stored.measures)
        self.row_ids.load(rows, stored.ids)
        return rows

    def measures(self, rows: Ints, columns: slice = slice(None)) -> Ints:
        """The sums of rows: [row, column]."""
        return self._sums.of(rows, columns)

    def add(self, rows: Ints, change: Ints) -> None:
        """Adds to the sums of rows, each of which is given once."""
        self.put(rows, self.measures(rows) + change)

    def put(self, rows: Ints, sums: Ints) -> None:
        """Replaces the sums of rows."""
        self._sums.put(rows, sums)

    def ids(self, rows: Ints) -> list[bytes]:
        """The ids that each row has absorbed."""
        return self.row_ids.of(rows)

    def key(self, row: int) -> RowKey[D]:
        """What identifies `row`."""
        dims = self.dims[self.dims_index[row]]
        assert dims is not None, "a live row's dimensions are interned"
        return RowKey(int(self.minute[row]), int(self.segment[row]), dims)

    def evict(self, minutes: Iterable[int]) -> Evicted[D]:
        """Forgets whole minutes."""
        gone: array[int] = array("i")
        for minute in minutes:
            gone += self.panes.pop(minute).rows
            self._at_hand.drop(minute)
        rows = np.array(gone, dtype=np.int64)
        keys = [self.key(row) for row in gone]
        of_dims, counts = np.unique(self.dims_index[rows], return_counts=True)
        self._rows_of_dims[of_dims] -= counts
        self.latest_ms[rows] = self.segment[rows] = 0
        self._sums.clear(rows)
        self.row_ids.clear(rows)
        self._places.give_back(gone)
        return Evicted(rows, keys, of_dims[self._rows_of_dims[of_dims] == 0].tolist())

    def release_dims(self, index: int) -> None:
        """Makes the place of dimensions without rows free for others."""
        self._numbers.let_go(index)
        self._numbers.free(index)

    def _introduce(self, dims: Sequence[D]) -> None:
        given = self._numbers.hold_all(dims)
        self._rows_of_dims = roomy(self._rows_of_dims, max(given))
        self._new_dims += given

    def _minute_of(self, minute: int) -> Minute:
        """What is at hand of a minute, made from its rows."""
        pane = self.panes.get(minute)
        if pane is None:
            return Minute({}, set())
        rows = np.array(pane.rows, dtype=np.int64)
        rows = rows[np.argsort(self.segment[rows], kind="stable")]  # the last segment is open
        ids = np.frombuffer(b"".join(self.ids(rows)), dtype="<u8")
        opened = zip(self.dims_index[rows].tolist(), rows.tolist(), strict=True)
        return Minute(dict(opened), set(ids.tolist()))

    def _open(self, minutes: Ints, dims: Ints) -> Ints:
        """New rows of these minutes and dimensions; those of a minute stand side by side."""
        rows = self._places.take(len(dims))
        self._make_room()
        self.dims_index[rows] = dims
        self.minute[rows] = minutes
        np.add.at(self._rows_of_dims, dims, 1)
        narrow, numbers = rows.astype(np.intc), dims.tolist()
        opened = rows.tolist()
        for start, end in run_bounds(minutes):
            minute = int(minutes[start])
            self.panes.setdefault(minute, Pane(minute)).rows.frombytes(narrow[start:end].tobytes())
            self._at_hand.note_open(minute, numbers[start:end], opened[start:end])
        return rows

    def _make_room(self) -> None:
        """Has all arrays reach as far as the places that were given."""
        end, capacity = self._places.end, len(self.minute)
        if end > capacity:
            capacity = max(2 * capacity, end)
            for name in _BY_ROW:
                setattr(self, name, grown(getattr(self, name), capacity))
            self._sums.extend(capacity)
        self.row_ids.extend(end - len(self.row_ids), capacity)

    def _spread(self, rows: Ints, starts: Ints, sizes: Ints) -> tuple[Ints, Ints, Ints]:
        """Goes on in new segments where a row is full: its run is cut where that happens."""
        found: list[tuple[int, int, int]] = []
        for first, begin, size in np.stack([rows, starts, sizes], axis=1).tolist():
            row, start, left = first, begin, size
            while left > (room := SEGMENT_IDS_MAX - int(self.row_ids.held[row])):
                if room:
                    found.append((row, start, room))
                row, start, left = self._next_segment(row), start + room, left - room
            found.append((row, start, left))
        spread = np.array(found, dtype=np.int64)
        return spread[:, 0], spread[:, 1], spread[:, 2]

    def _next_segment(self, row: int) -> int:
        place = (column[[row]].astype(np.int64) for column in (self.minute, self.dims_index))
        opened = int(self._open(*place)[0])
        self.segment[opened] = self.segment[row] + 1
        return opened
