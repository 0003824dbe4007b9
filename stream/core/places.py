"""Places in arrays, one for each of what comes and goes."""

from __future__ import annotations

from array import array

import numpy as np

from stream.core.arrays import Ints


class Places:
    """Each is given to one at a time; one that was given back serves again.

    All places ever given are below `end`.
    """

    def __init__(self) -> None:
        """None is given."""
        self.end = 0
        self._free: array[int] = array("i")

    def __len__(self) -> int:
        """How many are given."""
        return self.end - len(self._free)

    def take(self, wanted: int) -> Ints:
        """Gives so many: first those that others had."""
        reused = min(wanted, len(self._free))
        begin, self.end = self.end, self.end + wanted - reused
        new = np.arange(begin, self.end, dtype=np.int64)
        if not reused:
            return new
        freed = np.array(self._free[-reused:], dtype=np.int64)
        del self._free[-reused:]
        return np.concatenate([freed, new])

    def give_back(self, places: array[int]) -> None:
        """Takes these back."""
        self._free += places
