"""What the core does with numpy's arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Narrow = npt.NDArray[np.int32]
Digests = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]


def grown(array: npt.NDArray[Any], capacity: int, axis: int = 0) -> npt.NDArray[Any]:
    """A copy of `array` with `capacity` places along `axis`, the new ones zero."""
    shape = list(array.shape)
    shape[axis] = capacity
    bigger = np.zeros(shape, dtype=array.dtype)
    bigger[tuple(slice(0, n) for n in array.shape)] = array
    return bigger


def roomy(array: npt.NDArray[Any], place: int) -> npt.NDArray[Any]:
    """An array that has this place: the same one, or a copy with zeros behind its values."""
    return array if place < len(array) else grown(array, 2 * place)


def summed(keys: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """The rows summed by key: each key once, since fancy `+=` counts a repeat once."""
    if len(keys) == 1:
        return keys, rows
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = runs(ordered)
    return ordered[starts], run_sums(rows[order], starts)


def run_sums(rows: Ints, starts: Ints) -> Ints:
    """Runs of rows added up, each from its start to the next one's: [run, column].

    Most runs are of one row, so only the others are added: `reduceat` over all takes three times
    as long.
    """
    if len(starts) == len(rows):
        return rows
    sums = rows[starts]
    is_later = np.ones(len(rows), dtype=bool)
    is_later[starts] = False
    later = np.flatnonzero(is_later)
    of_run = np.searchsorted(starts, later, side="right") - 1
    begins = runs(of_run)
    sums[of_run[begins]] += np.add.reduceat(rows[later], begins, axis=0)
    return sums


def runs(ordered: Ints) -> Ints:
    """Where each run of equal values begins; there has to be one."""
    return np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))


def run_bounds(ordered: Ints) -> list[tuple[int, int]]:
    """Where each run of equal values begins, and where it ends."""
    starts = runs(ordered).tolist()
    return list(pairwise([*starts, len(ordered)]))


def unique(parts: Sequence[Ints]) -> Ints:
    """The values in any of `parts`, in ascending order."""
    found: Ints = np.unique(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)
    return found
