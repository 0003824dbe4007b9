"""Lets the systems take turns, so that a machine that slows down slows all of them down."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from aiokafka.admin import AIOKafkaAdminClient

from tests.bench.meter import Measured, measure
from tests.bench.systems.base import System, Task
from tests.bench.workload import PARTITIONS, Workload, produce

Say = Callable[[str], None]
Rounds = dict[str, list[Measured]]


async def compare(
    bootstrap: str, workload: Workload, systems: Sequence[type[System]], rounds: int, say: Say
) -> Rounds:
    """Measures each system once per round, one at a time, all on the same topic."""
    topic = f"{workload.name}-{secrets.token_hex(4)}"
    size = await produce(bootstrap, topic, workload, time.time_ns() // 1_000_000)
    say(f"{workload.name}: {workload.records:,} records of {size:.0f} bytes, {workload.about}")
    results: Rounds = {system.name: [] for system in systems}
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        with TemporaryDirectory(prefix="bench-") as folder:
            for number in range(1, rounds + 1):
                for kind in systems:
                    app = f"{kind.name}-{secrets.token_hex(4)}"
                    place = Path(folder) / app
                    task = Task(bootstrap, topic, PARTITIONS, workload.records, app, place)
                    with kind(task) as system:
                        measured = await measure(system, admin)
                    results[kind.name].append(measured)
                    await _delete(admin, app)
                    say(f"  round {number}: {kind.name} {measured.rate:,.0f} events/s")
        await _delete(admin, topic)
    finally:
        await admin.close()
    return results


async def _delete(admin: AIOKafkaAdminClient, prefix: str) -> None:
    """Deletes topics: the broker would compact them beside the next system's work."""
    topics = [name for name in await admin.list_topics() if name.startswith(prefix)]
    if topics:
        await admin.delete_topics(topics)
