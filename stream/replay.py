"""Files → topics in the order of event time, with clock records that move the worker's now.

File order is not time order, so events are sorted; and a replay's worker must not look at the
wall clock, so after each minute of event time a clock record goes into every partition of both
input topics. The last one asks the worker to settle: to show every reading as of that instant.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import orjson
from aiokafka import AIOKafkaProducer
from faust.types import TP

from stream.adapters import TimedEvent
from stream.config import Settings
from stream.core.windows import DAY_MINUTES, MINUTE_MS
from stream.kafka.clocks import CLOCK_KEY
from stream.kafka.connection import connection_options
from stream.kafka.delivery import Outgoing, send_batches
from stream.kafka.partitioner import partition_of
from stream.kafka.topology import Topology, prepare

IDLE_MS_MAX: Final = 8 * DAY_MINUTES * MINUTE_MS
_RECORDS_PER_SEND: Final = 20_000
Progress = Callable[[int], None]


async def replay(
    settings: Settings,
    events: Iterable[TimedEvent],
    *,
    until_ms: int | None = None,
    speed: float | None = None,
    progress: Progress = lambda _: None,
) -> None:
    """Sends `events` (sorted by time) and clocks up to `until_ms`.

    `speed` is event time per wall time (None: as fast as Kafka takes them). `until_ms` is the
    minute after the last event where it is not given.
    """
    topology = await prepare(settings)
    producer = AIOKafkaProducer(**connection_options(settings), acks="all", linger_ms=5)
    await producer.start()
    try:
        sender = _Sender(producer, topology)
        began, first_ms = time.monotonic(), None
        for step in _minutes(iter(events), until_ms):
            first_ms = step.end_ms if first_ms is None else first_ms
            if speed:
                pause_s = (step.end_ms - first_ms) / 1000 / speed - (time.monotonic() - began)
                await asyncio.sleep(max(0.0, pause_s))
            sender.add(step.events)
            sender.add_clock(step.end_ms, settle=step.is_last)
            if speed or sender.size >= _RECORDS_PER_SEND or step.is_last:
                await sender.send()
            progress(len(step.events))
    finally:
        await producer.stop()


class _Step(NamedTuple):
    """A minute of a replay: its events, and the instant that its clock record says."""

    end_ms: int
    events: list[TimedEvent]
    is_last: bool


def _minutes(events: Iterator[TimedEvent], until_ms: int | None) -> Iterator[_Step]:
    """Each minute with its events, idle ones too; the last one ends at `until_ms`, if given."""
    collected: list[TimedEvent] = []
    end_ms: int | None = None
    for event in events:
        end_ms = _next_minute(event.at_ms) if end_ms is None else end_ms
        for step_ms in _ends(end_ms, event.at_ms):
            yield _Step(step_ms, collected, is_last=False)
            collected, end_ms = [], step_ms + MINUTE_MS
        if event.at_ms >= end_ms:
            end_ms = _next_minute(event.at_ms)
        collected.append(event)
    last_ms = until_ms if until_ms is not None else end_ms
    if last_ms is None:
        return
    for step_ms in _ends(end_ms, last_ms - 1) if end_ms is not None else ():
        yield _Step(step_ms, collected, is_last=False)
        collected = []
    yield _Step(last_ms, collected, is_last=True)


def _ends(first_ms: int, until_ms: int) -> range:
    """The minutes' ends from `first_ms` to `until_ms`, but of a long silence only eight days.

    The usual windows are empty after that, and one wrong date must not mean a million clocks.
    """
    return range(first_ms, min(until_ms, first_ms + IDLE_MS_MAX) + 1, MINUTE_MS)


def _next_minute(at_ms: int) -> int:
    return (at_ms // MINUTE_MS + 1) * MINUTE_MS


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
