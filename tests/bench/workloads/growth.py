"""What more agents, more windows and more processes cost us: it should hardly be seen.

All on a backfill of eight hours, so that nearly every event is a row of its own, however many
agents there are. Agents and windows are measured on one core; one process and two processes of a
group have all cores, beside the broker, and are compared by the CPU time they use.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.bench import cores
from tests.bench.meter import measure
from tests.bench.result import Collected, Result, Run
from tests.bench.systems.kpi_stream import KpiStream
from tests.bench.traffic import Traffic, produce
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
            for agents in sorted({variant.agents for variant in self.variants}):
                topics[agents] = f"{self.name}-{agents}-{secrets.token_hex(4)}"
                traffic = Traffic(agents, 8 * _HOUR_MS, self.records)
                now_ms = time.time_ns() // 1_000_000
                await produce(turns.bootstrap, topics[agents], traffic, now_ms)
            for number in range(1, run.rounds + 1):
                for variant in self.variants:
                    topic = topics[variant.agents]
                    metrics = await self._turn(turns, variant, topic)
                    collected.add(variant.name, metrics)
                    rate = metrics["events_per_s"]
                    run.say(f"  round {number}: {variant.name} {rate:,.0f} events/s")
            for topic in topics.values():
                await turns.delete(topic)
        return Result(collected.summary(), {v.name: v.label for v in self.variants})

    async def _turn(self, turns: Turns, variant: Variant, topic: str) -> dict[str, Any]:
        settings = {} if variant.windows is None else {"windows": list(variant.windows)}
        async with turns.task(variant.name, topic, self.records) as task:
            on = cores.SYSTEM if variant.is_pinned else cores.ALL
            with KpiStream(task, settings, processes=variant.processes, on=on) as worker:
                found = await measure(worker, turns.admin)
        cpu_us = found.cpu_us_per_event
        return {"events_per_s": found.rate, "cpu_us_per_event": cpu_us, "peak_mb": found.peak_mb}
