"""A plain consumer of committed records, as recovery uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from aiokafka.errors import KafkaConnectionError
from faust.types import TP

from stream.sim.broker import Broker
from stream.sim.log import Record
from stream.sim.producer import SimProducer


class SimReader:
    """Reads one partition it was told of, in chunks of a random size."""

    def __init__(self, broker: Broker) -> None:
        """Not started."""
        self._broker = broker
        self._network = broker.network
        self._positions: dict[Any, int] = {}

    async def start(self) -> None:
        """Finds the broker, or fails."""
        fails = self._network.hits(self._network.weather.read_fails)
        await self._network.ask(lambda: None, patient=False)
        if fails:
            self._broker.trace.count("readers failed")
            raise KafkaConnectionError

    async def stop(self) -> None:
        """Lets go."""
        await asyncio.sleep(0)

    def assign(self, places: Sequence[Any]) -> None:
        """Will read these."""
        self._positions = dict.fromkeys(places, 0)

    async def end_offsets(self, places: Sequence[Any]) -> dict[Any, int]:
        """The last stable offsets."""
        return await self._of(places, lambda place: self._broker.log(place).stable)

    async def beginning_offsets(self, places: Sequence[Any]) -> dict[Any, int]:
        """Where the partitions begin."""
        return await self._of(places, lambda _: 0)

    def seek(self, place: Any, offset: int) -> None:
        """Goes on from there."""
        self._positions[place] = offset

    async def position(self, place: Any) -> int:
        """The next offset to be fetched."""
        return self._positions[place]

    async def getmany(self, *, timeout_ms: int) -> dict[Any, list[Record]]:
        """What is next, or nothing after a while."""
        del timeout_ms
        found: dict[Any, list[Record]] = {}
        for place, position in self._positions.items():
            limit = self._network.rng.choice((3, 50, 500))
            log = self._broker.log(place)
            read = partial(log.read, position, limit)
            records, after = await self._network.ask(read)
            self._positions[place] = after
            if records:
                found[place] = records
        return found

    async def _of(self, places: Sequence[Any], find: Any) -> dict[Any, int]:
        found: dict[Any, int] = await self._network.ask(
            lambda: {place: find(TP(*place)) for place in places}
        )
        return found


class SimClients:
    """The seam: what production code takes for its Kafka clients."""

    def __init__(self, broker: Broker) -> None:
        """Clients of this broker."""
        self._broker = broker

    def producer(self, transactional_id: str) -> SimProducer:
        """A transactional producer."""
        return SimProducer(self._broker, transactional_id)

    def reader(self) -> SimReader:
        """A consumer of committed records, of no group."""
        return SimReader(self._broker)
