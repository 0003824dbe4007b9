"""Rows as changelog records: whole blocks at a time, since every changed row passes here.

Key: `r`, minute (4 bytes), segment (2 bytes), dimensions (JSON). Value, in words: header (format
in the lowest byte, the layout's fingerprint in the upper half), latest event time, the measures,
the ids. A layout is the tuple of
measure ids that the bits stand for; it changes when a measure or a threshold does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
import orjson

from stream.core.rows import ID_BYTES, Dims, Ints, RowKey, RowStore
from stream.kafka.words import WORD, pack, unpack

FORMAT: Final = 1
ROW: Final = b"r"
_KEY_HEAD: Final = 7


class UnknownFormatError(Exception):
    """A stored record was written by another version of this program; says which."""


def fingerprint(layout: Sequence[str]) -> int:
    """A layout's 32-bit name."""
    return crc32("\n".join(layout).encode())


def encode_row_key(key: RowKey[Dims]) -> bytes:
    """The changelog key of a row."""
    minute, segment = key.minute.to_bytes(4, "big"), key.segment.to_bytes(2, "big")
    return ROW + minute + segment + orjson.dumps(list(key.dims))


def encode_rows(
    store: RowStore[Dims], rows: Ints, layout: Sequence[str]
) -> list[tuple[bytes, bytes]]:
    """The changelog records of these rows, as they are now."""
    header = FORMAT | fingerprint(layout) << 32
    values = pack(header, store.latest_ms[rows], store.measures[rows])
    return [
        (encode_row_key(store.key(row)), value + store.ids[row])
        for row, value in zip(rows.tolist(), values, strict=True)
    ]


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
        self._check_formats(values)  # first: another format's words may mean anything
        widest = max(map(len, self._known.values()))
        headers, latest_ms, measures, ends = unpack(values, widest)
        rows = [
            (self._key(key), latest, value[end:])
            for (key, value), latest, end in zip(
                records.items(), latest_ms.tolist(), ends, strict=True
            )
        ]
        return StoredRows(rows, self._in_todays_layout(measures, headers))

    def _check_formats(self, values: Sequence[bytes]) -> None:
        for header in {int.from_bytes(head, "little") for head in {v[:WORD] for v in values}}:
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
        written = np.unique(layouts).tolist()
        if written == [fingerprint(self._layout)]:
            return measures[:, : len(self._layout)]
        column = {name: i for i, name in enumerate(self._layout)}
        mapped = np.zeros((len(measures), len(self._layout)), dtype=np.int64)
        for layout in written:
            stored = self._known[layout]
            here = np.array([i for i, name in enumerate(stored) if name in column])
            there = np.array([column[stored[i]] for i in here])
            of_layout = np.flatnonzero(layouts == layout)[:, None]
            mapped[of_layout, there] = measures[of_layout, here]
        return mapped

    def _key(self, raw: bytes) -> RowKey[Dims]:
        text = raw[_KEY_HEAD:]
        dims = self._dims.get(text)
        if dims is None:
            dims = self._dims[text] = Dims(*orjson.loads(text))
        return RowKey(int.from_bytes(raw[1:5], "big"), int.from_bytes(raw[5:7], "big"), dims)


assert ID_BYTES == WORD, "ids are words, so that values stay aligned"
