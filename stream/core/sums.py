"""The sums of rows, each measure as narrow as its sums come.

There are millions of rows, most of few events: a byte holds nearly every count, and the times that
need more are few. So each column has a byte in every row, and one with a sum that does not fit
moves for good to where there is room for all of it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream.core.arrays import Ints, grown
from stream.core.measures import COLUMNS

_BYTE_MAX: Final = np.iinfo(np.int8).max
_NARROW_MAX: Final = np.iinfo(np.int32).max


class Sums:
    """Sums by row and column.

    A column is in `_wide` where it is named by `_columns`, which ascend; its bytes mean nothing.
    """

    def __init__(self, capacity: int) -> None:
        """All zero."""
        self._bytes = np.zeros((capacity, COLUMNS), dtype=np.int8)
        self._columns: Ints = np.zeros(0, dtype=np.int64)
        self._wide: npt.NDArray[Any] = np.zeros((capacity, 0), dtype=np.int32)
        self._limits: Ints = np.full(COLUMNS, _BYTE_MAX, dtype=np.int64)

    @property
    def nbytes(self) -> int:
        """How much room there is."""
        return self._bytes.nbytes + self._wide.nbytes

    def extend(self, capacity: int) -> None:
        """Makes places for so many rows."""
        self._bytes, self._wide = grown(self._bytes, capacity), grown(self._wide, capacity)

    def of(self, rows: Ints, columns: slice = slice(None)) -> Ints:
        """The sums of rows: [row, column]."""
        start, stop, _ = columns.indices(COLUMNS)
        found: Ints = self._bytes[rows, columns].astype(np.int64)
        first, last = np.searchsorted(self._columns, (start, stop)).tolist()
        if first < last:
            found[:, self._columns[first:last] - start] = self._wide[rows, first:last]
        return found

    def put(self, rows: Ints, sums: Ints) -> None:
        """Replaces the sums of rows."""
        if not len(rows):
            return
        greatest = np.maximum(sums.max(axis=0), ~sums.min(axis=0))  # -1 - x, which always fits
        if (greatest > self._limits).any():
            self._widen(greatest)
        self._bytes[rows] = sums
        self._wide[rows] = sums[:, self._columns]

    def clear(self, rows: Ints) -> None:
        """Makes the sums of rows zero."""
        self._bytes[rows] = 0
        self._wide[rows] = 0

    def _widen(self, greatest: Ints) -> None:
        """Makes room for sums up to these."""
        is_wide = np.isin(np.arange(COLUMNS), self._columns) | (greatest > _BYTE_MAX)
        columns = np.flatnonzero(is_wide)
        fits = self._wide.dtype == np.int32 and greatest.max() <= _NARROW_MAX
        wider = np.zeros((len(self._bytes), len(columns)), dtype=np.int32 if fits else np.int64)
        wider[:, np.searchsorted(columns, self._columns)] = self._wide
        new = np.setdiff1d(columns, self._columns)
        wider[:, np.searchsorted(columns, new)] = self._bytes[:, new]
        self._columns, self._wide = columns, wider
        self._limits[columns] = _NARROW_MAX if fits else np.iinfo(np.int64).max
