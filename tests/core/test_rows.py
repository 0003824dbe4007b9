"""Rows: one per minute and combination of dimensions, with the ids they have absorbed."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from stream.core import athand
from stream.core.arrays import Ints
from stream.core.columns import event_digests
from stream.core.dims import Dims
from stream.core.measures import COLUMNS
from stream.core.rowids import ID_BYTES
from stream.core.rows import SEGMENT_IDS_MAX, RowKey, RowStore, StoredRows
from tests.core.build import minute

M: Final = minute("2024-06-03T11:59Z")


def dims(agent: str = "a1", queue: str | None = None) -> Dims:
    """The dimensions of an agent's row."""
    return Dims(agent, None, None, queue, None, None, None, None)


def digest(event_id: str) -> int:
    """What stands for a contact's id."""
    return int.from_bytes(event_digests("interaction", [event_id])[0], "little")


def absorb(
    store: RowStore[Dims],
    event_id: str,
    of: Dims | None = None,
    at: int = M,
    at_ms: int | None = None,
) -> int:
    """Absorbs an event of that minute, by default in its first millisecond."""
    store.ids_in(at).add(digest(event_id))
    found = store.absorb(
        np.array([at]),
        store.numbers([of or dims()]),
        np.array([digest(event_id)], dtype=np.uint64),
        np.array([at * 60_000 if at_ms is None else at_ms]),
    )
    store.tidy()
    return int(found.rows[0])


def knows(store: RowStore[Dims], at: int, event_id: str) -> bool:
    """Whether an event is known in a minute."""
    return digest(event_id) in store.ids_in(at)


def held(store: RowStore[Dims], row: int) -> bytes:
    """The ids that a row has absorbed."""
    return store.ids(np.array([row]))[0]


def sums(store: RowStore[Dims], row: int) -> Ints:
    """A row's measures."""
    found: Ints = store.measures(np.array([row]))[0]
    return found


def filled(events: int) -> RowStore[Dims]:
    """A store whose one combination of dimensions has absorbed so many events."""
    store: RowStore[Dims] = RowStore()
    for number in range(events):
        absorb(store, f"e{number}")
    return store


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
    """A duplicate carries the same time."""
    store: RowStore[Dims] = RowStore()
    assert not knows(store, M, "e1")
    absorb(store, "e1")
    assert knows(store, M, "e1")
    assert not knows(store, M + 1, "e1")


@pytest.mark.parametrize("order", [[5, 9], [9, 5], [9, 9]])
def test_a_row_remembers_its_latest_event(order: list[int]) -> None:
    """Whatever order they come in."""
    store: RowStore[Dims] = RowStore()
    rows = [absorb(store, f"e{at_ms}", at_ms=at_ms) for at_ms in order]
    assert store.latest_ms[rows].tolist() == [9, 9]


def test_a_block_is_cut_where_a_row_is_full() -> None:
    """As if its events had come one by one."""
    store, events = filled(SEGMENT_IDS_MAX - 1), 2 * SEGMENT_IDS_MAX
    digests = np.arange(1, events + 1, dtype=np.uint64)
    at_ms = np.arange(events) + M * 60_000
    number = store.numbers([dims()])
    absorbed = store.absorb(np.full(events, M), np.repeat(number, events), digests, at_ms)
    assert [len(ids) // ID_BYTES for ids in store.ids(absorbed.rows)] == [
        SEGMENT_IDS_MAX,
        SEGMENT_IDS_MAX,
        SEGMENT_IDS_MAX - 1,
    ]
    assert absorbed.sums(np.ones((events, 1), dtype=np.int64)).ravel().tolist() == [
        1,
        SEGMENT_IDS_MAX,
        SEGMENT_IDS_MAX - 1,
    ]
    assert (store.latest_ms[absorbed.rows] - M * 60_000).tolist() == [
        0,
        SEGMENT_IDS_MAX,
        events - 1,
    ]


def test_minutes_that_are_let_go_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats are known and open rows found, however many minutes are in use."""
    monkeypatch.setattr(athand, "IDS_MAX", 3)
    store: RowStore[Dims] = RowStore()
    rows = [absorb(store, f"e{n}", at=M + n) for n in range(50)]
    assert len(store._at_hand) == athand.BLOCKS_KEPT - 1
    assert all(knows(store, M + n, f"e{n}") for n in range(50))
    assert [absorb(store, f"f{n}", at=M + n) for n in range(50)] == rows


def test_minutes_of_a_backlog_are_let_go_and_made_anew() -> None:
    """Once it is counted, they would be in the way for good."""
    store: RowStore[Dims] = RowStore()
    rows = [absorb(store, f"e{n}", at=M + n) for n in range(5)]
    store.catch_up()
    assert len(store._at_hand) == 0
    assert all(knows(store, M + n, f"e{n}") for n in range(5))
    assert [absorb(store, f"f{n}", at=M + n) for n in range(5)] == rows


def test_a_sum_may_need_more_than_32_bits() -> None:
    """Sums are exact whatever they come to."""
    store: RowStore[Dims] = RowStore()
    rows = np.array([absorb(store, "e1"), absorb(store, "e2", at=M + 1)])
    for _ in range(3):
        store.add(rows, np.full((2, COLUMNS), 2**31 - 1))
    assert store.measures(rows).tolist() == [[3 * (2**31 - 1)] * COLUMNS] * 2


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
    assert [len(held(store, row)) // ID_BYTES for row in rows] == segments
    assert [store.key(row) for row in rows] == [
        RowKey(M, number, dims()) for number in range(len(segments))
    ]


def test_every_segments_ids_are_known() -> None:
    """A closed segment still tells a repeat."""
    store = filled(SEGMENT_IDS_MAX + 1)
    for number in (0, SEGMENT_IDS_MAX - 1, SEGMENT_IDS_MAX):
        assert knows(store, M, f"e{number}")


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_loaded_segments_go_on_where_the_last_one_ended(order: list[int]) -> None:
    """Whatever order rows are stored in, closed segments are never written again."""
    before = filled(2 * SEGMENT_IDS_MAX + 5)
    rows = [before.panes[M].rows[number] for number in order]
    store: RowStore[Dims] = RowStore()
    store.load(
        StoredRows(
            minute=np.full(3, M),
            segment=np.array([before.key(row).segment for row in rows]),
            dims=[dims()],
            dims_at=np.zeros(3, dtype=np.int64),
            latest_ms=np.full(3, M * 60_000),
            ids=[held(before, row) for row in rows],
            measures=np.zeros((3, COLUMNS), dtype=np.int64),
        )
    )
    assert store.key(absorb(store, "new")) == RowKey(M, 2, dims())
    assert knows(store, M, "e0")
    assert knows(store, M, f"e{2 * SEGMENT_IDS_MAX}")
    assert not knows(store, M, "other")


def test_an_evicted_minute_is_forgotten_whole() -> None:
    """Its rows' keys are returned, and the dimensions that no row has any more."""
    store: RowStore[Dims] = RowStore()
    absorb(store, "e1")
    absorb(store, "e2", dims("a2"))
    kept = absorb(store, "e3", at=M + 1)
    _, keys, orphans = store.evict([M])
    assert keys == [RowKey(M, 0, dims()), RowKey(M, 0, dims("a2"))]
    assert [store.dims[index] for index in orphans] == [dims("a2")]
    assert len(store) == 1
    assert store.key(kept) == RowKey(M + 1, 0, dims())
    assert not knows(store, M, "e1")


def test_freed_places_are_used_again_and_empty() -> None:
    """A row in a place that another had left begins from nothing."""
    store: RowStore[Dims] = RowStore()
    row = absorb(store, "e1")
    store.add(np.array([row]), np.full((1, COLUMNS), 7))
    (orphan,) = store.evict([M]).orphans
    store.release_dims(orphan)
    again = absorb(store, "e2", dims("a2"), M + 1, at_ms=5)
    assert again == row
    assert store.key(again) == RowKey(M + 1, 0, dims("a2"))
    assert not sums(store, again).any()
    assert store.latest_ms[again] == 5
    assert held(store, again) == event_digests("interaction", ["e2"])[0]
    assert (len(store.dims), len(store)) == (1, 1)


def test_places_do_not_grow_while_minutes_come_and_go() -> None:
    """Ten rows at a time need ten places, however long the store lives."""
    store: RowStore[Dims] = RowStore()
    for step in range(500):
        for number in range(10):
            absorb(store, f"e{step}-{number}", dims(f"a{step}-{number}"), at=M + step)
        for orphan in store.evict([M + step]).orphans:
            store.release_dims(orphan)
    assert len(store.row_ids) == len(store.dims) == 10


def test_rows_keep_their_values_while_the_store_grows() -> None:
    """Past the first capacity every column is as it was."""
    store: RowStore[Dims] = RowStore()
    for number in range(3_000):
        row = absorb(store, f"e{number}", at=M + number)
        store.add(np.array([row]), np.full((1, COLUMNS), number))
    assert [store.key(row).minute for row in range(3_000)] == [M + n for n in range(3_000)]
    assert store.measures(np.arange(3_000))[:, 3].tolist() == list(range(3_000))
