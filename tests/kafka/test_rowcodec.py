"""Rows come back from the changelog as they went in, also those of an earlier layout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.core.arrays import Ints
from stream.core.dims import Dims
from stream.core.measures import COLUMNS, MEASURES
from stream.core.rowids import ID_BYTES
from stream.core.rows import RowKey, RowStore, StoredRows
from stream.kafka.formats import UnknownFormatError
from stream.kafka.rowcodec import RowDecoder, RowEncoder, encode_row_key, fingerprint

NAMES = st.none() | st.text(min_size=1, max_size=8)
INTS = st.integers(-(2**63), 2**63 - 1)
KEYS = st.builds(
    RowKey, st.integers(0, 2**31 - 1), st.integers(0, 2**16 - 1), st.builds(Dims, *[NAMES] * 8)
)
ROWS = st.dictionaries(
    KEYS,
    st.tuples(
        st.integers(0, 2**53),
        st.binary(max_size=4 * ID_BYTES).map(lambda raw: raw[: len(raw) // ID_BYTES * ID_BYTES]),
        st.dictionaries(st.integers(0, COLUMNS - 1), INTS, max_size=COLUMNS),
    ),
    max_size=6,
)
Rows = dict[RowKey[Dims], tuple[int, bytes, dict[int, int]]]
NOTHING: dict[int, int] = {}
ONE = RowKey(28_508_400, 0, Dims("a1", None, None, "q", None, None, None, None))


def store_of(rows: Rows) -> tuple[RowStore[Dims], Ints]:
    """A store with these rows, and their places."""
    sums = np.zeros((len(rows), COLUMNS), dtype=np.int64)
    for at, (_, _, measures) in enumerate(rows.values()):
        for column, value in measures.items():
            sums[at, column] = value
    stored = StoredRows(
        minute=np.array([key.minute for key in rows], dtype=np.int64),
        segment=np.array([key.segment for key in rows], dtype=np.int64),
        dims=[key.dims for key in rows],
        dims_at=np.arange(len(rows)),
        latest_ms=np.array([latest_ms for latest_ms, _, _ in rows.values()], dtype=np.int64),
        ids=[ids for _, ids, _ in rows.values()],
        measures=sums,
    )
    store: RowStore[Dims] = RowStore()
    return store, store.load(stored)


def encoded(rows: Rows, layout: tuple[str, ...] = MEASURES) -> dict[bytes, bytes]:
    """The changelog records of these rows."""
    store, places = store_of(rows)
    return dict(RowEncoder(store, layout).encode(places))


def decoded(records: dict[bytes, bytes], decoder: RowDecoder) -> Rows:
    """The rows in these records."""
    found = decoder.decode(records)
    dims = [found.dims[at] for at in found.dims_at.tolist()]
    keys = zip(found.minute.tolist(), found.segment.tolist(), dims, strict=True)
    values = zip(found.latest_ms.tolist(), found.ids, found.measures.tolist(), strict=True)
    return {
        RowKey(*key): (latest_ms, ids, {c: v for c, v in enumerate(sums) if v})
        for key, (latest_ms, ids, sums) in zip(keys, values, strict=True)
    }


@given(ROWS)
@example({})
@example({ONE: (0, b"", NOTHING)})
@example({ONE: (1, bytes(8), dict.fromkeys(range(COLUMNS), -1))})
def test_rows_come_back_as_they_went_in(rows: Rows) -> None:
    """Keys, latest times, ids and all measures, whatever they are, in one block."""
    expected = {
        key: (latest_ms, ids, {c: v for c, v in measures.items() if v})
        for key, (latest_ms, ids, measures) in rows.items()
    }
    assert decoded(encoded(rows), RowDecoder(MEASURES, {})) == expected


@given(ROWS, st.permutations(MEASURES), st.integers(0, 5))
def test_columns_of_an_earlier_layout_are_moved(rows: Rows, order: list[str], changed: int) -> None:
    """Each measure to its place of today; one that is no more is dropped; a new one is 0."""
    earlier = tuple(f"{name}<=1" if n < changed else name for n, name in enumerate(order))
    records = encoded(rows, earlier)
    known = {fingerprint(earlier): earlier}
    expected = {
        key: (
            latest_ms,
            ids,
            {MEASURES.index(earlier[c]): v for c, v in measures.items() if v and c >= changed},
        )
        for key, (latest_ms, ids, measures) in rows.items()
    }
    assert decoded(records, RowDecoder(MEASURES, known)) == expected


@pytest.mark.parametrize("position", [0, 7, COLUMNS - 1])
def test_a_layout_with_a_measure_more_or_less_is_mapped(position: int) -> None:
    """What a measure that is no more had counted goes; the ids behind it stay ids.

    With as many bits as there are columns today, a wider layout's last would be read as an id.
    """
    wider = (*MEASURES[:position], "gone", *MEASURES[position:])
    narrower = MEASURES[:position] + MEASURES[position + 1 :]
    for earlier in (wider, narrower):
        first, last = position % (len(earlier) - 1), len(earlier) - 1
        header = 1 | fingerprint(earlier) << 32
        words = [header, 5, 1 << first | 1 << last, 1, 2, 3, 4]
        value = b"".join(word.to_bytes(8, "little") for word in words)
        decoder = RowDecoder(MEASURES, {fingerprint(earlier): earlier})
        ((latest_ms, ids, measures),) = decoded({encode_row_key(ONE): value}, decoder).values()
        assert (latest_ms, ids) == (5, bytes([3, *[0] * 7, 4, *[0] * 7]))
        named = {earlier[first]: 1, earlier[last]: 2}
        assert measures == {MEASURES.index(n): v for n, v in named.items() if n != "gone"}


def test_a_format_is_asked_before_anything_is_read() -> None:
    """A row of another one may be of any length."""
    with pytest.raises(UnknownFormatError, match="format 2 and layout 00000000"):
        RowDecoder(MEASURES, {}).decode({encode_row_key(ONE): (2).to_bytes(8, "little")})


def test_rows_of_several_layouts_come_together() -> None:
    """A changelog holds what was written before and after a change."""
    earlier = tuple(reversed(MEASURES))
    other = ONE._replace(segment=1)
    records = encoded({ONE: (1, b"", {0: 7})}, earlier) | encoded({other: (2, b"", {0: 9})})
    decoder = RowDecoder(MEASURES, {fingerprint(earlier): earlier})
    assert decoded(records, decoder) == {
        ONE: (1, b"", {COLUMNS - 1: 7}),
        other: (2, b"", {0: 9}),
    }


def test_layouts_whose_names_have_their_highest_bit_set_are_known() -> None:
    """The name stands in the upper half of a signed word."""
    layouts = [(f"m{n}", *MEASURES[1:]) for n in range(20)]
    assert {fingerprint(layout) >> 31 for layout in layouts} == {0, 1}
    for layout in layouts:
        rows: Rows = {ONE: (1, b"", {1: 5})}
        assert decoded(encoded(rows, layout), RowDecoder(layout, {})) == rows


@pytest.mark.parametrize("change", ["format", "layout"])
def test_what_another_version_wrote_is_refused_by_name(change: str) -> None:
    """Silence would be wrong figures: format and layout are both said."""
    layout = MEASURES if change == "format" else ("other", *MEASURES[1:])
    ((key, value),) = encoded({ONE: (1, b"", {0: 1})}, layout).items()
    if change == "format":
        value = b"\x09" + value[1:]
    expected = f"format {9 if change == 'format' else 1} and layout {fingerprint(layout):08x}"
    with pytest.raises(UnknownFormatError, match=expected):
        RowDecoder(MEASURES, {}).decode({key: value})


@given(KEYS, KEYS)
def test_keys_differ_where_rows_do(one: RowKey[Dims], other: RowKey[Dims]) -> None:
    """Compaction keeps one record per row, so keys must not meet, nor change."""
    assert (encode_row_key(one) == encode_row_key(other)) == (one == other)
    assert encode_row_key(one)[:1] == b"r"


def test_no_rows_are_no_records() -> None:
    """An idle partition writes nothing."""
    assert encoded({}) == {}
    assert len(RowDecoder(MEASURES, {}).decode({}).minute) == 0
