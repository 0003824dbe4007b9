"""The block transport's own decisions, without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError, KafkaConnectionError
from faust.types import TP

from stream.kafka import blocks
from stream.kafka.blocks import BlockConsumer, BlockConsumerThread
from stream.kafka.topology import CONNECT_TRIES


def recovered(
    seek_to: Callable[[TP, int], Awaitable[None]], resume: Mapping[TP, int | None]
) -> Any:
    """A consumer whose worker has recovered and goes on from `resume`."""
    consumer: Any = BlockConsumer.__new__(BlockConsumer)
    consumer._thread = SimpleNamespace(seek_to=seek_to)
    consumer._read_offset, consumer.delivered = {}, {}
    consumer.can_resume_flow, consumer.suspend_flow = asyncio.Event(), asyncio.Event()
    consumer.app = SimpleNamespace(
        ownership=SimpleNamespace(resume=resume), consumer_generation_id=1
    )
    return consumer


@pytest.mark.parametrize("error", [IllegalStateError("revoked"), AssertionError("none assigned")])
def test_a_seek_that_a_rebalance_overtakes_is_left_to_the_next_one(
    error: Exception,
) -> None:
    """Aiokafka raises for a partition that is being taken away; the worker goes on."""
    sought: list[int] = []

    async def seek_to(place: TP, offset: int) -> None:
        if place.partition == 0:
            raise error
        sought.append(offset)

    consumer = recovered(seek_to, {TP("t", 0): 5, TP("t", 1): 7, TP("t", 2): None})
    asyncio.run(consumer.perform_seek())
    assert sought == [7]
    assert consumer.delivered == {TP("t", 1): 7}


def test_it_does_not_flow_where_a_rebalance_came_while_it_sought() -> None:
    """Faust resumes what it has recovered; the next recovery has to seek first. So it does."""

    async def seek_to(place: TP, _: int) -> None:
        if place.partition == 0:
            consumer.stop_flow()

    consumer = recovered(seek_to, {TP("t", 0): 5})
    consumer.stop_flow()
    asyncio.run(consumer.perform_seek())
    consumer.resume_flow()
    assert not consumer.flow_active
    consumer.app.ownership.resume = {TP("t", 1): 5}
    asyncio.run(consumer.perform_seek())
    consumer.resume_flow()
    assert consumer.flow_active


def test_what_an_assignment_that_is_over_had_to_seek_is_not_sought() -> None:
    """Its offsets are behind those that the next one has recovered."""
    sought: list[int] = []

    async def seek_to(_: TP, offset: int) -> None:
        sought.append(offset)
        consumer.app.consumer_generation_id += 1

    consumer = recovered(seek_to, {TP("t", 0): 5, TP("t", 1): 7})
    asyncio.run(consumer.perform_seek())
    assert sought == [5]


@pytest.mark.parametrize("failures", [2, CONNECT_TRIES])
def test_a_broker_that_has_gone_since_the_topics_were_looked_at_is_waited_for(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the first look: bounded tries, each consumer that found nobody closed."""
    monkeypatch.setattr(blocks, "CONNECT_PAUSE_S", 0.0)
    started: list[bool] = []
    stopped: list[bool] = []

    class Consumer:
        """Finds a broker after so many failures."""

        async def start(self) -> None:
            """Asks."""
            started.append(True)
            if len(started) <= failures:
                raise KafkaConnectionError("nobody there")

        async def stop(self) -> None:
            """Closes what was opened."""
            stopped.append(True)

    thread: Any = BlockConsumerThread.__new__(BlockConsumerThread)
    thread.thread_loop = None
    monkeypatch.setattr(thread, "_create_consumer", lambda **_: Consumer(), raising=False)
    if failures < CONNECT_TRIES:
        asyncio.run(thread.on_start())
    else:
        with pytest.raises(KafkaConnectionError):
            asyncio.run(thread.on_start())
    assert (len(started), len(stopped)) == (min(failures + 1, CONNECT_TRIES), failures)
