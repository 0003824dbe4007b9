"""What a row and an event's id cost in memory, for us.

Two kinds of topics: in one nearly every event is a row of its own, in the other a few rows absorb
them all. Each is taken in by a worker as a whole, and a fifth of it by another; both then hold the
same buffers and code, and differ by so many bytes, rows and ids. Two such differences give the
bytes of a row and of an id. What a worker holds all told is beside it, as its peak and by event.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from tests.bench.meter import measure, memory_mb, peak_mb
from tests.bench.result import Collected, Result, Run
from tests.bench.systems.base import BenchError
from tests.bench.systems.kpi_stream import KpiStream
from tests.bench.traffic import Traffic
from tests.bench.turns import Turns, take_turns

_MB: Final = 1024 * 1024
_PART: Final = 5


class Held(NamedTuple):
    """What a worker holds at rest, and for what."""

    bytes: float
    rows: float
    ids: float
    peak_mb: float

    def beyond(self, part: Held) -> Held:
        """By how much it is more."""
        more = (self.bytes - part.bytes, self.rows - part.rows, self.ids - part.ids)
        return Held(*more, self.peak_mb)


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
            for number in range(1, run.rounds + 1):
                whole = await self._held(turns, self.traffic)
                many = whole.beyond(await self._held(turns, _part(self.traffic)))
                few = (await self._held(turns, self.dense)).beyond(
                    await self._held(turns, _part(self.dense))
                )
                per_row, per_id = solve(many, few)
                metrics = {"bytes_per_row": per_row, "bytes_per_id": per_id}
                metrics |= {"bytes_per_event": whole.bytes / whole.ids, "rows": whole.rows}
                collected.add(KpiStream.name, {**metrics, "peak_mb": whole.peak_mb})
                run.say(f"  round {number}: {per_row:.0f} bytes a row, {per_id:.1f} an id")
        return Result(collected.summary(), {KpiStream.name: KpiStream.label})

    async def _held(self, turns: Turns, traffic: Traffic) -> Held:
        """A worker that has taken in a topic and come to rest."""
        async with turns.filled(KpiStream.name, self.name, traffic) as task:
            with KpiStream(task) as worker:
                await measure(worker, turns.admin)
                await asyncio.sleep(self.rest_s)
                held_mb, peak = _held_mb(worker), peak_mb(worker.pids())
                rows = worker.metric("kpi_stream_rows", 'stage="rows"')
        return Held(held_mb * _MB, rows, traffic.records, peak or held_mb)


def _part(traffic: Traffic) -> Traffic:
    return replace(traffic, records=traffic.records // _PART)


def _held_mb(worker: KpiStream) -> float:
    held = memory_mb(worker.pids())
    if held is None:
        raise BenchError("this system does not tell how much memory a process holds")
    return held


def solve(many: Held, few: Held) -> tuple[float, float]:
    """Bytes a row and bytes an id, of two differences."""
    determinant = many.rows * few.ids - few.rows * many.ids
    per_row = (many.bytes * few.ids - few.bytes * many.ids) / determinant
    per_id = (many.rows * few.bytes - few.rows * many.bytes) / determinant
    return per_row, per_id
