"""Rows as changelog records: whole blocks at a time, since every changed row passes here.

Key: `r`, minute (4 bytes), segment (2 bytes), dimensions (JSON). Value: 8-byte little-endian
words: header (format in the lowest byte, the layout's fingerprint in the upper half), latest
event time, one bit per non-zero measure, those measures, the ids. A layout is the tuple of
measure ids that the bits stand for; it changes when a measure or a threshold does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
import orjson

from stream.core.measures import COLUMNS
from stream.core.rows import ID_BYTES, Dims, Ints, RowKey, RowStore

FORMAT: Final = 1
ROW: Final = b"r"
_HEAD_WORDS: Final = 3
_WORD: Final = 8
_KEY_HEAD: Final = 7
_BITS: Final = np.left_shift(np.uint64(1), np.arange(COLUMNS, dtype=np.uint64))


class UnknownFormatError(Exception):
    """A stored record was written by another version of this program; says which."""


def fingerprint(layout: Sequence[str]) -> int:
    """A layout's 32-bit name."""
    return crc32("\n".join(layout).encode())


def encode_row_key(key: RowKey[Dims]) -> bytes:
    """The changelog key of a row."""
    minute, segment = key.minute.to_bytes(4, "big"), key.segment.to_bytes(2, "big")
    return ROW + minute + segment + orjson.dumps(list(key.dims))


def encode_rows(store: RowStore[Dims], rows: Ints, layout: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """The changelog records of these rows, as they are now."""
    if not len(rows):
        return []
    measures = store.measures[rows]
    filled = measures != 0
    head = np.empty((len(rows), _HEAD_WORDS), dtype="<u8")
    head[:, 0] = FORMAT | fingerprint(layout) << 32
    head[:, 1] = store.latest_ms[rows]
    head[:, 2] = (filled * _BITS).sum(axis=1, dtype=np.uint64)
    heads, values = head.tobytes(), measures[filled].astype("<i8").tobytes()
    ends = (np.cumsum(filled.sum(axis=1)) * _WORD).tolist()
    records, start, step = [], 0, _HEAD_WORDS * _WORD
    for i, (row, end) in enumerate(zip(rows.tolist(), ends, strict=True)):
        value = heads[i * step : i * step + step] + values[start:end] + store.ids[row]
        records.append((encode_row_key(store.key(row)), value))
        start = end
    return records


class StoredRows(NamedTuple):
    """Rows as they were stored; `measures` is in the same order."""

    rows: list[tuple[RowKey[Dims], int, bytes]]
    measures: Ints


class RowDecoder:
    """Decodes stored rows, also those of earlier layouts."""

    def __init__(self, layout: Sequence[str], known: Mapping[int, Sequence[str]]) -> None:
        """`layout` is today's; `known` has the layouts that rows may have been written in."""
        self._layout = layout
        self._known = {**known, fingerprint(layout): tuple(layout)}
        self._dims: dict[bytes, Dims] = {}

    def decode(self, records: Mapping[bytes, bytes]) -> StoredRows:
        """All rows in `records` (key → value).

        Raises:
            UnknownFormatError: if a row's format or layout is not known.
        """
        values = list(records.values())
        if not values:
            return StoredRows([], np.zeros((0, COLUMNS), dtype=np.int64))
        words = np.frombuffer(b"".join(values), dtype="<i8")
        lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values)) // _WORD
        starts = np.cumsum(lengths) - lengths
        self._check_formats(words[starts])
        bits = words[starts + 2].view(np.uint64)
        filled = (bits[:, None] & _BITS) != 0
        counts = filled.sum(axis=1)
        measures = np.zeros((len(values), COLUMNS), dtype=np.int64)
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        measures[filled] = words[np.repeat(starts + _HEAD_WORDS, counts) + offsets]
        heads = ((counts + _HEAD_WORDS) * _WORD).tolist()
        rows = [
            (self._key(key), latest, value[head:])
            for (key, value), latest, head in zip(
                records.items(), words[starts + 1].tolist(), heads, strict=True
            )
        ]
        return StoredRows(rows, self._in_todays_layout(measures, words[starts]))

    def _check_formats(self, headers: Ints) -> None:
        for header in np.unique(headers).tolist():
            layout = (header >> 32) & 0xFFFFFFFF
            if header & 0xFF != FORMAT or layout not in self._known:
                message = (
                    f"a stored row has format {header & 0xFF} and layout {layout:08x}; this "
                    f"version reads format {FORMAT} and layouts "
                    f"{', '.join(f'{name:08x}' for name in self._known)}"
                )
                raise UnknownFormatError(message)

    def _in_todays_layout(self, measures: Ints, headers: Ints) -> Ints:
        """Moves the columns of earlier layouts; a measure that is no more is dropped."""
        layouts = (headers >> 32) & 0xFFFFFFFF
        today = fingerprint(self._layout)
        column = {name: i for i, name in enumerate(self._layout)}
        for layout in set(np.unique(layouts).tolist()) - {today}:
            of_layout = layouts == layout
            old = measures[of_layout]
            moved = np.zeros_like(old)
            for i, name in enumerate(self._known[layout]):
                if name in column:
                    moved[:, column[name]] = old[:, i]
            measures[of_layout] = moved
        return measures

    def _key(self, raw: bytes) -> RowKey[Dims]:
        text = raw[_KEY_HEAD:]
        dims = self._dims.get(text)
        if dims is None:
            dims = self._dims[text] = Dims(*orjson.loads(text))
        return RowKey(int.from_bytes(raw[1:5], "big"), int.from_bytes(raw[5:7], "big"), dims)


assert ID_BYTES == _WORD, "ids are words, so that values stay aligned"
