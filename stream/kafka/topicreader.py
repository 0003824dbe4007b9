"""Reads a whole topic as any consumer may: committed records only, and of no group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from stream.config import Settings
from stream.kafka.clients import committed_reader
from stream.kafka.topicconfig import RECORD_BYTES_MAX
from stream.kafka.topology import TopologyError, administration, partition_counts

BEGINNING: Final = 0
_POLL_MS: Final = 500


class TopicReader:
    """All partitions of a topic. `starts`: from which offset each is read."""

    def __init__(
        self, consumer: AIOKafkaConsumer, starts: dict[TP, int], ends: dict[TP, int]
    ) -> None:
        """`ends`: how far each partition went when the reading began."""
        self.starts = starts
        self._consumer = consumer
        self._ends = ends

    async def at_end(self) -> bool:
        """Whether all that was there at first has been read."""
        for place, end in self._ends.items():
            if await self._consumer.position(TopicPartition(*place)) < end:
                return False
        return True

    async def poll(self) -> list[Any]:
        """The next records, each partition's in their order; none if none come for a while."""
        found = await self._consumer.getmany(timeout_ms=_POLL_MS)
        return [record for records in found.values() for record in records]

    async def records(self, *, follow: bool) -> AsyncIterator[Any]:
        """One by one: those that were there at first, or for ever."""
        while follow or not await self.at_end():
            for record in await self.poll():
                if follow or record.offset < self._ends[TP(record.topic, record.partition)]:
                    yield record


@asynccontextmanager
async def open_topic(
    settings: Settings, topic: str, since_ms: int | None
) -> AsyncIterator[TopicReader]:
    """A reader of what was written from `since_ms` on (None: from now on).

    Raises:
        TopologyError: if no broker answers or lets us in, or the topic is not there.
    """
    async with administration(settings, tries=1) as admin:
        count = (await partition_counts(admin)).get(topic)
    if not count:
        raise TopologyError(
            f"topic {topic!r} is not at {settings.broker}, or we may not read it: a worker creates "
            "it at its first start, and its ACL has to name us"
        )
    consumer = committed_reader(settings, max_partition_fetch_bytes=RECORD_BYTES_MAX)
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(count)]
        consumer.assign(places)
        ends = _by_place(await consumer.end_offsets(places))
        starts = await _starts(consumer, ends, since_ms)
        for place, start in starts.items():
            consumer.seek(TopicPartition(*place), start)
        yield TopicReader(consumer, starts, ends)
    finally:
        await consumer.stop()


async def _starts(
    consumer: AIOKafkaConsumer, ends: Mapping[TP, int], since_ms: int | None
) -> dict[TP, int]:
    places = [TopicPartition(*place) for place in ends]
    if since_ms is None:
        return dict(ends)
    if since_ms == BEGINNING:
        return _by_place(await consumer.beginning_offsets(places))
    found = await consumer.offsets_for_times(dict.fromkeys(places, since_ms))
    later = {TP(*place): at.offset for place, at in found.items() if at is not None}
    return {**ends, **later}


def _by_place(offsets: Mapping[TopicPartition, int]) -> dict[TP, int]:
    """Aiokafka's partitions as Faust calls them, like everywhere in this room."""
    return {TP(*place): offset for place, offset in offsets.items()}
