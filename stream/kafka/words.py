"""Measures as 8-byte little-endian words: two of the caller's, one bit per non-zero measure, those.

Whole blocks at a time, since every changed row passes here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from stream.core.arrays import Ints
from stream.core.measures import COLUMNS

WORD: Final = 8
_HEAD_WORDS: Final = 3
_BITS_MAX: Final = 64
_BITS: Final = np.left_shift(np.uint64(1), np.arange(_BITS_MAX, dtype=np.uint64))


class Unpacked(NamedTuple):
    """Values taken apart: the caller's words, the measures, and where what follows begins."""

    first: Ints
    second: Ints
    measures: Ints
    ends: list[int]


def pack(first: int, second: Ints | int, measures: Ints) -> list[bytes]:
    """One value for every row of `measures`."""
    filled = measures != 0
    head = np.empty((len(measures), _HEAD_WORDS), dtype="<u8")
    head[:, 0] = first
    head[:, 1] = second
    head[:, 2] = (filled * _BITS[: filled.shape[1]]).sum(axis=1, dtype=np.uint64)
    heads, values = head.tobytes(), measures[filled].astype("<i8").tobytes()
    ends = (np.cumsum(filled.sum(axis=1)) * WORD).tolist()
    starts, step = [0, *ends][: len(ends)], _HEAD_WORDS * WORD
    return [
        heads[at : at + step] + values[start:end]
        for at, start, end in zip(range(0, len(heads), step), starts, ends, strict=True)
    ]


def unpack(values: Sequence[bytes], columns: int = COLUMNS) -> Unpacked:
    """Undoes `pack` of up to so many measures; what the caller has appended may follow each value.

    With fewer columns than were packed, measures would be taken for what follows them.
    """
    if not values:
        nothing = np.zeros(0, dtype=np.int64)
        return Unpacked(nothing, nothing, np.zeros((0, columns), dtype=np.int64), [])
    words = np.frombuffer(b"".join(values), dtype="<i8")
    lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values)) // WORD
    starts = np.cumsum(lengths) - lengths
    bits = words[starts + 2].view(np.uint64)
    filled = (bits[:, None] & _BITS[:columns]) != 0
    counts = filled.sum(axis=1)
    measures = np.zeros((len(values), columns), dtype=np.int64)
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    measures[filled] = words[np.repeat(starts + _HEAD_WORDS, counts) + offsets]
    ends = ((counts + _HEAD_WORDS) * WORD).tolist()
    return Unpacked(words[starts], words[starts + 1], measures, ends)
