"""Lets the systems take turns, so that a machine that slows down slows all of them down."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from aiokafka.admin import AIOKafkaAdminClient

from tests.bench.meter import Measured, measure
from tests.bench.systems.base import BenchError, Sums, System, Task
from tests.bench.workload import PARTITIONS, Workload, produce

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rounds:
    """Of each system, by name: what was measured in each round, or why it did not run."""

    measured: dict[str, list[Measured]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    sums: dict[str, Sums] = field(default_factory=dict)


async def compare(
    bootstrap: str,
    workload: Workload,
    systems: Sequence[type[System]],
    rounds: int,
    say: Say,
    *,
    wants_sums: bool = False,
) -> Rounds:
    """Measures each system once per round, one at a time, all on the same topic.

    A system that cannot run, or fails in a round, is left out from then on; the others go on.
    """
    topic = f"{workload.name}-{secrets.token_hex(4)}"
    size = await produce(bootstrap, topic, workload, time.time_ns() // 1_000_000)
    say(f"{workload.name}: {workload.records:,} records of {size:.0f} bytes, {workload.about}")
    results = Rounds({system.name: [] for system in systems})
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        with TemporaryDirectory(prefix="bench-") as folder:
            for number in range(1, rounds + 1):
                for kind in systems:
                    if kind.name in results.failed:
                        continue
                    app = f"{kind.name}-{secrets.token_hex(4)}"
                    task = Task(
                        bootstrap,
                        topic,
                        PARTITIONS,
                        workload.records,
                        app,
                        Path(folder) / app,
                        wants_sums,
                    )
                    try:
                        measured = await _turn(kind, task, admin, results)
                    except BenchError as error:
                        results.failed[kind.name] = str(error)
                        say(f"  round {number}: {kind.name} cannot run: {error}")
                    else:
                        say(f"  round {number}: {kind.name} {measured.rate:,.0f} events/s")
                    await _delete(admin, app)
        await _delete(admin, topic)
    finally:
        await admin.close()
    return results


async def _turn(
    kind: type[System], task: Task, admin: AIOKafkaAdminClient, results: Rounds
) -> Measured:
    await asyncio.to_thread(kind.prepare)
    with kind(task) as system:
        measured = await measure(system, admin)
    results.measured[kind.name].append(measured)
    if task.wants_sums:
        results.sums[kind.name] = system.sums()
    return measured


async def _delete(admin: AIOKafkaAdminClient, name: str) -> None:
    """Deletes topics: the broker would compact them beside the next system's work."""
    topics = [topic for topic in await admin.list_topics() if name in topic]
    if topics:
        await admin.delete_topics(topics)
