"""What a row and an event's id cost in memory, all told, for us.

Two topics of as many events: in one nearly every event is a row of its own, in the other a few
rows absorb them all. A worker's memory grows from ready and empty to full and at rest by so much a
row and so much an id, which two equations give.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from tests.bench.meter import measure, memory_mb, peak_mb
from tests.bench.result import Collected, Result, Run
from tests.bench.systems.base import BenchError
from tests.bench.systems.kpi_stream import KpiStream
from tests.bench.traffic import Traffic, produce
from tests.bench.turns import Turns, take_turns

_MB: Final = 1024 * 1024


class Grown(NamedTuple):
    """By how much a worker has grown, and for what."""

    bytes: float
    rows: float
    ids: int
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Memory:
    """`traffic` is of many rows, `dense` of few."""

    name: str
    about: str
    traffic: Traffic
    dense: Traffic
    rest_s: float = 3.0

    def sized(self, records: int) -> Memory:
        """The same with so many records in each topic."""
        many, few = replace(self.traffic, records=records), replace(self.dense, records=records)
        return replace(self, traffic=many, dense=few)

    async def run(self, run: Run) -> Result:
        """Each round with workers of its own."""
        collected = Collected()
        run.say(f"{self.name}: {self.about}")
        async with take_turns(run.bootstrap) as turns:
            topics: dict[Traffic, str] = {}
            for traffic in (self.traffic, self.dense):
                topics[traffic] = f"{self.name}-{secrets.token_hex(4)}"
                now_ms = time.time_ns() // 1_000_000
                await produce(turns.bootstrap, topics[traffic], traffic, now_ms)
            for number in range(1, run.rounds + 1):
                empty_mb = await self._empty_mb(turns, f"{self.name}-{secrets.token_hex(4)}")
                many, few = [await self._grown(turns, topics[t], t, empty_mb) for t in topics]
                per_row, per_id = solve(many, few)
                metrics = {"bytes_per_row": per_row, "bytes_per_id": per_id}
                metrics |= {"bytes_per_event": many.bytes / many.ids, "rows": many.rows}
                collected.add(KpiStream.name, {**metrics, "peak_mb": many.peak_mb})
                run.say(f"  round {number}: {per_row:.0f} bytes a row, {per_id:.1f} an id")
            for topic in topics.values():
                await turns.delete(topic)
        return Result(collected.summary(), {KpiStream.name: KpiStream.label})

    async def _grown(self, turns: Turns, topic: str, traffic: Traffic, empty_mb: float) -> Grown:
        """A worker that has taken in a topic and come to rest."""
        async with turns.task(KpiStream.name, topic, traffic.records) as task:
            with KpiStream(task) as worker:
                await measure(worker, turns.admin)
                await asyncio.sleep(self.rest_s)
                held_mb, peak = _held_mb(worker), peak_mb(worker.pids())
                rows = worker.metric("kpi_stream_rows")
        return Grown((held_mb - empty_mb) * _MB, rows, traffic.records, peak or held_mb)

    async def _empty_mb(self, turns: Turns, topic: str) -> float:
        """What a worker holds that is ready and has read nothing."""
        async with turns.task(KpiStream.name, topic, 0) as task:
            with KpiStream(task) as worker:
                await asyncio.to_thread(worker.workers[0].wait_ready)
                await asyncio.sleep(self.rest_s)
                held_mb = _held_mb(worker)
        await turns.delete(topic)
        return held_mb


def _held_mb(worker: KpiStream) -> float:
    held = memory_mb(worker.pids())
    if held is None:
        raise BenchError("this system does not tell how much memory a process holds")
    return held


def solve(many: Grown, few: Grown) -> tuple[float, float]:
    """Bytes a row and bytes an id, of what both have grown by."""
    determinant = many.rows * few.ids - few.rows * many.ids
    per_row = (many.bytes * few.ids - few.bytes * many.ids) / determinant
    per_id = (many.rows * few.bytes - few.rows * many.bytes) / determinant
    return per_row, per_id
