"""How fast a topic that stands there is read: systems in turn, so that a slow minute slows all."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tests.bench.meter import Measured, measure
from tests.bench.result import Collected, Result, Run, Spread, spread
from tests.bench.systems.base import BenchError, Sums, System
from tests.bench.systems.kpi_stream import KpiStream
from tests.bench.traffic import Traffic, produce
from tests.bench.turns import Turns, take_turns

RATE: Final = "events_per_s"
TIMES: Final = "ours_times"
"""How many times its rate ours is, round by round."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """All systems on one topic."""

    name: str
    about: str
    traffic: Traffic

    def sized(self, records: int) -> Throughput:
        """The same with so many records."""
        return replace(self, traffic=replace(self.traffic, records=records))

    async def run(self, run: Run) -> Result:
        """Measures each system once per round, one at a time."""
        rounds, failed = await compare(run, self)
        return Result(summarise(rounds), {s.name: s.label for s in run.systems}, failed)


async def compare(
    run: Run, workload: Throughput, sums: dict[str, Sums] | None = None
) -> tuple[dict[str, list[Measured]], dict[str, str]]:
    """What was measured of each system in each round, and why some could not run.

    A system that cannot run, or fails in a round, is left out from then on; the others go on.
    Into `sums` goes what each has computed, if it is asked for.
    """
    topic = f"{workload.name}-{secrets.token_hex(4)}"
    records = workload.traffic.records
    size = await produce(run.bootstrap, topic, workload.traffic, time.time_ns() // 1_000_000)
    run.say(f"{workload.name}: {records:,} records of {size:.0f} bytes, {workload.about}")
    measured: dict[str, list[Measured]] = {system.name: [] for system in run.systems}
    failed: dict[str, str] = {}
    async with take_turns(run.bootstrap) as turns:
        for number in range(1, run.rounds + 1):
            for kind in run.systems:
                if kind.name in failed:
                    continue
                try:
                    found = await _turn(turns, kind, topic, records, sums)
                except BenchError as error:
                    failed[kind.name] = str(error)
                    run.say(f"  round {number}: {kind.name} cannot run: {error}")
                else:
                    measured[kind.name].append(found)
                    run.say(f"  round {number}: {kind.name} {found.rate:,.0f} events/s")
        await turns.delete(topic)
    return measured, failed


async def _turn(
    turns: Turns, kind: type[System], topic: str, records: int, sums: dict[str, Sums] | None
) -> Measured:
    await asyncio.to_thread(kind.prepare)
    async with turns.task(kind.name, topic, records, wants_sums=sums is not None) as task:
        with kind(task) as system:
            found = await measure(system, turns.admin)
        if sums is not None:
            sums[kind.name] = await asyncio.to_thread(system.sums)
    return found


def summarise(rounds: Mapping[str, Sequence[Measured]]) -> dict[str, dict[str, Spread]]:
    """System → metric → spread; the ratios are to the system that is named first, ours."""
    collected = Collected()
    for name, measured in rounds.items():
        for one in measured:
            metrics = {RATE: one.rate, "cpu_us_per_event": one.cpu_us_per_event}
            collected.add(name, {**metrics, "peak_mb": one.peak_mb})
    summary = collected.summary()
    ours, *peers = rounds
    for name in peers if ours == KpiStream.name else ():
        if ratios := [a.rate / b.rate for a, b in zip(rounds[ours], rounds[name], strict=False)]:
            summary[name][TIMES] = spread(ratios)
    return summary
