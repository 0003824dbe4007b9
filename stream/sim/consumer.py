"""A worker's group consumer: the production one's decisions over fetches from memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any, Final, cast

from aiokafka.errors import IllegalStateError
from faust.types import TP

from stream.kafka.blocks import BlockConsumer
from stream.sim.broker import Broker
from stream.sim.log import Record

# What is called of it with a stand-in for `self`: the lines are the production code's.
_PRODUCTION: Final = cast(Any, BlockConsumer)


class Fetcher:
    """aiokafka's consumer behind Faust's thread: positions, and fetches that run ahead.

    Stands for `BlockConsumerThread`. `_fetch_records` notes what was delivered in the step that
    moves the position, as production does.
    """

    def __init__(self, broker: Broker, consumer: SimConsumer) -> None:
        """Nothing assigned."""
        self.positions: dict[TP, int] = {}
        self._in_order = asyncio.Lock()
        self._broker = broker
        self._consumer = consumer

    def assign(self, numbers: set[int]) -> None:
        """A new assignment goes on from the committed offsets, as aiokafka itself would."""
        offsets = self._broker.coordinator.offsets
        places = [TP(t, n) for t in self._broker.topology.consumed for n in sorted(numbers)]
        self.positions = {place: offsets.get(place, 0) for place in places}

    async def fetch(self, active: set[TP]) -> dict[TP, list[Record]]:
        """The next blocks, of random sizes, from some of the active partitions."""
        network, rng = self._broker.network, self._broker.network.rng
        limit = rng.choice((1, 2, 5, 100))
        found = await network.ask(lambda: self._read(limit, active))
        blocks: dict[TP, list[Record]] = {}
        for place, (asked, records, after) in found.items():
            if self.positions.get(place) != asked:
                continue  # sought or revoked since: aiokafka throws such a fetch away
            self.positions[place] = after
            if records:
                blocks[place] = records
                self._consumer.delivered[place] = records[-1].offset + 1
        return blocks

    async def wait(self, active: set[TP]) -> None:
        """A long poll."""
        if not self._read(1, active):
            await self._broker.news()

    async def seek_to(self, place: TP, offset: int) -> None:
        """Moves the position; in a thread of its own, hence a moment later, and one by one."""
        async with self._in_order:
            await asyncio.sleep(self._broker.network.delay())
            if place not in self.positions:
                raise IllegalStateError(f"{place} is not assigned")
            self.positions[place] = offset

    def highwater(self, place: TP) -> int:
        """Where the partition ended at the last fetch."""
        if place not in self.positions:
            raise IllegalStateError(f"{place} is not assigned")
        return self._broker.log(place).end

    async def committed(self, place: TP) -> int | None:
        """The group's committed offset."""
        offsets = self._broker.coordinator.offsets
        found: int | None = await self._broker.network.ask(lambda: offsets.get(place))
        return found

    def _read(self, limit: int, active: set[TP]) -> dict[TP, tuple[int, list[Record], int]]:
        return {
            place: (position, *self._broker.log(place).read(position, limit))
            for place, position in self.positions.items()
            if place in active and self._broker.log(place).stable > position
        }


class SimConsumer:
    """What production code asks of `BlockConsumer`, by that class's own lines where it has any."""

    should_stop = False
    logger = SimpleNamespace(info=lambda *_: None)

    def __init__(self, broker: Broker, app: Any) -> None:
        """Not assigned anything; the flow stands still."""
        self.app = app
        self.delivered: dict[TP, int] = {}
        self.flow_active = False
        self.is_sought = False
        self.can_resume_flow, self.suspend_flow = asyncio.Event(), asyncio.Event()
        self._thread = Fetcher(broker, self)
        self._broker = broker
        self._active: set[TP] = set()
        self._resumed = asyncio.Event()
        self._buffered_partitions: set[TP] = set()
        self._read_offset: dict[TP, int | None] = {}

    def assign(self, numbers: set[int]) -> None:
        """Takes a new assignment, paused, as Faust does."""
        self._thread.assign(numbers)
        self._active.clear()
        self._resumed.clear()

    def resume_partitions(self) -> None:
        """Lets all that is assigned be fetched, where it flows."""
        self._active.update(self._thread.positions)
        if self._active:
            self._resumed.set()

    def stop_flow(self) -> None:
        """Production's own."""
        _PRODUCTION.stop_flow(self)

    def resume_flow(self) -> None:
        """Production's own."""
        _PRODUCTION.resume_flow(self)

    async def drain(self) -> AsyncIterator[Any]:
        """Blocks in order, as Faust's `_drain_messages` hands them on: none it has handed on."""
        while True:
            async for place, message in self.getmany(1.0):
                read = self._read_offset.get(place)
                if read is None or message.offset >= read:
                    yield message
                    self._read_offset[place] = message.offset
            await asyncio.sleep(0)

    def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Production's own: what a rebalance keeps it from handing on is read again."""
        found: AsyncIterator[tuple[TP, Any]] = _PRODUCTION.getmany(self, timeout)
        return found

    async def perform_seek(self) -> None:
        """Production's own."""
        await _PRODUCTION.perform_seek(self)

    def highwater(self, place: TP) -> int:
        """Production's own."""
        found: int = _PRODUCTION.highwater(self, place)
        return found

    async def committed(self, place: TP) -> int | None:
        """Production's own."""
        found: int | None = await _PRODUCTION.committed(self, place)
        return found

    async def position(self, place: TP) -> int | None:
        """Asked of the consumer's thread."""
        if self._broker.network.hits(0.05):
            await asyncio.sleep(self._broker.network.delay())
        return self._thread.positions.get(place)

    def topic_partitions(self, topic: str) -> int | None:
        """As the metadata say."""
        del topic
        return self._broker.topology.partitions

    async def earliest_offsets(self, *places: TP) -> dict[TP, int]:
        """Where partitions begin."""
        return dict.fromkeys(places, 0)

    async def highwaters(self, *places: TP) -> dict[TP, int]:
        """Where partitions end for a reader of committed records."""
        found: dict[TP, int] = await self._broker.network.ask(
            lambda: {place: self._broker.log(place).stable for place in places}
        )
        return found

    async def _wait_next_records(self, timeout: float) -> tuple[dict[TP, list[Record]], set[TP]]:
        """Faust's: waits for the flow, then fetches from what is active, if anything is."""
        del timeout
        await self.can_resume_flow.wait()
        active = self._active
        if not active:
            await self._resumed.wait()  # Faust looks each second: at any moment after it
            await asyncio.sleep(self._broker.network.delay())
            return {}, active
        records = await self._thread.fetch(active)
        if not records:
            await self._thread.wait(active)
        elif self._broker.network.hits(0.3):
            await asyncio.sleep(self._broker.network.delay())
        return records, active

    async def _go_on_from(self, offsets: Mapping[TP, int | None]) -> None:
        await _PRODUCTION._go_on_from(self, offsets)

    def _to_block(self, place: TP, block: list[Record]) -> Any:
        """Faust's `Message`, as far as the fold looks at it."""
        return SimpleNamespace(
            topic=place.topic,
            partition=place.partition,
            offset=block[-1].offset,
            value=block,
            generation_id=self.app.consumer_generation_id,
        )
