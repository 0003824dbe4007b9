"""What more agents, more windows and more processes cost us: it should hardly be seen.

All on a backfill of eight hours, so that nearly every event is a row of its own, however many
agents there are. Agents and windows are measured on one core, on a topic that stands there. One
process and two processes of a group share all cores with the broker, and are compared by the CPU
time they use for an event: the topic is filled, faster than they read, once they have shared the
partitions; while they still do, the first would count what the second counts again.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tests.bench import cores
from tests.bench.meter import POLL_S, STUCK_S, cpu_seconds, measure, peak_mb
from tests.bench.result import Collected, Result, Run
from tests.bench.systems.base import BenchError
from tests.bench.systems.kpi_stream import KpiStream
from tests.bench.traffic import Traffic, contacts, fill, make_topic, produce
from tests.bench.turns import Turns, take_turns

_HOUR_MS: Final = 3_600_000
TWENTY_WINDOWS: Final = (
    *("5m", "10m", "15m", "20m", "30m", "45m", "1h", "90m", "2h", "3h"),
    *("4h", "5h", "6h", "8h", "10h", "12h", "today", "24h", "2d", "7d"),
)


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run it."""

    name: str
    label: str
    agents: int = 10_000
    windows: tuple[str, ...] | None = None
    processes: int = 1
    is_pinned: bool = True


VARIANTS: Final = (
    Variant("agents-1000", "1,000 agents, 5 windows", agents=1_000),
    Variant("agents-10000", "10,000 agents, 5 windows"),
    Variant("agents-100000", "100,000 agents, 5 windows", agents=100_000),
    Variant("windows-1", "10,000 agents, 1 window", windows=("8h",)),
    Variant("windows-20", "10,000 agents, 20 windows", windows=TWENTY_WINDOWS),
    Variant("processes-1", "10,000 agents, 1 process, all cores", is_pinned=False),
    Variant("processes-2", "10,000 agents, 2 processes, all cores", processes=2, is_pinned=False),
)


@dataclass(frozen=True, slots=True)
class Growth:
    """All variants in turn."""

    name: str
    about: str
    records: int
    variants: tuple[Variant, ...] = VARIANTS

    def sized(self, records: int) -> Growth:
        """The same with so many records in each topic."""
        return replace(self, records=records)

    async def run(self, run: Run) -> Result:
        """Each variant once per round."""
        collected = Collected()
        run.say(f"{self.name}: {self.about}")
        async with take_turns(run.bootstrap) as turns:
            topics: dict[int, str] = {}
            for agents in sorted({v.agents for v in self.variants if v.is_pinned}):
                topics[agents] = f"{self.name}-{agents}-{secrets.token_hex(4)}"
                traffic = Traffic(agents, 8 * _HOUR_MS, self.records)
                now_ms = time.time_ns() // 1_000_000
                await produce(turns.bootstrap, topics[agents], traffic, now_ms)
            for number in range(1, run.rounds + 1):
                for variant in self.variants:
                    if variant.is_pinned:
                        metrics = await self._turn(turns, variant, topics[variant.agents])
                    else:
                        metrics = await self._shared(turns, variant)
                    collected.add(variant.name, metrics)
                    cpu_us = metrics["cpu_us_per_event"] or 0
                    run.say(f"  round {number}: {variant.name} {cpu_us:.1f} CPU µs/event")
            for topic in topics.values():
                await turns.delete(topic)
        return Result(collected.summary(), {v.name: v.label for v in self.variants})

    async def _turn(self, turns: Turns, variant: Variant, topic: str) -> dict[str, float | None]:
        settings = {} if variant.windows is None else {"windows": list(variant.windows)}
        async with turns.task(variant.name, topic, self.records) as task:
            with KpiStream(task, settings) as worker:
                found = await measure(worker, turns.admin)
        cpu_us = found.cpu_us_per_event
        return {"events_per_s": found.rate, "cpu_us_per_event": cpu_us, "peak_mb": found.peak_mb}

    async def _shared(self, turns: Turns, variant: Variant) -> dict[str, float | None]:
        """From an empty topic, shared, to a full one, committed."""
        topic = f"{self.name}-{secrets.token_hex(4)}"
        traffic = Traffic(variant.agents, 8 * _HOUR_MS, self.records)
        records = [*contacts(traffic, time.time_ns() // 1_000_000)]
        await make_topic(turns.bootstrap, topic)
        async with turns.task(variant.name, topic, self.records) as task:
            with KpiStream(task, processes=variant.processes, on=cores.ALL) as worker:
                await _until(worker, worker.is_shared)
                before_s = cpu_seconds(worker.pids())
                await fill(turns.bootstrap, topic, records)
                await _until(worker, lambda: worker.counted() >= self.records)
                cpu_s = cpu_seconds(worker.pids()) - before_s
                peak = peak_mb(worker.pids())
        await turns.delete(topic)
        cpu_us = 1e6 * cpu_s / self.records if cpu_s else None
        return {"cpu_us_per_event": cpu_us, "peak_mb": peak}


async def _until(worker: KpiStream, is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + STUCK_S
    while not await asyncio.to_thread(is_so):
        worker.require_alive()
        if time.monotonic() > deadline_s:
            raise BenchError(f"{worker.task.app} was not done in {STUCK_S:.0f} s")
        await asyncio.sleep(POLL_S)
