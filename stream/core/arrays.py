"""What the core does with numpy's arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Narrow = npt.NDArray[np.int32]
Digests = npt.NDArray[np.uint64]


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
    starts = runs(ordered)
    if len(starts) == len(ordered):
        return ordered, rows[order]
    sums: Ints = np.add.reduceat(rows[order], starts, axis=0)
    return ordered[starts], sums


def runs(ordered: Ints) -> Ints:
    """Where each run of equal values begins; there has to be one."""
    return np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))


def unique(parts: Sequence[Ints]) -> Ints:
    """The values in any of `parts`, in ascending order."""
    found: Ints = np.unique(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)
    return found
