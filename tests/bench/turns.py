"""One system's turn: a group, a folder and topics of its own, which go when it ends."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from aiokafka.admin import AIOKafkaAdminClient

from tests.bench.systems.base import Task
from tests.bench.traffic import PARTITIONS, Traffic, produce


@dataclass(frozen=True, slots=True)
class Turns:
    """What tasks have in common."""

    bootstrap: str
    admin: AIOKafkaAdminClient
    folder: Path

    @asynccontextmanager
    async def task(
        self, name: str, topic: str, records: int, *, wants_sums: bool = False
    ) -> AsyncIterator[Task]:
        """A task for one turn."""
        app = f"{name}-{secrets.token_hex(4)}"
        place = self.folder / app
        try:
            yield Task(self.bootstrap, topic, PARTITIONS, records, app, place, wants_sums)
        finally:
            await self.delete(app)

    @asynccontextmanager
    async def filled(self, system: str, name: str, traffic: Traffic) -> AsyncIterator[Task]:
        """A task with a topic of its own, which holds this traffic, up to now."""
        topic = f"{name}-{secrets.token_hex(4)}"
        await produce(self.bootstrap, topic, traffic, time.time_ns() // 1_000_000)
        async with self.task(system, topic, traffic.records) as task:
            yield task
        await self.delete(topic)

    async def delete(self, name: str) -> None:
        """Deletes topics: the broker would compact them beside the next system's work."""
        topics = [topic for topic in await self.admin.list_topics() if name in topic]
        if topics:
            await self.admin.delete_topics(topics)


@asynccontextmanager
async def take_turns(bootstrap: str) -> AsyncIterator[Turns]:
    """Until the end of the block."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        with TemporaryDirectory(prefix="bench-") as folder:
            yield Turns(bootstrap, admin, Path(folder))
    finally:
        await admin.close()
