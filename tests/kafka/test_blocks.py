"""The block transport's own decisions, without a broker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP

from stream.kafka.blocks import BlockConsumer


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

    consumer: Any = BlockConsumer.__new__(BlockConsumer)
    consumer._thread = SimpleNamespace(seek_to=seek_to)
    consumer._read_offset, consumer.delivered = {}, {}
    consumer.app = SimpleNamespace(
        ownership=SimpleNamespace(resume={TP("t", 0): 5, TP("t", 1): 7, TP("t", 2): None})
    )
    asyncio.run(consumer.perform_seek())
    assert sought == [7]
    assert consumer.delivered == {TP("t", 1): 7}
