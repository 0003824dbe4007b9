"""Measures as 8-byte little-endian words: two of the caller's, one bit per non-zero measure, those.

Whole blocks at a time, since every changed row passes here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.core.arrays import Digests, Flags, Ints
from stream.core.measures import COLUMNS

WORD: Final = 8
_HEAD_WORDS: Final = 3
_BITS_MAX: Final = 64
_BITS_PER_BYTE: Final = 8
_BITS: Final = np.left_shift(np.uint64(1), np.arange(_BITS_MAX, dtype=np.uint64))


class Unpacked(NamedTuple):
    """Values taken apart: the caller's words, the measures, and where what follows begins."""

    first: Ints
    second: Ints
    measures: Ints
    ends: list[int]


def pack(
    first: int,
    second: Ints | int,
    measures: Ints,
    last: tuple[Digests, Flags] | None = None,
) -> list[bytes]:
    """One value for every row of `measures`. `last`: words to end with, and which rows do so."""
    rows, columns = measures.shape
    words = np.empty((rows, _HEAD_WORDS + columns + 1), dtype="<u8")
    is_kept = np.ones(words.shape, dtype=bool)
    filled = is_kept[:, _HEAD_WORDS:-1]
    filled[:] = measures != 0
    words[:, -1], is_kept[:, -1] = (0, False) if last is None else last
    words[:, 0], words[:, 1], words[:, 2] = first, second, _as_bits(filled)
    words[:, _HEAD_WORDS:-1] = measures
    # By their places: numpy takes four times as long to pick by flags.
    raw = words.ravel()[np.flatnonzero(is_kept)].tobytes()
    ends = (np.cumsum(is_kept.sum(axis=1)) * WORD).tolist()
    return [raw[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _as_bits(filled: Flags) -> npt.NDArray[np.uint64]:
    """A bit for each column, the lowest for the first."""
    packed = np.packbits(filled, axis=1, bitorder="little")
    room = np.zeros((len(filled), _BITS_MAX // _BITS_PER_BYTE), dtype=np.uint8)
    room[:, : packed.shape[1]] = packed
    bits: npt.NDArray[np.uint64] = room.view("<u8")[:, 0]
    return bits


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
