"""A fetch's records are taken in lists, and the position is where aiokafka's would be."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.headers import Records
from stream.kafka.records import LeanRecords, LeanResult, make_records_lean
from tests.kafka.position import Position
from tests.kafka.test_headers import ABORT, COMMIT, PRODUCER, batch, transaction

PLACE = TP("t", 0)
SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=5)


def result(raw: bytes, position: Position, *, is_lean: bool, aborted: Any = None) -> Any:
    """What a fetcher makes of a response, as here or as aiokafka does."""
    records = (LeanRecords if is_lean else PartitionRecords)(
        *(PLACE, Records(raw), aborted, position.position, None, None, True, READ_COMMITTED)
    )
    kind = LeanResult if is_lean else FetchResult
    return kind(PLACE, assignment=position, partition_records=records, backoff=0)


def topic(sizes: list[int]) -> bytes:
    """Batches of so many records each, with room behind each for an offset that is no more."""
    begins = [sum(sizes[:number]) + number for number in range(len(sizes))]
    return b"".join(
        batch(begin, *(["n"] * size)) for begin, size in zip(begins, sizes, strict=True)
    )


def taken(found: Any, steps: list[int | None]) -> list[Any]:
    """What the steps bring, as long as there is something."""
    seen: list[Any] = []
    for step in steps:
        if found.has_more():
            seen += [(r.offset, r.value, r.timestamp) for r in found.getall(step)]
    return seen


@given(SIZES, st.integers(0, 6), st.lists(st.none() | st.integers(1, 6), max_size=8))
def test_records_and_positions_are_those_of_aiokafka(
    sizes: list[int], start: int, steps: list[int | None]
) -> None:
    """However many are asked for, also from the midst of a batch; a gap is passed as there."""
    raw = topic(sizes)
    seen = []
    for is_lean in (False, True):
        position = Position(start)
        found = result(raw, position, is_lean=is_lean)
        seen.append(taken(found, [*steps, None]))
        assert not found.has_more()
        assert position.position == sum(sizes) + len(sizes) - 1
    assert seen[0] == seen[1]


@given(SIZES, st.integers(1, 3))
def test_a_position_is_behind_what_was_handed_on_and_before_what_was_not(
    sizes: list[int], step: int
) -> None:
    """Else a restart in between would lose records, or count on their being known."""
    position = Position(0)
    found = result(topic(sizes), position, is_lean=True)
    offsets = [sum(sizes[:n]) + n + i for n, size in enumerate(sizes) for i in range(size)]
    while found.has_more():
        handed = [record.offset for record in found.getall(step)]
        assert len(handed) <= step
        done, offsets = offsets[: len(handed)], offsets[len(handed) :]
        assert handed == done
        assert all(offset < position.position for offset in done)
        assert all(offset >= position.position for offset in offsets)
    assert not offsets


def test_one_at_a_time_they_are_the_same() -> None:
    """For a consumer that asks so."""
    position = Position(0)
    found = result(topic([2, 1]), position, is_lean=True)
    assert [found.getone().offset for _ in range(3)] == [0, 1, 3]
    assert found.getone() is None
    assert not found.has_more()


@pytest.mark.parametrize(("marker", "values"), [(ABORT, [b"v0"]), (COMMIT, [b"v0", b"v1", b"v0"])])
def test_what_was_aborted_is_passed_over(marker: bytes, values: list[bytes]) -> None:
    """A transaction of two records, its marker, and a record behind."""
    raw = transaction(2, marker) + batch(3, "behind")
    records = LeanRecords(
        *(PLACE, Records(raw), [(PRODUCER, 0)] if marker == ABORT else [], 0),
        *(None, None, False, READ_COMMITTED),
    )
    assert [record.value for record in records.take(None)] == values
    assert records.next_fetch_offset == 4


@pytest.mark.parametrize("change", ["position", "paused", "active"])
def test_nothing_comes_of_a_fetch_that_is_of_the_past(change: str) -> None:
    """After a seek, while paused, and once the partition was given up."""
    position = Position(0)
    found = result(topic([3]), position, is_lean=True)
    assert len(found.getall(1)) == 1
    setattr(position, change, {"position": 0, "paused": True, "active": False}[change])
    assert found.getall(1) == []
    assert not found.has_more()


def test_fetches_are_taken_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fetcher of aiokafka makes and knows both by the names that are replaced."""
    for name in ("PartitionRecords", "FetchResult"):
        monkeypatch.setattr(fetcher, name, getattr(fetcher, name))
        assert name in fetcher.Fetcher._proc_fetch_request.__code__.co_names
    make_records_lean()
    assert fetcher.PartitionRecords is LeanRecords
    assert fetcher.FetchResult is LeanResult
    assert "FetchResult" in fetcher.Fetcher.fetched_records.__code__.co_names


@pytest.mark.parametrize("codec", range(5), ids=["plain", "gzip", "snappy", "lz4", "zstd"])
def test_records_are_read_by_whatever_codec_they_came(codec: int) -> None:
    """A producer chooses it: one that cannot be read would stop the worker for ever."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 2**20)
    for number in range(50):
        builder.append(number, 1_000, b"k", b"v" * 100, [])
    found = result(bytes(builder.build()), Position(0), is_lean=True).getall()
    assert [(record.offset, record.value) for record in found] == [
        (number, b"v" * 100) for number in range(50)
    ]
