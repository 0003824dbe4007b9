"""Reading topics from where one left off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition

from stream.config import load_settings
from stream.notify.inbox import Inbox, Source


class Consumer:
    """In place of aiokafka's."""

    def __init__(self, _settings: object) -> None:
        self.partitions = {0}
        self.positions: dict[Any, int] = {}
        self.heard_ms: dict[int, int] = {}

    def partitions_for_topic(self, _topic: str) -> set[int]:
        """Those that the cluster has now."""
        return self.partitions

    async def start(self) -> None:
        """Nothing to connect to."""

    def assign(self, places: list[Any]) -> None:
        """Forgets all positions, as aiokafka's does."""
        self.positions = dict.fromkeys(places, -1)

    def seek(self, place: Any, offset: int) -> None:
        """Goes on there."""
        self.positions[place] = offset

    async def beginning_offsets(self, places: list[Any]) -> dict[Any, int]:
        """The first ten records are deleted."""
        return dict.fromkeys(places, 10)

    async def end_offsets(self, places: list[Any]) -> dict[Any, int]:
        """Twenty more are there."""
        return dict.fromkeys(places, 30)

    async def position(self, place: Any) -> int:
        """Where it reads on."""
        return self.positions[place]

    async def getmany(self, timeout_ms: int) -> dict[Any, list[Any]]:
        """Nothing comes."""
        del timeout_ms
        return {}

    def last_poll_timestamp(self, place: Any) -> int | None:
        """When a broker answered for it."""
        return self.heard_ms.get(place.partition)

    def last_stable_offset(self, _place: Any) -> int | None:
        """Where the topic ends."""
        return 30


@pytest.fixture(autouse=True)
def consumers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No consumer here is a real one."""
    monkeypatch.setattr("stream.notify.inbox.committed_reader", Consumer)


def inbox() -> tuple[Inbox, Any]:
    """One of a topic with one partition, so far."""
    made = Inbox(load_settings(None), Source("alerts", 1, ""))
    return made, made._consumer


def test_it_goes_on_where_it_was() -> None:
    """And where that is gone, or was never there, at the start: nothing is skipped."""
    for remembered, found in (({"0": 12}, 12), ({}, 10), ({"0": 3}, 10), ({"0": 31}, 10)):
        made, consumer = inbox()
        asyncio.run(made.open(remembered))
        assert consumer.positions == {TopicPartition("alerts", 0): found}


def test_a_partition_that_is_added_is_read_from_its_start() -> None:
    """The others go on where they were."""
    made, consumer = inbox()
    asyncio.run(made.open({"0": 12}))
    consumer.partitions = {0, 1}
    asyncio.run(made.read())
    assert consumer.positions == {TopicPartition("alerts", 0): 12, TopicPartition("alerts", 1): 0}
    assert made.next_offsets == {"0": 12, "1": 0}
    assert made.lag == 18 + 30


def test_it_says_since_when_it_hears_nothing() -> None:
    """Of all its partitions: one whose broker is away is enough."""

    async def run() -> None:
        made, consumer = inbox()
        consumer.partitions = {0, 1}
        await made.open({})
        consumer.heard_ms = {0: 5_000}
        await made.read()
        assert made.heard_ms is None
        consumer.heard_ms = {0: 9_000, 1: 7_000}
        await made.read()
        assert made.heard_ms == 7_000

    asyncio.run(run())


def test_it_is_cut_off_until_what_was_missed_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that comes while records are asked for may have brought more than was found."""
    clock_ms = 1_000_000
    monkeypatch.setattr("stream.notify.inbox.wall_clock_ms", lambda: clock_ms)

    async def run() -> None:
        nonlocal clock_ms
        made, consumer = inbox()
        await made.open({"0": 30})
        await made.read()
        seen = [made.is_cut_off]
        clock_ms += 20 * 60_000
        seen.append(made.is_cut_off)

        async def answered(timeout_ms: int) -> dict[Any, list[Any]]:
            nonlocal clock_ms
            clock_ms += timeout_ms // 2
            consumer.heard_ms = {0: clock_ms}
            return {}

        consumer.getmany = answered
        for _ in range(4):
            await made.read()
            seen.append(made.is_cut_off)
        assert seen == [False, True, True, True, False, False]

    asyncio.run(run())
