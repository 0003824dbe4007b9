"""Rows: one per minute and combination of dimensions, with the ids they have absorbed."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from stream.core.rows import (
    ID_BYTES,
    SEGMENT_IDS_MAX,
    Dims,
    RowKey,
    RowStore,
    dims_of,
    event_digest,
    grown,
)
from tests.core.build import call, minute, survey

M: Final = minute("2024-06-03T11:59Z")


def dims(agent: str = "a1", queue: str | None = None) -> Dims:
    """The dimensions of an agent's row."""
    return Dims(agent, None, None, queue, None, None, None, None)


def absorb(store: RowStore[Dims], event_id: str, of: Dims | None = None, at: int = M) -> int:
    """Absorbs an event of that minute, in its first millisecond."""
    return store.absorb(at, of or dims(), event_digest("interaction", event_id), at * 60_000)


def filled(events: int) -> RowStore[Dims]:
    """A store whose one combination of dimensions has absorbed so many events."""
    store: RowStore[Dims] = RowStore()
    for number in range(events):
        absorb(store, f"e{number}")
    return store


def test_a_digest_is_eight_bytes_that_every_machine_agrees_on() -> None:
    """Literal digests of BLAKE2b keyed by the kind: ids outlive the process that made them."""
    assert event_digest("interaction", "e1").hex() == "441efefe95217cca"
    assert event_digest("survey", "e1").hex() == "316859104ec7ea9b"


def test_every_dimension_comes_from_its_own_field() -> None:
    """None is taken for another."""
    names = ["agent_id", "site_id", "team_id", "queue", "channel", "campaign", "product", "reason"]
    fields = {name: name for name in names}
    assert dims_of(call(**fields)) == tuple(names)
    assert dims_of(survey(**fields)) == tuple(names)
    assert dims_of(call(agent_id=None)) == (None,) * 8


def test_events_of_one_minute_and_dimensions_share_a_row() -> None:
    """Another minute or another combination is another row."""
    store: RowStore[Dims] = RowStore()
    rows = [absorb(store, "e1"), absorb(store, "e2"), absorb(store, "e3", dims(queue="q1"))]
    rows.append(absorb(store, "e4", at=M + 1))
    assert rows[0] == rows[1]
    assert len(set(rows)) == len(store) == 3
    assert [store.key(row) for row in rows[1:]] == [
        RowKey(M, 0, dims()),
        RowKey(M, 0, dims(queue="q1")),
        RowKey(M + 1, 0, dims()),
    ]


def test_an_id_is_known_in_its_minute_whatever_the_dimensions() -> None:
    """A duplicate carries the same time; its kind is part of its id."""
    store: RowStore[Dims] = RowStore()
    digest = event_digest("interaction", "e1")
    assert not store.knows(M, digest)
    absorb(store, "e1")
    assert store.knows(M, digest)
    assert not store.knows(M + 1, digest)
    assert not store.knows(M, event_digest("survey", "e1"))


@pytest.mark.parametrize("order", [[5, 9], [9, 5], [9, 9]])
def test_a_row_remembers_its_latest_event(order: list[int]) -> None:
    """Whatever order they come in."""
    store: RowStore[Dims] = RowStore()
    for at_ms in order:
        row = store.absorb(M, dims(), event_digest("interaction", f"e{at_ms}"), at_ms)
    assert store.latest_ms[row] == 9  # type: ignore[possibly-undefined]  # no order is empty


@pytest.mark.parametrize(
    ("events", "segments"),
    [
        (SEGMENT_IDS_MAX, [SEGMENT_IDS_MAX]),
        (SEGMENT_IDS_MAX + 1, [SEGMENT_IDS_MAX, 1]),
        (2 * SEGMENT_IDS_MAX + 5, [SEGMENT_IDS_MAX, SEGMENT_IDS_MAX, 5]),
    ],
)
def test_a_full_row_continues_in_a_new_segment(events: int, segments: list[int]) -> None:
    """No row holds more than 4,096 ids; the segments have keys of their own, counted from 0."""
    store = filled(events)
    rows = store.panes[M].rows
    assert [len(store.ids[row]) // ID_BYTES for row in rows] == segments
    assert [store.key(row) for row in rows] == [
        RowKey(M, number, dims()) for number in range(len(segments))
    ]


def test_every_segments_ids_are_known() -> None:
    """A closed segment still tells a repeat."""
    store = filled(SEGMENT_IDS_MAX + 1)
    for number in (0, SEGMENT_IDS_MAX - 1, SEGMENT_IDS_MAX):
        assert store.knows(M, event_digest("interaction", f"e{number}"))


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_loaded_segments_go_on_where_the_last_one_ended(order: list[int]) -> None:
    """Whatever order rows are stored in, closed segments are never written again."""
    before = filled(2 * SEGMENT_IDS_MAX + 5)
    rows = before.panes[M].rows
    store: RowStore[Dims] = RowStore()
    for number in order:
        store.load(before.key(rows[number]), M * 60_000, bytes(before.ids[rows[number]]))
    assert store.key(absorb(store, "new")) == RowKey(M, 2, dims())
    assert store.knows(M, event_digest("interaction", "e0"))
    assert store.knows(M, event_digest("interaction", f"e{2 * SEGMENT_IDS_MAX}"))
    assert not store.knows(M, event_digest("interaction", "other"))


def test_an_evicted_minute_is_forgotten_whole() -> None:
    """Its rows' keys are returned, and the dimensions that no row has any more."""
    store: RowStore[Dims] = RowStore()
    absorb(store, "e1")
    absorb(store, "e2", dims("a2"))
    kept = absorb(store, "e3", at=M + 1)
    keys, orphans = store.evict([M])
    assert keys == [RowKey(M, 0, dims()), RowKey(M, 0, dims("a2"))]
    assert [store.dims[index] for index in orphans] == [dims("a2")]
    assert len(store) == 1
    assert store.key(kept) == RowKey(M + 1, 0, dims())
    assert not store.knows(M, event_digest("interaction", "e1"))


def test_freed_places_are_used_again_and_empty() -> None:
    """A row in a place that another had left begins from nothing."""
    store: RowStore[Dims] = RowStore()
    row = absorb(store, "e1")
    store.measures[row] = 7
    (orphan,) = store.evict([M])[1]
    store.release_dims(orphan)
    again = store.absorb(M + 1, dims("a2"), event_digest("interaction", "e2"), 5)
    assert again == row
    assert store.key(again) == RowKey(M + 1, 0, dims("a2"))
    assert not store.measures[again].any()
    assert store.latest_ms[again] == 5
    assert bytes(store.ids[again]) == event_digest("interaction", "e2")
    assert (len(store.dims), len(store.ids)) == (1, 1)


def test_places_do_not_grow_while_minutes_come_and_go() -> None:
    """Ten rows at a time need ten places, however long the store lives."""
    store: RowStore[Dims] = RowStore()
    for step in range(500):
        for number in range(10):
            absorb(store, f"e{step}-{number}", dims(f"a{step}-{number}"), at=M + step)
        for orphan in store.evict([M + step])[1]:
            store.release_dims(orphan)
    assert len(store.ids) == len(store.dims) == 10


def test_rows_keep_their_values_while_the_store_grows() -> None:
    """Past the first capacity every column is as it was."""
    store: RowStore[Dims] = RowStore()
    for number in range(3_000):
        row = absorb(store, f"e{number}", at=M + number)
        store.measures[row, 3] = number
    assert [store.key(row).minute for row in range(3_000)] == [M + n for n in range(3_000)]
    assert store.measures[:3_000, 3].tolist() == list(range(3_000))


def test_a_grown_array_has_zeros_where_it_is_new() -> None:
    """Along the axis that was asked for."""
    array = np.ones((2, 2), dtype=np.int64)
    assert grown(array, 3).tolist() == [[1, 1], [1, 1], [0, 0]]
    assert grown(array, 3, axis=1).tolist() == [[1, 1, 0], [1, 1, 0]]
