"""Rows as changelog records: whole blocks at a time, since every changed row passes here.

Key: `r`, minute (4 bytes), segment (2 bytes), dimensions (JSON). Value, in words: header (format
in the lowest byte, the layout's fingerprint in the upper half), latest event time, the measures,
the ids. A layout is the tuple of
measure ids that the bits stand for; it changes when a measure or a threshold does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from zlib import crc32

import msgspec
import numpy as np
import orjson

from stream.core.arrays import Ints
from stream.core.dims import Dims, lasting
from stream.core.rowids import ID_BYTES
from stream.core.rows import RowKey, RowStore, StoredRows
from stream.kafka.formats import UnknownFormatError
from stream.kafka.words import WORD, pack, unpack

FORMAT: Final = 1
ROW: Final = b"r"
_HEAD: Final = np.dtype([("tag", "S1"), ("minute", ">u4"), ("segment", ">u2")])
_HEAD_BYTES: Final = _HEAD.itemsize
_AS_JSON: Final = msgspec.json.Encoder()


def fingerprint(layout: Sequence[str]) -> int:
    """A layout's 32-bit name."""
    return crc32("\n".join(layout).encode())


def encode_row_key(key: RowKey[Dims]) -> bytes:
    """The changelog key of a row."""
    minute, segment = key.minute.to_bytes(4, "big"), key.segment.to_bytes(2, "big")
    return ROW + minute + segment + _text(key.dims)


def _text(dims: Dims | None) -> bytes:
    assert dims is not None, "a live row's dimensions are interned"
    return _AS_JSON.encode(dims)


class RowEncoder:
    """Encodes the rows of one store in today's layout."""

    def __init__(self, store: RowStore[Dims], layout: Sequence[str]) -> None:
        """`layout` has the measure ids of the store's columns."""
        self._store = store
        self._header = FORMAT | fingerprint(layout) << 32
        self._told: list[Dims | None] = []
        self._texts: list[bytes] = []

    def encode(self, rows: Ints) -> list[tuple[bytes, bytes]]:
        """The changelog records of these rows, as they are now."""
        store = self._store
        heads = np.empty(len(rows), dtype=_HEAD)
        heads["tag"], heads["minute"], heads["segment"] = (
            ROW,
            store.minute[rows],
            store.segment[rows],
        )
        raw = heads.tobytes()
        texts = self._texts_of(store.dims_index[rows].tolist())
        starts = range(0, len(raw), _HEAD_BYTES)
        keys = [raw[at : at + _HEAD_BYTES] + text for at, text in zip(starts, texts, strict=True)]
        return list(zip(keys, self._values_of(rows), strict=True))

    def _values_of(self, rows: Ints) -> list[bytes]:
        store = self._store
        values = pack(
            self._header, store.latest_ms[rows], store.measures(rows), store.row_ids.first(rows)
        )
        for position, later in store.row_ids.later(rows):
            values[position] += later
        return values

    def _texts_of(self, indices: Sequence[int]) -> list[bytes]:
        """Dimensions as JSON, each made once; a number may have been given to others since."""
        dims, told, texts = self._store.dims, self._told, self._texts
        told += [None] * (len(dims) - len(told))
        texts += [b""] * (len(dims) - len(texts))
        for index in [index for index in indices if told[index] is not dims[index]]:
            told[index] = dims[index]
            texts[index] = _text(dims[index])
        return list(map(texts.__getitem__, indices))


class RowDecoder:
    """Decodes stored rows, also those of earlier layouts."""

    def __init__(self, layout: Sequence[str], known: Mapping[int, Sequence[str]]) -> None:
        """`layout` is today's; `known` has the layouts that rows may have been written in."""
        self._layout = layout
        self._known = {**known, fingerprint(layout): tuple(layout)}

    def decode(self, records: Mapping[bytes, bytes]) -> StoredRows[Dims]:
        """All rows in `records` (key → value).

        Raises:
            UnknownFormatError: if a row's format or layout is not known.
        """
        values = list(records.values())
        self._check_formats(values)  # first: another format's words may mean anything
        widest = max(map(len, self._known.values()))
        headers, latest_ms, measures, ends = unpack(values, widest)
        heads = np.frombuffer(b"".join([key[:_HEAD_BYTES] for key in records]), dtype=_HEAD)
        texts: dict[bytes, int] = {}
        dims_at = [texts.setdefault(key[_HEAD_BYTES:], len(texts)) for key in records]
        return StoredRows(
            minute=heads["minute"].astype(np.int64),
            segment=heads["segment"].astype(np.int64),
            dims=lasting([Dims(*orjson.loads(text)) for text in texts]),
            dims_at=np.array(dims_at, dtype=np.int64),
            latest_ms=latest_ms,
            ids=[value[end:] for value, end in zip(values, ends, strict=True)],
            measures=self._in_todays_layout(measures, headers),
        )

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


assert ID_BYTES == WORD, "ids are words, so that values stay aligned"
