"""How a partition's flush reaches Kafka: one interface, one implementation per promise."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Protocol

import msgspec
from aiokafka import AIOKafkaProducer
from faust.types import TP

from stream.kafka.blocks import BlockConsumer
from stream.kafka.topicconfig import RECORD_BYTES_MAX

Headers = list[tuple[str, bytes]]

_NO_HEADERS: Final[Headers] = []
_BATCH_BYTES: Final = 128  # more than a batch of one record and that record's lengths take
_HEADER_BYTES: Final = 16


class DeliveryError(Exception):
    """A flush did not reach Kafka; nothing of it counts as committed."""


class RebalancedError(DeliveryError):
    """The group moved on before the offsets were committed: another worker reads the tail."""


class Outgoing(msgspec.Struct, gc=False, frozen=True):
    """One record to be written; without a time, it is of the time at which it is written."""

    key: bytes | None
    value: bytes | None
    headers: Headers = _NO_HEADERS
    timestamp_ms: int | None = None


def record_bytes(record: Outgoing) -> int:
    """How much a record takes in a batch of its own, at most."""
    named = sum(len(name.encode()) + len(value or b"") for name, value in record.headers)
    around = _BATCH_BYTES + _HEADER_BYTES * len(record.headers)
    return len(record.key or b"") + len(record.value or b"") + named + around


def fits(record: Outgoing) -> bool:
    """Whether the topics that we create take a record.

    What is read may be larger than what may be written: a broker compares what a producer has
    compressed, which can be a thousandth.
    """
    return record_bytes(record) <= RECORD_BYTES_MAX


@dataclass(slots=True)
class Flush:
    """A partition's frozen output: bytes only, so that the next block may change the state.

    `rows`, then `outputs`, then `states`, then `offsets` reach Kafka, in this order. `writer` and
    `sequence` are in the checkpoint among the states too, so that a flush can be told again.
    """

    partition: int
    writer: str = ""
    sequence: int = 0
    rows: dict[TP, list[Outgoing]] = field(default_factory=dict)
    outputs: dict[TP, list[Outgoing]] = field(default_factory=dict)
    states: dict[TP, list[Outgoing]] = field(default_factory=dict)
    offsets: dict[TP, int] = field(default_factory=dict)


class Delivery(Protocol):
    """Writes a flush and then commits its offsets, or raises `DeliveryError`."""

    @property
    def promise(self) -> str:
        """What a reader of the output topics may rely on, in a sentence."""
        ...

    async def open(self, partition: int) -> None:
        """Makes this worker the partition's writer; called before its state is recovered."""
        ...

    def resume(self, partition: int, position: int) -> None:
        """Told up to where the changelog was read back: only beyond it may a flush be found."""
        ...

    async def close(self, partition: int) -> None:
        """Gives the partition up."""
        ...

    async def deliver(self, flush: Flush) -> None:
        """Delivers `flush`; on return all of it is durable and its offsets are committed."""
        ...


class AtLeastOnce:
    """Rows, outputs, states, then offsets: a crash in between repeats and never loses.

    Rows stay exact nevertheless, since they absorb an id only once; readings and alerts may be
    written again: an alert perhaps under a new id, if its state was not stored before the crash.
    Nobody fences a worker that was frozen: what it writes when it wakes, before its commit is
    refused, stands over its heir's until that changes the same rows again.
    """

    promise = (
        "at least once: after a crash readings and alerts may be repeated, not lost; and nothing "
        "guards figures from a worker that was frozen and wakes"
    )

    def __init__(self, producer: AIOKafkaProducer, consumer: BlockConsumer) -> None:
        """`producer` has to wait for all replicas (`acks=all`)."""
        self._producer = producer
        self._consumer = consumer

    async def open(self, partition: int) -> None:
        """Nothing: without transactions nobody can be fenced."""

    def resume(self, partition: int, position: int) -> None:
        """Nothing: no flush is looked for."""

    async def close(self, partition: int) -> None:
        """Nothing: the producer is the worker's."""

    async def deliver(self, flush: Flush) -> None:
        """Writes each part and waits for it before the next one begins."""
        for part in (flush.rows, flush.outputs, flush.states):
            await self._write(part)
        if flush.offsets and not await self._consumer.commit_offsets(flush.offsets):
            message = f"partition {flush.partition}: the group has rebalanced before the commit"
            raise RebalancedError(message)

    async def _write(self, records: Mapping[TP, Sequence[Outgoing]]) -> None:
        futures: list[asyncio.Future[Any]] = []
        for tp, outgoing in records.items():
            futures += await send_batches(self._producer, tp, outgoing)
        for result in await asyncio.gather(*futures, return_exceptions=True):
            if isinstance(result, BaseException):
                raise DeliveryError(f"a record was not written: {result!r}") from result


async def send_batches(
    producer: AIOKafkaProducer, tp: TP, records: Sequence[Outgoing]
) -> list[asyncio.Future[Any]]:
    """Sends records to one partition in whole batches: 1.3 µs a record, not 10 by `send()`.

    The caller awaits and checks every future that comes back.
    """
    futures: list[asyncio.Future[Any]] = []
    sent = 0
    while sent < len(records):
        batch = producer.create_batch()
        count = _fill(batch, records, sent)
        if not count:
            size = len(records[sent].value or b"")
            raise DeliveryError(f"a record of {size} bytes does not fit in a batch")
        futures.append(await producer.send_batch(batch, tp.topic, partition=tp.partition))
        sent += count
    return futures


def _fill(batch: Any, records: Sequence[Outgoing], begin: int) -> int:
    """Adds records from `begin` on for as long as they fit; how many did.

    What the batch's own `append` does, without its two layers of Python around a builder in C:
    0.16 instead of 0.37 µs a record.
    """
    append = batch._builder.append  # noqa: SLF001 - there is no other way past `append`
    count = 0
    for record in islice(records, begin, None):
        if append(count, record.timestamp_ms, record.key, record.value, record.headers) is None:
            break
        count += 1
    batch._relative_offset = count  # noqa: SLF001
    return count
