"""The rows: the truth from which every figure is derived.

A row stands for one minute of one combination of dimensions (agent, site, team, queue, channel,
campaign, product, reason). Its value is the sums of its measures and the ids of the events it
has absorbed, which makes applying an event idempotent: a producer's duplicate, a replay after a
crash and a replay after a rebalance are one case. A duplicate carries the same time, hence the
same minute, so ids are looked up minute by minute. Columns are numpy arrays: one event touches
Python objects once, and everything else is done for a whole block.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from stream.core.events import Event, Kind
from stream.core.measures import COLUMNS
from stream.core.numbers import Numbers

Ints = npt.NDArray[np.int64]

ID_BYTES: Final = 8
SEGMENT_IDS_MAX: Final = 4_096
UNPLACED: Final = -1
_FIRST_CAPACITY: Final = 1_024
_KIND_KEYS: Final[dict[Kind, bytes]] = {"interaction": b"interaction", "survey": b"survey"}


class Dims(NamedTuple):
    """The dimensions of a row, as the event named them; `None` where it did not."""

    agent: str | None
    site: str | None
    team: str | None
    queue: str | None
    channel: str | None
    campaign: str | None
    product: str | None
    reason: str | None


def dims_of(event: Event) -> Dims:
    """The dimensions that `event` names."""
    return Dims(
        event.agent_id,
        event.site_id,
        event.team_id,
        event.queue,
        event.channel,
        event.campaign,
        event.product,
        event.reason,
    )


def event_digest(kind: Kind, event_id: str) -> bytes:
    """Eight bytes that stand for (kind, event_id); never Python's `hash()`, which is salted."""
    return blake2b(event_id.encode(), digest_size=ID_BYTES, key=_KIND_KEYS[kind]).digest()


@dataclass(slots=True)
class Pane:
    """One minute: its rows, the open row of each combination, and the ids absorbed in it."""

    minute: int
    bucket: int = UNPLACED
    rows: list[int] = field(default_factory=list)
    open_rows: dict[int, int] = field(default_factory=dict)
    ids: set[bytes] = field(default_factory=set)


D = TypeVar("D")


class RowKey(NamedTuple, Generic[D]):
    """What identifies a row; a row past `SEGMENT_IDS_MAX` ids goes on in the next segment."""

    minute: int
    segment: int
    dims: D


def grown(array: npt.NDArray[Any], capacity: int, axis: int = 0) -> npt.NDArray[Any]:
    """A copy of `array` with `capacity` places along `axis`, the new ones zero."""
    shape = list(array.shape)
    shape[axis] = capacity
    bigger = np.zeros(shape, dtype=array.dtype)
    bigger[tuple(slice(0, n) for n in array.shape)] = array
    return bigger


def summed(keys: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """The rows summed by key: each key once, since fancy `+=` counts a repeat once."""
    if len(keys) == 1:
        return keys, rows
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sums: Ints = np.add.reduceat(rows[order], starts, axis=0)
    return ordered[starts], sums


class RowStore(Generic[D]):
    """Rows by minute and dimensions: `Dims` where they hold events."""

    def __init__(self) -> None:
        """An empty store."""
        self.panes: dict[int, Pane] = {}
        self.measures: Ints = np.zeros((_FIRST_CAPACITY, COLUMNS), dtype=np.int64)
        self.dims_index: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self.minute: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self.segment: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self.latest_ms: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self.ids: list[bytearray] = []
        self._free_rows: list[int] = []
        self._numbers: Numbers[D] = Numbers()
        self.dims = self._numbers.names

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.ids) - len(self._free_rows)

    def knows(self, minute: int, digest: bytes) -> bool:
        """Whether an event with this digest was absorbed in `minute`."""
        pane = self.panes.get(minute)
        return pane is not None and digest in pane.ids

    def find(self, minute: int, dims: D) -> int | None:
        """The open row of a minute and dimensions."""
        pane, index = self.panes.get(minute), self._numbers.of.get(dims)
        return None if pane is None or index is None else pane.open_rows.get(index)

    def absorb(self, minute: int, dims: D, digest: bytes, at_ms: int) -> int:
        """Notes the event's id in its row, which it opens where needed, and returns the row."""
        pane = self.panes.get(minute)
        if pane is None:
            pane = self.panes[minute] = Pane(minute)
        index = self._numbers.of.get(dims)
        row = None if index is None else pane.open_rows.get(index)
        if row is None:
            row = self.open(RowKey(minute, 0, dims))
        elif len(self.ids[row]) >= SEGMENT_IDS_MAX * ID_BYTES:
            row = self.open(RowKey(minute, int(self.segment[row]) + 1, dims))
        pane.ids.add(digest)
        self.ids[row] += digest
        if at_ms > self.latest_ms[row]:  # noqa: PLR1730 - max() would store for every event
            self.latest_ms[row] = at_ms
        return row

    def open(self, key: RowKey[D]) -> int:
        """A new, empty row for `key`, from now on the open one of its minute and dimensions."""
        index = self._numbers.hold(key.dims)
        row = self._free_rows.pop() if self._free_rows else self._extend()
        pane = self.panes.setdefault(key.minute, Pane(key.minute))
        pane.rows.append(row)
        previous = pane.open_rows.get(index)
        if previous is None or self.segment[previous] < key.segment:
            pane.open_rows[index] = row
        self.dims_index[row] = index
        self.minute[row] = key.minute
        self.segment[row] = key.segment
        return row

    def load(self, key: RowKey[D], latest_ms: int, ids: bytes) -> int:
        """A row as it was stored; the caller fills in its measures."""
        row = self.open(key)
        self.ids[row] += ids
        self.latest_ms[row] = latest_ms
        seen = self.panes[key.minute].ids
        seen.update(ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES))
        return row

    def key(self, row: int) -> RowKey[D]:
        """What identifies `row`."""
        dims = self.dims[self.dims_index[row]]
        assert dims is not None, "a live row's dimensions are interned"
        return RowKey(int(self.minute[row]), int(self.segment[row]), dims)

    def evict(self, minutes: Iterable[int]) -> tuple[list[RowKey[D]], list[int]]:
        """Forgets whole minutes; returns the rows' keys and the dims that no row has any more."""
        keys: list[RowKey[D]] = []
        orphans: list[int] = []
        for minute in minutes:
            for row in self.panes.pop(minute).rows:
                keys.append(self.key(row))
                index = int(self.dims_index[row])
                if self._numbers.let_go(index):
                    orphans.append(index)
                self.measures[row] = 0
                self.latest_ms[row] = 0
                self.ids[row] = bytearray()
                self._free_rows.append(row)
        return keys, orphans

    def release_dims(self, index: int) -> None:
        """Makes the place of dimensions without rows free for others."""
        self._numbers.free(index)

    def _extend(self) -> int:
        row = len(self.ids)
        self.ids.append(bytearray())
        if row >= len(self.minute):
            capacity = 2 * len(self.minute)
            for name in ("measures", "dims_index", "minute", "segment", "latest_ms"):
                setattr(self, name, grown(getattr(self, name), capacity))
        return row
