"""A worker as a process of its own, and topics as plain clients see them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.ports import free_ports
from tests.processes import OwnProcess

START_TIMEOUT_S = 60.0


def wait_until(done: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Polls until `done`; fails with `what` was waited for."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(0.1)


class WorkerProcess(OwnProcess):
    """`kpi-stream worker` with settings of its own; ends with the `with` block."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        goals: object = None,
        *,
        options: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        processes: int = 1,
    ) -> None:
        """`options` stand before the command; `variables` are added to its environment."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.processes = processes
        self.port = free_ports(processes)[0]
        self.log = folder / "worker.log"
        written = {**settings, "metrics": {**settings.get("metrics", {}), "port": self.port}}
        (folder / "kpi-stream.yaml").write_text(yaml.safe_dump(written))
        if goals is not None:
            (folder / "goals.yaml").write_text(yaml.safe_dump(goals))
        self._options = options
        self._environment = {**os.environ, **(variables or {})}

    def start(self) -> None:
        """Starts it; `wait_ready` waits."""
        command = [sys.executable, "-m", "stream", *self._options, "worker"]
        command += ["--config", str(self.folder)]
        command += ["--processes", str(self.processes)] if self.processes > 1 else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)

    def wait_ready(self, partitions: int | None = None) -> None:
        """Until it owns and has caught up on `partitions` partitions (None: on all it owns)."""
        wait_until(lambda: self._is_ready(partitions), START_TIMEOUT_S, f"worker {self.folder}")

    def wait_started(self) -> None:
        """Until it answers at all."""
        wait_until(lambda: bool(self.health()), START_TIMEOUT_S, f"worker {self.folder}")

    def _is_ready(self, partitions: int | None) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"the worker has exited:\n{self.log.read_text()[-4000:]}")
        ready, owned = self.partitions()
        return owned > 0 and ready == owned and partitions in (None, owned)

    def partitions(self, process: int = 0) -> tuple[int, int]:
        """How many partitions it, or one of its processes, has caught up on and owns."""
        return ready_and_owned(self.health(process))

    def health(self, process: int = 0) -> dict[str, Any]:
        """What `/health` says, healthy or not; empty while it does not answer."""
        try:
            return dict(json.loads(self._get("health", process)))
        except urllib.error.HTTPError as error:
            return dict(json.loads(error.read()))
        except (OSError, json.JSONDecodeError):
            return {}

    def metrics(self, process: int = 0) -> str:
        """What `/metrics` says; empty while it does not answer."""
        try:
            return self._get("metrics", process)
        except OSError:
            return ""

    def _get(self, path: str, process: int = 0) -> str:
        address = f"http://127.0.0.1:{self.port + process}/{path}"
        with urllib.request.urlopen(address, timeout=5) as answer:
            return str(answer.read().decode())

    def send_signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        assert self.process is not None
        os.kill(self.process.pid, number)

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout_s)


def ready_and_owned(health: Mapping[str, Any]) -> tuple[int, int]:
    """How many partitions a worker has caught up on and owns, by what its `/health` says."""
    words = str(health.get("detail", "")).split()
    numbers = [int(word) for word in words if word.isdigit()]
    return (numbers[0], numbers[1]) if len(numbers) >= 2 else (0, 0)


class Seen(NamedTuple):
    """One record as a plain client sees it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    timestamp_ms: int


class TopicReader:
    """Reads a topic from its beginning, `read_committed`; each `poll` goes on where it was."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.topic = topic
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=8 * 1024 * 1024,
        )

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        await self._consumer._client.force_metadata_update()
        partitions = self._consumer.partitions_for_topic(self.topic)
        if not partitions:
            self._consumer.subscribe([self.topic])
            await self._consumer.topics()
            partitions = self._consumer.partitions_for_topic(self.topic)
            self._consumer.unsubscribe()
        places = [TopicPartition(self.topic, p) for p in sorted(partitions or ())]
        assert places, f"{self.topic} has no partitions"
        self._consumer.assign(places)
        for place, start in (await self._consumer.beginning_offsets(places)).items():
            self._consumer.seek(place, start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def poll(self, timeout_ms: int = 200) -> list[Seen]:
        """The next records, none if none come in time."""
        found = await self._consumer.getmany(timeout_ms=timeout_ms)
        return [
            Seen(r.partition, r.offset, r.key, r.value, dict(r.headers), r.timestamp)
            for records in found.values()
            for r in records
        ]

    async def read_to_end(self) -> list[Seen]:
        """All records up to the end as it is now."""
        places = self._consumer.assignment()
        ends = await self._consumer.end_offsets(places)
        seen: list[Seen] = []
        while any([await self._consumer.position(p) < end for p, end in ends.items()]):
            seen += await self.poll()
        return seen


class Sent(NamedTuple):
    """A record to be sent; without a partition, the client's hash of the key decides."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def send(bootstrap: str, records: Iterable[Sent]) -> list[int]:
    """Sends records in their order, and waits; their offsets."""

    async def run() -> list[int]:
        # Lingering, so that neighbours reach the worker in one block.
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=50) as producer:
            futures = [
                await producer.send(
                    r.topic, r.value, key=r.key, partition=r.partition, headers=list(r.headers)
                )
                for r in records
            ]
            return [(await future).offset for future in futures]

    return asyncio.run(run())


def read_topic(bootstrap: str, topic: str) -> list[Seen]:
    """All that a topic holds now."""

    async def run() -> list[Seen]:
        async with TopicReader(bootstrap, topic) as reader:
            return await reader.read_to_end()

    return asyncio.run(run())


def written_settings(bootstrap: str, prefix: str, **fields: object) -> dict[str, Any]:
    """A worker's settings with an app and topics of the test's own."""
    names = ("interactions", "surveys", "agent_facts", "kpis", "alerts", "dead_letters")
    topics = {name: f"{prefix}{name}" for name in names}
    return {"app": f"{prefix}app", "broker": bootstrap, "topics": topics, **fields}
