"""Exactly once: one transactional producer per partition, and one transaction per flush.

Rows, checkpoint, readings, alert states, transitions, dead letters and input offsets become
visible together or not at all. A worker that was frozen and wakes is fenced by Kafka when the
new owner's producer starts: nothing it still sends becomes visible.

What aiokafka leaves to its callers: it commits a transaction whose batches have failed, so every
delivery future is awaited and checked before the offsets are sent; and after a failure its
sequence numbers are off, so the producer is thrown away. Whether a commit got through is then
read from the changelog: each flush's checkpoint names its writer and sequence.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.types import TP

from stream.kafka.clients import TRANSACTION_TIMEOUT_MS, Clients
from stream.kafka.codec import CHECKPOINT_KEY, decode_checkpoint
from stream.kafka.delivery import DeliveryError, Flush, send_batches
from stream.kafka.recovery import Latest, read_from

log = logging.getLogger(__name__)

# Kafka says the same of both; the second is a machine that had no time for the worker.
FENCED: Final = (
    "fenced: another worker has taken it over, or a flush was under way for longer than "
    f"{TRANSACTION_TIMEOUT_MS // 1000} s"
)
OPEN_TIMEOUT_S: Final = 30.0
RETRY_FOR_S: Final = 120.0
_RETRY_PAUSE_S: Final = 1.0


class FencedError(DeliveryError):
    """Another worker has taken the partition over: this state is stale and the process ends."""


@dataclass(slots=True)
class _Writer:
    """A partition's producer, and from where in the changelog a foreign flush would be found."""

    producer: AIOKafkaProducer
    position: int = 0


class ExactlyOnce:
    """Each flush is one transaction."""

    promise = "exactly once: rows, readings, alerts and offsets become visible together"

    def __init__(
        self, clients: Clients, group: str, *, stage: str = "rows", changelog: str
    ) -> None:
        """The `group` whose offsets are committed is the app; `changelog` holds checkpoints."""
        self._clients = clients
        self._group = group
        self._stage = stage
        self._changelog = changelog
        self._writers: dict[int, _Writer] = {}

    async def open(self, partition: int) -> None:
        """Fences whoever wrote to the partition before.

        Raises:
            DeliveryError: if the broker gives no transactions.
        """
        await self.close(partition)
        self._writers[partition] = _Writer(await self._start(partition))

    def resume(self, partition: int, position: int) -> None:
        """What stands before `position` is the state's own past, by whomever it was written."""
        self._writers[partition].position = position

    async def close(self, partition: int) -> None:
        """Gives the partition's producer up."""
        writer = self._writers.pop(partition, None)
        if writer is not None:
            await discard(writer.producer)

    async def deliver(self, flush: Flush) -> None:
        """Commits `flush`, if need be over several producers; on return it is visible, once.

        Raises:
            FencedError: if another worker owns the partition now.
            DeliveryError: if Kafka stayed out of reach.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RETRY_FOR_S
        error = await self._try(flush)
        while error is not None:
            log.warning("partition %d: a flush failed, trying again: %r", flush.partition, error)
            if loop.time() > deadline:
                raise DeliveryError(f"no flush for {RETRY_FOR_S:.0f} s: {error!r}") from error
            await asyncio.sleep(_RETRY_PAUSE_S)
            error = await self._try_again(flush)

    async def _try(self, flush: Flush) -> Exception | None:
        try:
            await self._commit(self._writers[flush.partition], flush)
        except (ProducerFenced, AssertionError) as error:
            # aiokafka asserts where a producer that was fenced before is used again.
            raise FencedError(f"partition {flush.partition}: {FENCED}") from error
        except (KafkaError, IllegalOperation, TimeoutError, OSError) as error:
            return error
        return None

    async def _try_again(self, flush: Flush) -> Exception | None:
        """With a new producer, once the changelog says that the last try did not get through."""
        writer = self._writers[flush.partition]
        await discard(writer.producer)
        try:
            writer.producer = await self._start(flush.partition)
            if await self._is_committed(writer, flush):
                return None
        except (KafkaError, DeliveryError, TimeoutError, OSError) as error:
            if isinstance(error, FencedError):
                raise
            return error
        return await self._try(flush)

    async def _commit(self, writer: _Writer, flush: Flush) -> None:
        producer = writer.producer
        await producer.begin_transaction()
        results = await send_all(producer, flush)
        if flush.offsets:
            offsets = {
                TopicPartition(*tp): OffsetAndMetadata(at, "") for tp, at in flush.offsets.items()
            }
            await producer.send_offsets_to_transaction(offsets, self._group)
        await producer.commit_transaction()
        written = [r.offset for r in results if r.topic == self._changelog]
        writer.position = max(written, default=writer.position)

    async def _is_committed(self, writer: _Writer, flush: Flush) -> bool:
        """Whether the changelog's end holds this very flush; a foreign one makes us stale."""
        place = TP(self._changelog, flush.partition)
        async for records in read_from(self._clients, place, writer.position):
            stored = [r.value for r in records if r.key == CHECKPOINT_KEY and r.value is not None]
            for checkpoint in map(decode_checkpoint, stored):
                if checkpoint.writer != flush.writer:
                    message = f"partition {flush.partition}: another worker has written to it"
                    raise FencedError(message)
                if checkpoint.sequence == flush.sequence:
                    return True
        return False

    async def _start(self, partition: int) -> AIOKafkaProducer:
        return await start_fencing(self._clients, f"{self._group}-{self._stage}-{partition}")


async def start_fencing(clients: Clients, transactional_id: str) -> AIOKafkaProducer:
    """A producer, whose start fences whoever had its id and ends what that one left open.

    Raises:
        DeliveryError: if the broker gives no transactions.
    """
    producer = clients.producer(transactional_id)
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await producer.start()
            # An empty transaction costs no request, but waits for the id that fences.
            await producer.begin_transaction()
            await producer.abort_transaction()
    except asyncio.CancelledError:
        await discard(producer)
        raise
    except (KafkaError, TimeoutError) as error:
        await discard(producer)
        message = (
            f"no transactional producer {transactional_id!r}: {error!r}; for a broker without "
            "transactions set `delivery: at_least_once`"
        )
        raise DeliveryError(message) from error
    return producer


async def raise_if_taken_over(
    clients: Clients, changelog: TP, read: Latest, error: Exception
) -> None:
    """Tells a worker that was frozen while it recovered from topics that do not fit together.

    Raises:
        FencedError: if the changelog has gone on since it was read.
    """
    if [records async for records in read_from(clients, changelog, read.end)]:
        message = f"partition {changelog.partition}: another worker has taken it over meanwhile"
        raise FencedError(message) from error


async def send_all(producer: AIOKafkaProducer, flush: Flush) -> list[Any]:
    """Sends everything, waits for all of it and raises what failed first.

    aiokafka sends nothing more once a batch was fenced: it says `IllegalOperation`, and that
    batch's future says why.
    """
    futures: list[asyncio.Future[Any]] = []
    refusal: IllegalOperation | None = None
    try:
        for part in (flush.rows, flush.outputs, flush.states):
            for tp, outgoing in part.items():
                for future in await send_batches(producer, tp, outgoing):
                    future.add_done_callback(_note_failure)
                    futures.append(future)
    except IllegalOperation as error:
        refusal = error
    results: list[Any] = await asyncio.gather(*futures, return_exceptions=True)
    for result in (*results, refusal):
        if isinstance(result, BaseException):
            raise result
    return results


def _note_failure(future: asyncio.Future[Any]) -> None:
    """Takes a failure note of: where a later send fails first, nobody else asks for it."""
    if not future.cancelled():
        future.exception()


async def discard(producer: AIOKafkaProducer) -> None:
    """Stops a producer that may be broken; an open transaction is Kafka's to abort."""
    with contextlib.suppress(KafkaError, TimeoutError, OSError, asyncio.InvalidStateError):
        async with asyncio.timeout(5):
            await producer.stop()
