"""The Faust app: one agent folds record blocks into partitions, one loop per partition flushes."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any, Final

import faust
from faust.types import TP

from stream.kafka.blocks import SERVICE_LOG, BlockSchema, BlockTransport
from stream.kafka.delivery import AtLeastOnce, Delivery, DeliveryError
from stream.kafka.formats import UnknownFormatError
from stream.kafka.heap import trim_heap
from stream.kafka.owned import HEARTBEAT_INTERVAL_S, SESSION_TIMEOUT_S
from stream.kafka.ownership import Ownership
from stream.kafka.recovery import DisagreementError
from stream.kafka.rolluplane import RollupLane
from stream.kafka.rowlane import RowLane
from stream.kafka.site import Site
from stream.kafka.stage import Lane
from stream.kafka.tables import TABLE_NAME, RowTable, RowTableManager
from stream.kafka.topology import ROLLUPS, ROWS, NoBrokerError, TopologyError
from stream.kafka.transactions import ExactlyOnce
from stream.wallclock import wall_clock_ms

log = logging.getLogger(__name__)

# What another start would end of again, until a person has mended it; but for a missing broker.
REFUSALS: Final = (DisagreementError, TopologyError, UnknownFormatError)
# Failures whose message says all that a person needs; others come with their traceback.
EXPLAINED: Final = (DeliveryError, *REFUSALS)
# Rows make no cycles, and by default (700, 10, 10) they would be gone through again and again.
COLLECT_AFTER: Final = (100_000, 20, 10)
Now = Callable[[], int]


def is_refusal(error: BaseException | None) -> bool:
    """Whether another start would end the same way."""
    return isinstance(error, REFUSALS) and not isinstance(error, NoBrokerError)


class KpiApp(faust.App):
    """Faust, with our transport, our table and our offsets."""

    logger = SERVICE_LOG

    def __init__(self, site: Site, now: Now = wall_clock_ms) -> None:
        """`now` is asked at recovery and by the flush loop only."""
        settings = site.settings
        self.settings = settings
        self.site = site
        self.now = now
        self.failure: BaseException | None = None
        self.ownership = Ownership(site, lambda: self.consumer, self._lanes, now, self.fail)
        self.ownership.on_caught_up = trim_heap
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
            broker_heartbeat_interval=HEARTBEAT_INTERVAL_S,
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
        blocks = self.topic(*topology.consumed, schema=BlockSchema(), internal=False)
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
            if message.generation_id == self.consumer_generation_id:
                await self.ownership.apply(message.topic, message.partition, message.value)

    async def restore(self, partitions: set[int]) -> bool:
        """Brings back the state of the partitions this worker now owns.

        False where the next rebalance came first.
        """
        gc.set_threshold(*COLLECT_AFTER)
        return await self.ownership.restore(partitions)

    async def fail(self, error: BaseException) -> None:
        """Ends the worker with a reason; its supervisor starts it again."""
        if self.failure is None:
            explained = isinstance(error, EXPLAINED)
            trace = None if explained else error
            log.error("the worker stops: %s", error, exc_info=trace)
            self.failure = error
            self.on_stopping()
            await self.crash(error)

    def _lanes(self) -> list[Lane]:
        topology, consumer = self.site.topology, self.consumer
        rows = self._delivery(ROWS, topology.changelog)
        lanes: list[Lane] = [RowLane(self.site, rows, consumer, self.now)]
        if topology.has_rollups:
            rollups = self._delivery(ROLLUPS, topology.rollups_changelog)
            lanes.append(RollupLane(self.site, rollups, consumer))
        return lanes

    def _delivery(self, lane: str, changelog: str) -> Delivery:
        if self.settings.delivery == "exactly_once":
            clients, group = self.site.clients, self.settings.app
            return ExactlyOnce(clients, group, stage=lane, changelog=changelog)
        return AtLeastOnce(self.producer.client, self.consumer)

    async def _on_revoked(self, _app: Any, _revoked: set[TP], **_: Any) -> None:
        """At every rebalance; aiokafka revokes all partitions, also those that stay.

        The group waits for this, so a recovery still under way ends here. Faust stops the flow of
        a worker that had partitions only. One that had none would fetch from those it is given
        while it seeks, and what came before a seek would come again (perhaps
        faust-streaming#502).
        """
        self.consumer.stop_flow()
        self.tables.recovery.signal_recovery_start.clear()
        await self.ownership.abandon()
        await self.ownership.release()

    async def on_stop(self) -> None:
        """A graceful stop flushes first."""
        self.on_stopping()
        await self.ownership.abandon()
        await self.ownership.release()
        await super().on_stop()
