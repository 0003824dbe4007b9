"""Files → topics in the order of event time, with clock records that move the worker's now.

File order is not time order, so events are sorted; and a replay's worker must not look at the
wall clock, so after each minute of event time a clock record goes into every partition of both
input topics. The last one asks the worker to settle: to show every reading as of that instant.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final

import orjson
from aiokafka import AIOKafkaProducer
from faust.types import TP

from stream.adapters import TimedEvent
from stream.config import Settings
from stream.core.windows import MINUTE_MS
from stream.kafka.connection import connection_options
from stream.kafka.delivery import Outgoing, send_batches
from stream.kafka.partition import CLOCK_KEY
from stream.kafka.topology import Topology, partition_of, prepare

_RECORDS_PER_SEND: Final = 20_000
Progress = Callable[[int], None]


async def replay(
    settings: Settings,
    events: Sequence[TimedEvent],
    *,
    until_ms: int | None = None,
    speed: float | None = None,
    progress: Progress = lambda _: None,
) -> int:
    """Sends `events` (sorted by time) and clocks up to `until_ms`; returns the final instant.

    `speed` is event time per wall time (None: as fast as Kafka takes them). `until_ms` is the
    minute after the last event where it is not given.
    """
    if not events and until_ms is None:
        return 0
    topology = await prepare(settings)
    first_ms = events[0].at_ms if events else until_ms or 0
    last_ms = until_ms if until_ms is not None else _next_minute(events[-1].at_ms)
    producer = AIOKafkaProducer(**connection_options(settings), acks="all", linger_ms=5)
    await producer.start()
    try:
        sender = _Sender(producer, topology)
        began = time.monotonic()
        for now_ms, minute_events in _minutes(events, first_ms, last_ms):
            if speed:
                pause_s = (now_ms - first_ms) / 1000 / speed - (time.monotonic() - began)
                await asyncio.sleep(max(0.0, pause_s))
            sender.add(minute_events)
            sender.add_clock(now_ms, settle=now_ms == last_ms)
            if speed or sender.size >= _RECORDS_PER_SEND or now_ms == last_ms:
                await sender.send()
            progress(len(minute_events))
    finally:
        await producer.stop()
    return last_ms


def _next_minute(at_ms: int) -> int:
    return (at_ms // MINUTE_MS + 1) * MINUTE_MS


def _minutes(
    events: Sequence[TimedEvent], first_ms: int, last_ms: int
) -> Iterator[tuple[int, list[TimedEvent]]]:
    """Each minute's end with the events before it; the last end is `last_ms` itself."""
    groups = {end: list(g) for end, g in groupby(events, key=lambda e: _next_minute(e.at_ms))}
    for end in range(_next_minute(first_ms), last_ms, MINUTE_MS):
        yield end, groups.pop(end, [])
    yield last_ms, [event for group in groups.values() for event in group]


class _Sender:
    """Collects records by partition and sends them in batches."""

    def __init__(self, producer: AIOKafkaProducer, topology: Topology) -> None:
        self.size = 0
        self._producer = producer
        self._partitions = topology.partitions
        self._topics = {"interaction": topology.interactions, "survey": topology.surveys}
        self._waiting: dict[TP, list[Outgoing]] = {}

    def add(self, events: Sequence[TimedEvent]) -> None:
        for event in events:
            place = TP(self._topics[event.kind], partition_of(event.key, self._partitions))
            self._put(place, Outgoing(event.key.encode(), event.raw))

    def add_clock(self, now_ms: int, *, settle: bool) -> None:
        value = orjson.dumps({"now": now_ms, "settle": True} if settle else {"now": now_ms})
        for topic in self._topics.values():
            for number in range(self._partitions):
                self._put(TP(topic, number), Outgoing(CLOCK_KEY, value))

    async def send(self) -> None:
        waiting, self._waiting, self.size = self._waiting, {}, 0
        futures = [
            future
            for place, records in waiting.items()
            for future in await send_batches(self._producer, place, records)
        ]
        await asyncio.gather(*futures)

    def _put(self, place: TP, record: Outgoing) -> None:
        self._waiting.setdefault(place, []).append(record)
        self.size += 1
