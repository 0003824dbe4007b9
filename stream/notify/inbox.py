"""Reads topics from where one left off: the alerts, and the roster where it is a topic."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from faust.types import TP

from stream.config import Settings
from stream.kafka.clients import committed_reader
from stream.kafka.topicconfig import COMPACTED
from stream.kafka.topicids import topic_ids
from stream.kafka.topology import administration, create_topics, partition_counts
from stream.notify.hearing import Hearing
from stream.wallclock import wall_clock_ms

log = logging.getLogger(__name__)

_ASK_AGAIN_S: Final = 2.0
_POLL_MS: Final = 1_000


class Source(NamedTuple):
    """A topic: how many partitions it has, and what tells it from a successor of its name."""

    topic: str
    partitions: int
    topic_id: str


async def prepare(settings: Settings) -> dict[str, Source]:
    """Waits until a worker has made the `alerts` topic, and makes those that are the notifier's.

    Raises:
        TopologyError: if no broker answers or lets us in, or a topic cannot be made.
    """
    alerts, roster = settings.topics.alerts, settings.notify.roster_topic
    own = [settings.notified, *([roster] if roster else [])]
    async with administration(settings) as admin:
        while not (counts := await partition_counts(admin)).get(alerts):
            log.info("waiting for topic %s, which a worker makes", alerts)
            await asyncio.sleep(_ASK_AGAIN_S)
        for topic in own:
            if topic not in counts:
                await create_topics(admin, settings, {topic: COMPACTED}, 1)
        ids = await topic_ids(admin, [alerts])
    return {
        topic: Source(topic, counts.get(topic, 1), ids.get(topic, "")) for topic in (alerts, *own)
    }


class Inbox:
    """All partitions of one topic, committed records only, by a consumer of no group."""

    def __init__(self, settings: Settings, source: Source) -> None:
        """Connects to nothing yet."""
        self.source = source
        self.lag = 0
        self.next_offsets: dict[str, int] = {}
        self._places = [TopicPartition(source.topic, n) for n in range(source.partitions)]
        self._consumer = committed_reader(settings)
        self._hearing = Hearing()

    @property
    def heard_ms(self) -> int | None:
        """When all partitions were last answered for."""
        return self._hearing.all_ms

    @property
    def is_cut_off(self) -> bool:
        """Whether there may be news that a broker has not told us for a while."""
        return self._hearing.is_cut_off(wall_clock_ms())  # by which aiokafka notes answers, too

    async def open(self, offsets: Mapping[str, int]) -> dict[TP, int]:
        """Goes on at these offsets by partition; returns where the topic ends now.

        An offset that has been deleted, or that the topic has not come to, gives way to its start.
        """
        consumer = self._consumer
        await consumer.start()
        consumer.assign(self._places)
        starts = await consumer.beginning_offsets(self._places)
        ends = await consumer.end_offsets(self._places)
        for place in self._places:
            wanted = offsets.get(str(place.partition), starts[place])
            if not starts[place] <= wanted <= ends[place]:
                log.warning(
                    "%s[%d] has offsets %d to %d and was read up to %d: reading all of it",
                    *(place.topic, place.partition, starts[place], ends[place], wanted),
                )
                wanted = starts[place]
            consumer.seek(place, wanted)
            self.next_offsets[str(place.partition)] = wanted
        self._hearing.begin(wall_clock_ms())
        return {TP(*place): end for place, end in ends.items()}

    async def read(self) -> list[Any]:
        """The next records, none if none come within a second.

        None also while no broker answers, which `heard_ms` and `is_cut_off` tell.
        """
        self._adopt_new_partitions()
        # Asked before: what an answer brought until here is among what is found.
        polled = self._consumer.last_poll_timestamp
        answered_ms = {place.partition: polled(place) for place in self._places}
        found = await self._consumer.getmany(timeout_ms=_POLL_MS)
        for place in self._places:
            self.next_offsets[str(place.partition)] = await self._consumer.position(place)
        self.lag = sum(self._behind(place) for place in self._places)
        self._hearing.note(answered_ms, self.lag)
        return [record for records in found.values() for record in records]

    def _adopt_new_partitions(self) -> None:
        """A topic may be given more of them; what comes there is not to be missed."""
        topic, known = self.source.topic, {place.partition for place in self._places}
        new = (self._consumer.partitions_for_topic(topic) or set()) - known
        if not new:
            return
        log.info("%s has new partitions: %s", topic, sorted(new))
        self._places += [TopicPartition(topic, number) for number in sorted(new)]
        self._consumer.assign(self._places)
        for place in self._places:  # assigning anew forgets all positions
            offset = self.next_offsets.setdefault(str(place.partition), 0)
            self._consumer.seek(place, offset)

    def has_reached(self, ends: Mapping[TP, int]) -> bool:
        """Whether all before these offsets was read."""
        return all(self.next_offsets[str(place.partition)] >= end for place, end in ends.items())

    async def close(self) -> None:
        """Stops reading."""
        await self._consumer.stop()

    def _behind(self, place: TopicPartition) -> int:
        end = self._consumer.last_stable_offset(place)
        return 0 if end is None else max(0, end - self.next_offsets[str(place.partition)])
