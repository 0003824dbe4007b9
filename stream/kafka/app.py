"""The Faust app: one agent folds record blocks into partitions, one loop per partition flushes."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import faust
from aiokafka.errors import KafkaError
from faust.types import TP

from stream.kafka.blocks import SERVICE_LOG, BlockSchema, BlockTransport
from stream.kafka.delivery import AtLeastOnce, Delivery, DeliveryError, RebalancedError
from stream.kafka.owned import SESSION_TIMEOUT_S, Owned
from stream.kafka.partition import PartitionStage
from stream.kafka.recovery import DisagreementError, Progress, check_agreement, read_changelog
from stream.kafka.rowcodec import UnknownFormatError
from stream.kafka.site import Site
from stream.kafka.tables import TABLE_NAME, RowTable, RowTableManager
from stream.kafka.topology import TopologyError
from stream.kafka.transactions import ExactlyOnce

log = logging.getLogger(__name__)

LAST_FLUSH_TIMEOUT_S: Final = 5.0
# Failures whose message says all that a person needs; others come with their traceback.
EXPLAINED: Final = (DeliveryError, DisagreementError, TopologyError, UnknownFormatError)
# Rows make no cycles, and by default (700, 10, 10) they would be gone through again and again.
COLLECT_AFTER: Final = (100_000, 20, 10)
Now = Callable[[], int]


def wall_clock_ms() -> int:
    """Milliseconds since 1970 UTC; the engine itself never asks."""
    return time.time_ns() // 1_000_000


class KpiApp(faust.App):
    """Faust, with our transport, our table and our offsets."""

    logger = SERVICE_LOG

    def __init__(self, site: Site, now: Now = wall_clock_ms) -> None:
        """`now` is asked at recovery and by the flush loop only."""
        settings = site.settings
        self.settings = settings
        self.site = site
        self.now = now
        self.owned: dict[int, Owned] = {}
        self.delivery: Delivery | None = None
        self._restoring: asyncio.Task[None] | None = None
        self.failure: BaseException | None = None
        self.recovering_since: float | None = None
        self.resume: dict[TP, int] = {}
        self._ends: dict[TP, int] = {}
        self.on_stopping: Callable[[], None] = lambda: None
        super().__init__(
            settings.app,
            broker=";".join(f"kafka://{server}" for server in settings.broker.split(",")),
            store="memory://",
            autodiscover=False,
            web_enabled=False,
            web_tables_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_buffer_maxsize=4,
            stream_wait_empty=False,
            stream_recovery_delay=0.0,
            broker_max_poll_records=5_000,
            broker_session_timeout=SESSION_TIMEOUT_S,
            broker_rebalance_timeout=SESSION_TIMEOUT_S,
            broker_heartbeat_interval=2.0,
            consumer_max_fetch_size=4 * 1024 * 1024,
            consumer_group_instance_id=settings.instance,
            Table=RowTable,
            TableManager=RowTableManager,
        )
        self._declare()

    def _declare(self) -> None:
        topology = self.site.topology
        self.rows = self.Table(TABLE_NAME, partitions=topology.partitions)
        self.rows.attach(self.restore)
        blocks = self.topic(*topology.inputs, schema=BlockSchema(), internal=False)
        self.agent(blocks, name="fold", concurrency=1)(self.fold)
        self.on_partitions_revoked.connect(self._on_revoked)

    def _new_transport(self) -> BlockTransport:
        return BlockTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> BlockTransport:
        return BlockTransport(self.conf.broker_producer, self)

    def _create_directories(self) -> None:
        """None: nothing is kept on this machine."""

    async def fold(self, stream: Any) -> None:
        """Counts block after block. Anything it raises is a broken invariant and ends the worker.

        Faust would acknowledge and skip what an agent raises on (faust-streaming#189, #315).
        """
        async for event in stream.events():
            message = event.message
            owned = self.owned.get(message.partition)
            if owned is None or message.generation_id != self.consumer_generation_id:
                continue
            while owned.stage.is_full and not owned.stop.is_set():
                await owned.flushed.wait()
            try:
                owned.stage.apply(message.topic, message.value)
            except Exception as error:
                await self.fail(error)
                raise

    async def restore(self, partitions: set[int]) -> bool:
        """Brings back the state of the partitions this worker now owns, all at the same time.

        False where the next rebalance came first: its own recovery will do.
        """
        restoring = self._restoring = asyncio.create_task(self._restore(partitions))
        try:
            await asyncio.wait([restoring])
        finally:
            restoring.cancel()
        if restoring.cancelled():
            return False
        restoring.result()
        return True

    def next_offset(self, tp: TP) -> int | None:
        """The first offset that a partition's state does not include; None if it is not ours."""
        owned = self.owned.get(tp.partition)
        start = self.resume.get(tp)
        return start if owned is None else owned.stage.included.get(tp.topic, start)

    async def _restore(self, partitions: set[int]) -> None:
        gc.set_threshold(*COLLECT_AFTER)
        await self._release()
        self.resume, self._ends = {}, {}
        self.delivery = self._new_delivery()
        began = self.recovering_since = time.monotonic()
        try:
            stages = await asyncio.gather(*(self._recover(number) for number in partitions))
            for stage in stages:
                ends = {tp: end for tp, end in self._ends.items() if tp.partition == stage.number}
                owned = Owned(stage, time.monotonic(), time.monotonic(), ends=ends)
                self.owned[stage.number] = owned
                owned.task = asyncio.create_task(self._flush_loop(owned))
        except Exception as error:
            await self.fail(error)
            raise
        self.recovering_since = None
        self.site.telemetry.recovery_seconds.set(time.monotonic() - began)

    async def fail(self, error: BaseException) -> None:
        """Ends the worker with a reason; its supervisor starts it again."""
        if self.failure is None:
            explained = isinstance(error, EXPLAINED)
            trace = None if explained else error
            log.error("the worker stops: %s", error, exc_info=trace)
            self.failure = error
            self.on_stopping()
            await self.crash(error)

    def _new_delivery(self) -> Delivery:
        if self.settings.delivery == "exactly_once":
            return ExactlyOnce(self.settings, self.site.topology)
        return AtLeastOnce(self.producer.client, self.consumer)

    async def _recover(self, number: int) -> PartitionStage:
        """Fences first, then reads: what is read cannot be added to by anybody else."""
        assert self.delivery is not None, "made before anything is recovered"
        await self.delivery.open(number)
        stage = PartitionStage(self.site, number)
        stored = await read_changelog(self.settings, self.site.topology.changelog, number)
        exact = self.settings.delivery == "exactly_once"
        progress = await self._progress(number)
        check_agreement(
            stored, progress, number, partitions=self.site.topology.partitions, exact=exact
        )
        stage.restore(stored)
        for topic, place in progress.items():
            tp = TP(topic, number)
            self.resume[tp] = max(stage.included.get(topic, 0), place.beginning)
            self._ends[tp] = place.end
        if self.settings.time == "live":
            # Before the first block: without a now nothing is late or early, and by the stored
            # one, what came while the worker was down is early.
            stage.engine.tick(self.now())
        return stage

    async def _progress(self, number: int) -> dict[str, Progress]:
        """Where the group stands in the inputs of a partition."""
        places = [TP(topic, number) for topic in self.site.topology.inputs]
        beginnings = await self.consumer.earliest_offsets(*places)
        ends = await self.consumer.highwaters(*places)
        return {
            tp.topic: Progress(
                await self.consumer.committed(tp), beginnings.get(tp) or 0, ends.get(tp) or 0
            )
            for tp in places
        }

    async def _flush_loop(self, owned: Owned) -> None:
        """Flushes at the interval, events or none, so that windows roll on idle partitions."""
        interval_s = self.settings.flush_interval / 1000
        try:
            while not owned.stop.is_set():
                began = time.monotonic()
                try:
                    await self._flush(owned)
                except RebalancedError as error:
                    log.warning("%s; its tail will be read again", error)
                    await owned.stop.wait()
                pause = max(0.0, interval_s - (time.monotonic() - began))
                try:
                    await asyncio.wait_for(owned.stop.wait(), timeout=pause)
                except TimeoutError:
                    continue
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker must not go on
            if not owned.stop.is_set():
                await self.fail(error)

    async def _flush(self, owned: Owned) -> None:
        await self._note_progress(owned)
        assert self.delivery is not None, "the flush starts after recovery"
        self._check_partition_counts()
        began = time.monotonic()
        now_ms = self.now() if self.settings.time == "live" else None
        if not owned.is_surely_ours(self.settings.flush_interval / 1000):
            owned.stage.must_commit = True  # by which a stale owner is fenced
        flush = owned.stage.freeze(now_ms)
        if flush.rows or flush.outputs:
            await self.delivery.deliver(flush)
            self.site.telemetry.flush_seconds.observe(time.monotonic() - began)
        owned.committed_at = time.monotonic()
        owned.flushed.set()
        owned.flushed.clear()

    def _check_partition_counts(self) -> None:
        """Partitions added while we run take agents' events elsewhere, where nobody reads them."""
        topology = self.site.topology
        for topic in topology.inputs:
            count = self.consumer.topic_partitions(topic)
            if count not in (None, 0, topology.partitions):
                message = f"{topic} has {count} partitions now, not {topology.partitions}"
                raise TopologyError(message)

    async def _note_progress(self, owned: Owned) -> None:
        """Measures the lag; verdicts begin once what stood in the topics at first is counted."""
        done = {tp: await self._done(owned.stage, tp) for tp in owned.ends}
        lags = {tp: max(0, self.consumer.highwater(tp) - done[tp]) for tp in done}
        if sum(lags.values()) < owned.lag or not any(lags.values()):
            owned.moved_at = time.monotonic()
        owned.lag = sum(lags.values())
        if not owned.ready and all(done[tp] >= end for tp, end in owned.ends.items()):
            owned.ready = True
            owned.stage.catch_up()
        if not owned.stop.is_set():
            owned.show(self.site.telemetry, lags)

    async def _done(self, stage: PartitionStage, tp: TP) -> int:
        """The first offset not counted; markers of transactions hold offsets and no record.

        The position is asked first: what was fetched until then is known to be delivered.
        """
        position = await self.consumer.position(tp) or 0
        counted, delivered = stage.included.get(tp.topic, 0), self.consumer.delivered.get(tp, 0)
        return counted if counted < delivered else max(counted, position)

    async def _on_revoked(self, _app: Any, _revoked: set[TP], **_: Any) -> None:
        """At every rebalance; aiokafka revokes all partitions, also those that stay.

        The group waits for this, so a recovery still under way ends here: going on, it would
        fence the partitions' next owners.
        """
        self.tables.recovery.signal_recovery_start.clear()
        await self._abandon_restore()
        await self._release()

    async def _abandon_restore(self) -> None:
        if self._restoring is not None and not self._restoring.done():
            self._restoring.cancel()
            await asyncio.wait([self._restoring])

    async def _release(self) -> None:
        """Gives all partitions up: no more gauges, a last flush, then nothing is kept."""
        given_up, self.owned = self.owned, {}
        self.site.telemetry.forget_partitions()
        for owned in given_up.values():
            owned.stop.set()
            owned.flushed.set()
        tasks = [owned.task for owned in given_up.values() if owned.task]
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_FLUSH_TIMEOUT_S)
        await asyncio.gather(*(self._last_flush(o) for o in given_up.values()))
        if self.delivery is not None:
            numbers = range(self.site.topology.partitions)
            await asyncio.gather(*(self.delivery.close(number) for number in numbers))

    async def _last_flush(self, owned: Owned) -> None:
        if owned.task is not None and not owned.task.done():
            owned.task.cancel()
            return
        if self.failure is None and owned.stage.is_dirty:
            try:
                await asyncio.wait_for(self._flush(owned), LAST_FLUSH_TIMEOUT_S)
            except (DeliveryError, TopologyError, TimeoutError, KafkaError) as error:
                log.warning(
                    "partition %d: the last flush was not committed, its tail will be read "
                    "again: %s",
                    owned.stage.number,
                    error,
                )

    async def on_stop(self) -> None:
        """A graceful stop flushes first."""
        self.on_stopping()
        await self._abandon_restore()
        await self._release()
        await super().on_stop()
