"""The ids that rows have absorbed, by which a repeat is known.

Most rows have one, which has its place in an array; what a row absorbs later stands in bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.core.arrays import Digests, Flags, Ints, grown

ID_BYTES: Final = 8


class RowIds:
    """Ids by row, in the order in which they came."""

    def __init__(self, capacity: int) -> None:
        """No rows yet."""
        self.held: npt.NDArray[np.int16] = np.zeros(capacity, dtype=np.int16)
        self._first: Digests = np.zeros(capacity, dtype=np.uint64)
        self._later: list[bytes] = []

    def __len__(self) -> int:
        """How many rows there are places for."""
        return len(self._later)

    def extend(self, rows: int, capacity: int) -> None:
        """Makes places for so many more rows."""
        self._later += [b""] * rows
        if capacity > len(self.held):
            self.held, self._first = grown(self.held, capacity), grown(self._first, capacity)

    def of(self, rows: Ints) -> list[bytes]:
        """The ids of each row, `ID_BYTES` for one."""
        firsts = self._first[rows].astype("<u8").tobytes()
        starts = range(0, len(firsts), ID_BYTES)
        return [
            firsts[start : start + ID_BYTES] + self._later[row] if held else b""
            for row, held, start in zip(
                rows.tolist(), self.held[rows].tolist(), starts, strict=True
            )
        ]

    def first(self, rows: Ints) -> tuple[Digests, Flags]:
        """The first id of each row, and which rows have one."""
        return self._first[rows], self.held[rows] > 0

    def later(self, rows: Ints) -> Iterator[tuple[int, bytes]]:
        """The positions of those rows that have more ids than one, and these others."""
        more = np.flatnonzero(self.held[rows] > 1)
        for position, row in zip(more.tolist(), rows[more].tolist(), strict=True):
            yield position, self._later[row]

    def note(self, rows: Ints, starts: Ints, sizes: Ints, ids: Digests) -> None:
        """Adds to each of `rows` its run of `ids`, which begins at its start."""
        fresh = self.held[rows] == 0
        self._first[rows[fresh]] = ids[starts[fresh]]
        self.held[rows] += sizes.astype(np.int16)
        begins, ends = (starts + fresh) * ID_BYTES, (starts + sizes) * ID_BYTES
        more = begins < ends
        raw = ids.astype("<u8").tobytes()
        for row, begin, end in zip(
            rows[more].tolist(), begins[more].tolist(), ends[more].tolist(), strict=True
        ):
            self._later[row] += raw[begin:end]

    def load(self, rows: Ints, ids: Sequence[bytes]) -> None:
        """Puts stored ids into rows that have none."""
        sizes = np.fromiter(map(len, ids), dtype=np.int64, count=len(rows)) // ID_BYTES
        self.held[rows] = sizes
        heads = b"".join([of_row[:ID_BYTES] for of_row in ids])
        self._first[rows[sizes > 0]] = np.frombuffer(heads, dtype="<u8")
        for at in np.flatnonzero(sizes > 1).tolist():
            self._later[rows[at]] = ids[at][ID_BYTES:]

    def clear(self, rows: Ints) -> None:
        """Forgets the ids of rows."""
        for row in rows[self.held[rows] > 1].tolist():
            self._later[row] = b""
        self.held[rows] = 0
