"""Which partition a key belongs on, by the Java client's hash (murmur2), which aiokafka shares.

librdkafka's default differs (CRC32), hence the look at every record's partition. aiokafka's hash
is a loop over bytes in Python, 4 to 6 µs a key: as much as all else that is done for a reading.
Of many keys at once numpy makes 0.2 µs each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from aiokafka.partitioner import murmur2

_SEED: Final = 0x9747B28C
_MIX: Final = np.uint32(0x5BD1E995)
_POSITIVE: Final = 0x7FFFFFFF
_WORD_BYTES: Final = 4
_FEW: Final = 16


def partition_of(key: str | bytes, partitions: int) -> int:
    """The partition of `key`."""
    raw = key.encode() if isinstance(key, str) else key
    return int((murmur2(raw) & _POSITIVE) % partitions)


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """The partition of each of `keys`."""
    if partitions == 1:
        return [0] * len(keys)
    if len(keys) < _FEW:
        return [partition_of(key, partitions) for key in keys]
    sizes = np.fromiter(map(len, keys), dtype=np.int64, count=len(keys))
    found = np.zeros(len(keys), dtype=np.int64)
    for size in set(sizes.tolist()):
        alike = np.flatnonzero(sizes == size)
        found[alike] = _hashes([keys[at] for at in alike.tolist()], size) & _POSITIVE
    of_each: list[int] = (found % partitions).tolist()
    return of_each


def _hashes(keys: Sequence[bytes], size: int) -> npt.NDArray[np.uint32]:
    """The hashes of keys of one size, a word of four bytes of all keys at a time."""
    width = -(-size // _WORD_BYTES) * _WORD_BYTES
    padded = b"".join([key.ljust(width, b"\0") for key in keys])
    words = np.frombuffer(padded, dtype="<u4").reshape(len(keys), width // _WORD_BYTES)
    hashed = np.full(len(keys), _SEED ^ size, dtype=np.uint32)
    whole = size // _WORD_BYTES
    for column in range(whole):
        word = words[:, column] * _MIX
        word ^= word >> np.uint32(24)
        hashed = hashed * _MIX ^ word * _MIX
    if whole < words.shape[1]:
        hashed = (hashed ^ words[:, whole]) * _MIX
    hashed ^= hashed >> np.uint32(13)
    hashed *= _MIX
    return hashed ^ hashed >> np.uint32(15)
