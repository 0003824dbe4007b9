"""Contacts in real time: produced at a steady rate, each ended at the moment it is sent.

Records are made beforehand, so that at 20,000 a second the producer keeps up beside the broker.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stream.kafka.partitioner import partition_of
from tests.bench.traffic import PARTITIONS, Contact, Traffic, contacts

_TICK_S: Final = 0.02
_BATCH_BYTES_MAX: Final = 256 * 1024
_ENDED: Final = re.compile(rb'"ended_at":(\d{13})')


class Prepared(NamedTuple):
    """A contact without the time at which it ended."""

    key: str
    partition: int
    head: bytes
    tail: bytes

    def at(self, now_ms: int) -> bytes:
        """The contact, ended now."""
        return self.head + b"%d" % now_ms + self.tail


class Sent(NamedTuple):
    """A contact that was handed to the producer at this instant of the monotonic clock."""

    key: str
    partition: int
    offset: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """So many records a second into a topic that nobody else writes to."""

    bootstrap: str
    topic: str
    per_s: float

    async def send(self, records: Sequence[Prepared], sent: list[Sent]) -> None:
        """Sends all of them at the rate; notes each in `sent` as it goes."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, max_batch_size=_BATCH_BYTES_MAX
        ) as producer:
            ends = await _ends(self.bootstrap, self.topic)
            began_s, done, futures = time.monotonic(), 0, []
            while done < len(records):
                due = min(len(records), int((time.monotonic() - began_s) * self.per_s))
                futures += await self._send(producer, records[done:due], ends, sent)
                done = due
                await asyncio.sleep(_TICK_S)
            await asyncio.gather(*futures)

    async def _send(
        self,
        producer: AIOKafkaProducer,
        records: Iterable[Prepared],
        ends: list[int],
        sent: list[Sent],
    ) -> list[asyncio.Future[object]]:
        """One tick's records, all of the same instant; in batches, as they fill up."""
        now_s, now_ms = time.monotonic(), time.time_ns() // 1_000_000
        batches = [producer.create_batch() for _ in ends]
        full: list[tuple[int, Any]] = []
        for record in records:
            place = record.partition
            one = {"timestamp": now_ms, "key": record.key.encode(), "value": record.at(now_ms)}
            if batches[place].append(**one) is None:
                full.append((place, batches[place]))
                batches[place] = producer.create_batch()
                batches[place].append(**one)
            sent.append(Sent(record.key, place, ends[place], now_s))
            ends[place] += 1
        full += [(place, batch) for place, batch in enumerate(batches) if batch.record_count()]
        return [await producer.send_batch(batch, self.topic, partition=p) for p, batch in full]


async def _ends(bootstrap: str, topic: str) -> list[int]:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        ends = await consumer.end_offsets(places)
        return [int(ends[place]) for place in places]


def prepare(traffic: Traffic) -> Iterator[Prepared]:
    """The traffic's contacts, whenever they end."""
    for contact in contacts(traffic, time.time_ns() // 1_000_000):
        yield prepared(contact)


def prepared(contact: Contact) -> Prepared:
    """One contact without its time."""
    found = _ENDED.search(contact.value)
    assert found is not None, "every contact says when it ended"
    head, tail = contact.value[: found.start(1)], contact.value[found.end(1) :]
    return Prepared(contact.key, partition_of(contact.key, PARTITIONS), head, tail)
