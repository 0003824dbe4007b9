"""The second way to deliver, for brokers without transactions: what comes before what."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch
from faust.types import TP

from stream.config import load_settings
from stream.kafka.delivery import (
    AtLeastOnce,
    DeliveryError,
    Flush,
    Outgoing,
    RebalancedError,
    send_batches,
)
from stream.kafka.recovery import Latest
from stream.kafka.rolluplane import RollupLane
from stream.kafka.rowlane import RowLane
from tests.kafka.test_partition import stage

PARTS = ("rows", "outputs", "states")
OFFSETS = {TP("interactions", 0): 7}


class Kafka:
    """Producer and consumer in one; notes what was acknowledged, and fails at one topic."""

    def __init__(self, failing: str = "", *, rebalanced: bool = False) -> None:
        self.done: list[str] = []
        self._failing = failing
        self._rebalanced = rebalanced

    def create_batch(self) -> BatchBuilder:
        """An empty one."""
        return BatchBuilder(1_024, 0)

    async def send_batch(
        self, _: BatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[None]:
        """Acknowledges a little later."""
        del partition
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def answer() -> None:
            if topic == self._failing:
                future.set_exception(KafkaError("too large"))
            else:
                self.done.append(topic)
                future.set_result(None)

        asyncio.get_running_loop().call_later(0.001, answer)
        return future

    async def commit_offsets(self, offsets: dict[TP, int]) -> bool:
        """The group's answer."""
        assert offsets == OFFSETS
        self.done.append("offsets")
        return not self._rebalanced


def flush() -> Flush:
    """A record for each part."""
    made = Flush(0, offsets=OFFSETS)
    for part in PARTS:
        getattr(made, part)[TP(part, 0)] = [Outgoing(b"k", b"v")]
    return made


def deliver(kafka: Kafka) -> None:
    """Delivers a flush by it."""
    asyncio.run(AtLeastOnce(kafka, kafka).deliver(flush()))  # type: ignore[arg-type]  # what is used of both


def test_offsets_are_committed_when_all_else_is_acknowledged() -> None:
    """A crash in between repeats, and never loses."""
    kafka = Kafka()
    deliver(kafka)
    assert kafka.done == [*PARTS, "offsets"]


@pytest.mark.parametrize("failing", PARTS)
def test_nothing_follows_what_was_not_acknowledged(failing: str) -> None:
    """An alert's state without its transition would be an alert lost."""
    kafka = Kafka(failing)
    with pytest.raises(DeliveryError, match="too large"):
        deliver(kafka)
    assert kafka.done == list(PARTS[: PARTS.index(failing)])


def test_a_group_that_has_moved_on_is_no_failure() -> None:
    """Its new owner reads the tail again."""
    with pytest.raises(RebalancedError, match="has rebalanced"):
        deliver(Kafka(rebalanced=True))


def test_the_promise_says_what_it_does_not_cover() -> None:
    """Stated at every start."""
    assert load_settings(None, delivery="at_least_once").delivery == "at_least_once"
    for words in ("repeated, not lost", "frozen"):
        assert words in AtLeastOnce.promise


@pytest.mark.parametrize("lane", [RowLane, RollupLane])
def test_a_partition_is_fenced_before_it_is_read(
    lane: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read cannot be added to by its owner before: else a zombie's last flush is missed."""
    steps: list[str] = []

    class Delivery:
        """Notes when it is opened."""

        async def open(self, partition: int) -> None:
            """Fences."""
            steps.append(f"fenced {partition}")

        def resume(self, *_: Any) -> None:
            """Nothing to go on from."""

    async def read(*_: Any) -> Latest:
        steps.append("read")
        return Latest({}, 0)

    async def progress(*_: Any) -> dict[str, Any]:
        steps.append("asked")
        return {}

    module = lane.__module__
    monkeypatch.setattr(f"{module}.read_latest", read)
    monkeypatch.setattr(f"{module}.agreed_progress", progress)
    site = stage(partitions=2).site
    made = lane(site, Delivery(), None, *([lambda: 0] if lane is RowLane else []))
    asyncio.run(made.recover(1))
    assert steps[0] == "fenced 1"
    assert "read" in steps


def test_records_go_in_as_many_batches_as_they_need() -> None:
    """In their order, each once, one that is larger than a batch alone; of none, none is sent."""
    sent: list[list[bytes]] = []

    class Producer:
        """Takes batches."""

        def create_batch(self) -> BatchBuilder:
            """One that holds a few records."""
            return BatchBuilder(300, 0)

        async def send_batch(self, batch: BatchBuilder, *_: Any, **__: Any) -> Any:
            """Reads it."""
            count, read = batch.record_count(), DefaultRecordBatch(bytes(batch._build()))
            sent.append([record.value for record in read])
            assert len(sent[-1]) == count

    values = [b"%d" % n * (400 if n == 7 else 60) for n in range(10)]
    producer: Any = Producer()
    asyncio.run(send_batches(producer, TP("t", 0), [Outgoing(b"k", value) for value in values]))
    assert [value for batch in sent for value in batch] == values
    assert [len(batch) for batch in sent] == [3, 3, 1, 1, 2]
    asyncio.run(send_batches(producer, TP("t", 0), []))
    assert len(sent) == 5
