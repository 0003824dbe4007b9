"""The partitions this worker owns: recovered, fed, flushed by a loop each, and given up."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from aiokafka.errors import KafkaError
from faust.types import TP

from stream.kafka.delivery import DeliveryError, RebalancedError
from stream.kafka.owned import Owned
from stream.kafka.site import Site
from stream.kafka.stage import Lane, Recovered, Stage
from stream.kafka.topology import TopologyError

log = logging.getLogger(__name__)

LAST_FLUSH_TIMEOUT_S: Final = 5.0


class Inputs(Protocol):
    """What is asked of the group's consumer while it runs."""

    delivered: Mapping[TP, int]

    async def position(self, tp: TP) -> int | None:
        """The next offset to be fetched."""
        ...

    def highwater(self, tp: TP) -> int:
        """Where a partition ends."""
        ...

    def topic_partitions(self, topic: str) -> int | None:
        """How many partitions a topic has."""
        ...


class Ownership:
    """What this worker owns since the last rebalance, by lane and partition."""

    def __init__(
        self,
        site: Site,
        inputs: Callable[[], Inputs],
        lanes: Callable[[], Sequence[Lane]],
        now: Callable[[], int],
        fail: Callable[[BaseException], Awaitable[None]],
    ) -> None:
        """`lanes` are made anew at each rebalance; `fail` ends the worker."""
        self.owned: dict[tuple[str, int], Owned] = {}
        self.resume: dict[TP, int] = {}
        self.recovering_since: float | None = None
        self.monotonic: Callable[[], float] = time.monotonic
        self.on_caught_up: Callable[[], object] = lambda: None
        self.failed = False
        self._site = site
        self._inputs = inputs
        self._new_lanes = lanes
        self._lanes: Sequence[Lane] = ()
        self._now = now
        self._fail = fail
        self._restoring: asyncio.Task[None] | None = None
        site.telemetry.partitions.set(site.topology.partitions)
        # Asked at each scrape: it has to grow while nothing else moves.
        site.telemetry.recovering_seconds.set_function(self.recovering_s)

    def recovering_s(self) -> float:
        """For how long the state has been read back by now; 0 when it is not."""
        since = self.recovering_since
        return 0.0 if since is None else self.monotonic() - since

    def of(self, topic: str, number: int) -> Owned | None:
        """Whose records those of a topic's partition are; None if not ours."""
        return self.owned.get((self._site.topology.lane_of(topic), number))

    def next_offset(self, tp: TP) -> int | None:
        """The first offset that a partition's state does not include; None if it is not ours."""
        owned = self.of(tp.topic, tp.partition)
        start = self.resume.get(tp)
        return start if owned is None else owned.stage.included.get(tp.topic, start)

    async def apply(self, topic: str, number: int, block: Sequence[Any]) -> None:
        """Takes in a block, once there is room. An exception is a broken invariant.

        Others have their turn between its parts. What is left when the partition is given up is
        read again: the state says how far it goes.
        """
        owned = self.of(topic, number)
        if owned is None:
            return
        for part in owned.stage.parts(block):
            while owned.stage.is_full and not owned.stop.is_set():
                await owned.flushed.wait()
            if owned.stop.is_set():
                return
            try:
                owned.stage.apply(topic, part)
            except Exception as error:
                await self.fail(error)
                raise
            await asyncio.sleep(0)

    async def fail(self, error: BaseException) -> None:
        """Ends the worker; nothing is flushed any more."""
        self.failed = True
        await self._fail(error)

    async def restore(self, numbers: set[int]) -> bool:
        """Brings back the state of the partitions this worker now owns, all at the same time.

        False where the next rebalance came first: its own recovery will do.
        """
        restoring = self._restoring = asyncio.create_task(self._restore(numbers))
        try:
            await asyncio.wait([restoring])
        finally:
            restoring.cancel()
        if restoring.cancelled():
            return False
        restoring.result()
        return True

    async def abandon(self) -> None:
        """Ends a recovery under way: going on, it would fence the partitions' next owners."""
        if self._restoring is not None and not self._restoring.done():
            self._restoring.cancel()
            await asyncio.wait([self._restoring])

    async def release(self) -> None:
        """Gives all partitions up: no more gauges, a last flush, then nothing is kept."""
        given_up, self.owned = self.owned, {}
        self._site.telemetry.forget_partitions()
        for owned in given_up.values():
            owned.stop.set()
            owned.flushed.set()
        tasks = [owned.task for owned in given_up.values() if owned.task]
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_FLUSH_TIMEOUT_S)
        await asyncio.gather(*(self._last_flush(o) for o in given_up.values()))
        numbers = range(self._site.topology.partitions)
        await asyncio.gather(*(lane.delivery.close(n) for lane in self._lanes for n in numbers))

    async def _restore(self, numbers: set[int]) -> None:
        await self.release()
        self.resume = {}
        self._lanes = self._new_lanes()
        began = self.recovering_since = self.monotonic()
        try:
            places = [(lane, number) for lane in self._lanes for number in numbers]
            found = await asyncio.gather(*(lane.recover(number) for lane, number in places))
            for (lane, number), recovered in zip(places, found, strict=True):
                self._own(lane, number, recovered)
        except KafkaError as error:
            said = DeliveryError(f"the state could not be read back from Kafka: {error!r}")
            await self.fail(said)
            raise said from error
        except Exception as error:
            await self.fail(error)
            raise
        self.recovering_since = None
        self._site.telemetry.recovery_seconds.set(self.monotonic() - began)

    def _own(self, lane: Lane, number: int, recovered: Recovered) -> None:
        now = self.monotonic()
        owned = Owned(lane, recovered.stage, now, now, self.monotonic, ends=recovered.ends)
        self.resume |= recovered.resume
        self.owned[lane.name, number] = owned
        owned.task = asyncio.create_task(self._flush_loop(owned))

    async def _flush_loop(self, owned: Owned) -> None:
        """Flushes at the interval, events or none, so that windows roll on idle partitions."""
        interval_s = self._site.settings.flush_interval / 1000
        try:
            while not owned.stop.is_set():
                began = self.monotonic()
                try:
                    await self._flush(owned)
                except RebalancedError as error:
                    log.warning("%s; its tail will be read again", error)
                    await owned.stop.wait()
                pause = max(0.0, interval_s - (self.monotonic() - began))
                try:
                    await asyncio.wait_for(owned.stop.wait(), timeout=pause)
                except TimeoutError:
                    continue
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker must not go on
            owned.failed = True  # a later flush would commit offsets without what this one had
            if owned.stop.is_set():
                log.warning("partition %d: given up: %s", owned.stage.number, error)
            else:
                await self.fail(error)

    async def _flush(self, owned: Owned) -> None:
        await self._note_progress(owned)
        self._check_partition_counts()
        settings, began = self._site.settings, self.monotonic()
        now_ms = self._now() if settings.time == "live" else None
        if not owned.is_surely_ours(settings.flush_interval / 1000):
            owned.stage.must_commit = True  # by which a stale owner is fenced
        flush = owned.stage.freeze(now_ms)
        if flush.rows or flush.outputs:
            owned.is_flushing = True
            await owned.lane.delivery.deliver(flush)
            owned.is_flushing = False
            self._site.telemetry.flush_seconds.observe(self.monotonic() - began)
        owned.committed_at = self.monotonic()
        owned.flushed.set()
        owned.flushed.clear()

    async def _last_flush(self, owned: Owned) -> None:
        if owned.task is not None and not owned.task.done():
            owned.task.cancel()
            return
        if not (self.failed or owned.failed) and owned.stage.is_dirty:
            try:
                await asyncio.wait_for(self._flush(owned), LAST_FLUSH_TIMEOUT_S)
            except (DeliveryError, TopologyError, TimeoutError, KafkaError) as error:
                log.warning(
                    "partition %d: the last flush was not committed, its tail will be read "
                    "again: %s",
                    owned.stage.number,
                    error,
                )

    def _check_partition_counts(self) -> None:
        """Partitions added while we run take agents' events elsewhere, where nobody reads them."""
        topology = self._site.topology
        for topic in topology.inputs:
            count = self._inputs().topic_partitions(topic)
            if count not in (None, 0, topology.partitions):
                message = f"{topic} has {count} partitions now, not {topology.partitions}"
                raise TopologyError(message)

    async def _note_progress(self, owned: Owned) -> None:
        """Measures the lag; verdicts begin once what stood in the topics at first is counted."""
        done = {tp: await self._done(owned.stage, tp) for tp in owned.ends}
        lags = {tp: max(0, self._inputs().highwater(tp) - done[tp]) for tp in done}
        if sum(lags.values()) < owned.lag or not any(lags.values()):
            owned.moved_at = self.monotonic()
        owned.lag = sum(lags.values())
        caught_up = all(done[tp] >= end for tp, end in owned.ends.items())
        if not owned.ready and caught_up:
            owned.ready = True
            owned.stage.catch_up()
            if all(each.ready for each in self.owned.values()):
                self.on_caught_up()
        if not owned.stop.is_set():
            owned.show(self._site.telemetry, lags)

    async def _done(self, stage: Stage, tp: TP) -> int:
        """The first offset not counted; markers of transactions hold offsets and no record.

        The position is asked first: what was fetched until then is known to be delivered.
        """
        inputs = self._inputs()
        position = await inputs.position(tp) or 0
        counted, delivered = stage.included.get(tp.topic, 0), inputs.delivered.get(tp, 0)
        return counted if counted < delivered else max(counted, position)
