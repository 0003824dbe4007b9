"""Record blocks: a Faust transport that delivers lists of records, not single messages.

Faust's cost is per message (1,195 events/s as its manual shows it), so one message here stands
for all records of one partition in one fetch. Offsets are committed by our own flush, never by
Faust: its gap-and-ack bookkeeping stalls on blocks and can commit past what is in flight
(faust-streaming#606, #596).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import faust
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaConnectionError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage, Message

from stream.config import Settings
from stream.kafka.clients import lasting_producer
from stream.kafka.connection import connection_options
from stream.kafka.headers import accept_any_header_name
from stream.kafka.records import make_records_lean
from stream.kafka.topology import CONNECT_PAUSE_S, CONNECT_TRIES

SERVICE_LOG = logging.getLogger("faust.service")
log = logging.getLogger(__name__)


class BlockConsumerThread(driver.AIOKafkaConsumerThread):
    """Fetches; always `read_committed`, always with Faust's co-partitioning assignor.

    Faust itself would read uncommitted records, and fall back to round-robin without a word
    where no changelog is subscribed, which breaks co-partitioning.
    """

    logger = SERVICE_LOG

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        del transport  # its addresses are in the settings too
        accept_any_header_name()
        make_records_lean()
        conf, app = self.app.conf, self.app
        self._assignor = app.assignor
        return AIOKafkaConsumer(
            **connection_options(app.settings),
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=100,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            isolation_level="read_committed",
            metadata_max_age_ms=60_000,
        )

    async def on_start(self) -> None:
        """Tries for a while: the broker may have gone since the topics were looked at."""
        for tried in range(1, CONNECT_TRIES + 1):
            try:
                await super().on_start()
            except KafkaConnectionError as error:
                await self._ensure_consumer().stop()
                if tried == CONNECT_TRIES:
                    raise
                said = "the broker has gone again (try %d of %d): %s"
                log.warning(said, tried, CONNECT_TRIES, error)
                await asyncio.sleep(CONNECT_PAUSE_S)
            else:
                return

    async def committed(self, tp: TP) -> int | None:
        """The group's committed offset, `None` where there is none."""
        offset = await self.call_thread(self._ensure_consumer().committed, tp)
        return None if offset is None else int(offset)

    async def seek_to(self, tp: TP, offset: int) -> None:
        """Moves the position, in the consumer's own thread; no fetch is under way then."""
        await self.call_thread(self._seek_now, tp, offset)

    async def _seek_now(self, tp: TP, offset: int) -> None:
        self._ensure_consumer().seek(TopicPartition(*tp), offset)

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> dict[TP, list[Any]]:
        """Notes how far was fetched, in the same step that moves the position.

        So nobody sees a position beyond records that are still on their way to us.
        """
        records: dict[TP, list[Any]] = await super()._fetch_records(*args, **kwargs)
        for tp, block in records.items():
            if block:
                self.consumer.delivered[tp] = block[-1].offset + 1
        return records

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust looks for its own commits; `/health` looks for ours."""


class BlockConsumer(driver.Consumer):
    """Yields one message per partition and fetch, its value the list of records."""

    logger = SERVICE_LOG

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.delivered: dict[TP, int] = {}
        self.is_sought = False

    def _new_consumer_thread(self) -> BlockConsumerThread:
        return BlockConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """The next blocks. A rebalance in between ends it: what was fetched is of the past.

        What is not handed on is read again: a block thrown away, with the next one applied, would
        be a hole in the figures that nothing shows.
        """
        generation = self.app.consumer_generation_id
        records, active = await self._wait_next_records(timeout)
        if records is None or self.should_stop:
            return
        left = {tp: block for tp, block in records.items() if block}
        for tp in list(left):
            if not self.flow_active or self.app.consumer_generation_id != generation:
                break
            if tp in active or tp in self._buffered_partitions:
                yield tp, self._to_block(tp, left.pop(tp))
        await self._go_on_from({tp: self.app.ownership.next_offset(tp) for tp in left})

    async def perform_seek(self) -> None:
        """Goes on from what the recovered state includes.

        Faust would seek to the committed offsets, and aiokafka's `seek_to_committed` leaves a
        partition without one wherever a fetch thrown away has moved it.
        """
        self.is_sought = True
        await self._go_on_from(self.app.ownership.resume)

    def stop_flow(self) -> None:
        """At a revocation: what is assigned next has to be sought first."""
        self.is_sought = False
        driver.Consumer.stop_flow(self)  # by name: the simulation has these lines run for its own

    def resume_flow(self) -> None:
        """After a recovery, unless a revocation came while it sought: Faust asks only before.

        faust-streaming#216 was of the same order; its remedy seeks first, and does not ask again.
        """
        if self.is_sought:
            driver.Consumer.resume_flow(self)

    async def _go_on_from(self, offsets: Mapping[TP, int | None]) -> None:
        """Moves positions; those of an assignment that is over say nothing of the next one's."""
        generation = self.app.consumer_generation_id
        for tp, offset in offsets.items():
            if self.app.consumer_generation_id != generation:
                return
            if offset is not None:
                try:
                    await self._thread.seek_to(tp, offset)
                except (IllegalStateError, AssertionError) as error:
                    SERVICE_LOG.info("no seek, the partition is being revoked: %s", error)
                else:
                    self._read_offset[tp] = offset or None
                    self.delivered[tp] = offset

    def _to_block(self, tp: TP, block: list[Any]) -> Message:
        last = block[-1]
        return ConsumerMessage(
            topic=tp.topic,
            partition=tp.partition,
            offset=last.offset,
            timestamp=last.timestamp / 1000,
            timestamp_type=0,
            headers=None,
            key=None,
            value=block,
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    def highwater(self, tp: TP) -> int:
        """The partition's end, or 0 where it was just revoked (aiokafka raises then)."""
        try:
            return self._thread.highwater(tp) or 0
        except IllegalStateError:
            return 0

    def ack(self, message: Message) -> bool:
        """Notes that a block was processed, without Faust's bookkeeping per offset."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: blocks of a partition come in order, and the flush commits."""

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002 - Faust's signature
        """Nothing: the flush commits."""
        del topics, start_new_transaction
        return False

    async def committed(self, tp: TP) -> int | None:
        """The group's committed offset, `None` where there is none."""
        offset: int | None = await self._thread.committed(tp)
        return offset

    async def commit_offsets(self, offsets: dict[TP, int]) -> bool:
        """Commits for the flush; false where the group has moved on."""
        return bool(await self._thread.commit(offsets))


class BlockProducer(driver.Producer):
    """Faust's producer with our connection; the flush sends through it."""

    logger = SERVICE_LOG

    def _new_producer(self, transactional_id: str | None = None) -> AIOKafkaProducer:
        settings: Settings = self.app.settings
        return lasting_producer(settings, transactional_id=transactional_id)

    @property
    def client(self) -> AIOKafkaProducer:
        """The aiokafka producer itself."""
        return self._ensure_producer()


class BlockTransport(driver.Transport):
    """Faust's transport over aiokafka, with blocks."""

    Consumer: ClassVar[type] = BlockConsumer
    Producer: ClassVar[type] = BlockProducer


class BlockSchema(faust.Schema):
    """Hands a block on as it is: records are decoded one by one, in the partition's stage."""

    def compile(self, app: Any, **_: Any) -> Any:
        """The decoder that Faust calls for every message."""

        async def decode(message: Message, *, propagate: bool = False) -> Any:
            del propagate
            return app.create_event(None, message.value, {}, message)

        return decode
