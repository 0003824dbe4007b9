"""How long an event takes to the `kpis` and the `alerts` topic, at a steady rate, for us.

A contact has arrived in `kpis` when a reading of its agent over the shortest window, which is
emitted most often, is visible to a `read_committed` consumer and includes the contact's offset.
For `alerts`, one contact in so many is the first of an agent of its own, and so long that it
misses a goal at once; it has arrived when the first transition of that agent is visible. The clock
starts when the contact is handed to the producer.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
import numpy as np
import orjson
from aiokafka import AIOKafkaConsumer

from tests.bench.load import Load, Prepared, Sent, prepared
from tests.bench.result import Collected, Result, Run
from tests.bench.systems.base import BenchError
from tests.bench.systems.kpi_stream import GOALS, KpiStream
from tests.bench.traffic import Contact, Traffic, contacts, make_topic
from tests.bench.turns import Turns, take_turns

WINDOW: Final = "15m"
WARM_UP_S: Final = 3.0
PATIENCE_S: Final = 75.0  # a contact at a minute's edge may wait for the next one
CANARIES_PER_S_MAX: Final = 50
_PERCENTILES: Final = {"p50": 50.0, "p99": 99.0, "p99_9": 99.9}
_CANARY_GOAL: Final = {
    "name": "canary",
    "purpose": "One contact misses it.",
    "kpi": "handle_time",
    "scope": "agent",
    "window": WINDOW,
    "target": "<= 10h",
    "min_samples": 1,
    "severity": "info",
    "what_to_do": "Measure.",
}
_TALK_MS: Final = 24 * 3_600_000


class _Reading(msgspec.Struct):
    offsets: dict[str, int]


@dataclass(frozen=True, slots=True)
class Paced:
    """A steady rate of contacts of so many agents."""

    name: str
    about: str
    per_s: int
    traffic: Traffic

    def sized(self, records: int) -> Paced:
        """The same for so many records."""
        return replace(self, traffic=replace(self.traffic, records=records))

    async def run(self, run: Run) -> Result:
        """Each round with a worker of its own."""
        collected = Collected()
        run.say(f"{self.name}: {self.about}")
        async with take_turns(run.bootstrap) as turns:
            for number in range(1, run.rounds + 1):
                metrics = await self._round(turns)
                collected.add(KpiStream.name, metrics)
                said = ", ".join(f"{name} {value:,.0f}" for name, value in metrics.items())
                run.say(f"  round {number}: {said}")
        return Result(collected.summary(), {KpiStream.name: KpiStream.label})

    async def _round(self, turns: Turns) -> dict[str, float]:
        topic = f"{self.name}-{secrets.token_hex(4)}"
        records = [*self._records()]
        await make_topic(turns.bootstrap, topic)
        async with turns.task(KpiStream.name, topic, len(records)) as task:
            with KpiStream(task, goals=(*GOALS, _CANARY_GOAL)) as worker:
                await asyncio.to_thread(worker.workers[0].wait_ready)
                watch = Watch(topic, task.bootstrap)
                load = Load(task.bootstrap, topic, self.per_s)
                latencies = await watch.follow(load, records, worker)
        await turns.delete(topic)
        return latencies

    def _records(self) -> Iterator[Prepared]:
        """The contacts, with a canary among them every now and then."""
        every = max(50, self.per_s // CANARIES_PER_S_MAX)
        for number, contact in enumerate(contacts(self.traffic, time.time_ns() // 1_000_000)):
            yield prepared(_canary(contact, number) if number % every == every - 1 else contact)


def _canary(contact: Contact, number: int) -> Contact:
    agent = f"canary-{number:07}"
    value = {**orjson.loads(contact.value), "agent_id": agent, "talk_ms": _TALK_MS}
    return Contact(agent, orjson.dumps(value), contact.at_ms)


@dataclass(slots=True)
class Watch:
    """Notes when contacts have arrived."""

    topic: str
    bootstrap: str
    sent: list[Sent] = field(default_factory=list)
    to_kpis_s: list[float] = field(default_factory=list)
    to_alerts_s: list[float] = field(default_factory=list)
    _queued: int = 0
    _waiting: dict[str, deque[Sent]] = field(default_factory=lambda: defaultdict(deque))
    _canaries: dict[str, Sent] = field(default_factory=dict)
    _counted_from_s: float = 0.0

    async def follow(
        self, load: Load, records: Sequence[Prepared], worker: KpiStream
    ) -> dict[str, float]:
        """Sends all records and waits until all of them have arrived."""
        length_s = len(records) / load.per_s
        self._counted_from_s = time.monotonic() + min(WARM_UP_S, length_s / 3)
        kpis = asyncio.create_task(self._read(worker.topics["kpis"], self._on_reading))
        alerts = asyncio.create_task(self._read(worker.topics["alerts"], self._on_transition))
        try:
            await load.send(records, self.sent)
            deadline_s = time.monotonic() + PATIENCE_S
            while missing := self._missing():
                worker.require_alive()
                if time.monotonic() > deadline_s:
                    raise BenchError(f"after {PATIENCE_S:.0f} s {missing} have not arrived")
                for task in (kpis, alerts):
                    if task.done():
                        task.result()
                await asyncio.sleep(0.1)
        finally:
            for task in (kpis, alerts):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        return {**_summed_up("kpis", self.to_kpis_s), **_summed_up("alerts", self.to_alerts_s)}

    def _missing(self) -> str:
        """What has not arrived yet; nothing to say if all has."""
        self._take_in()
        contacts, canaries = sum(map(len, self._waiting.values())), len(self._canaries)
        if not contacts and not canaries:
            return ""
        return f"{contacts} contacts in kpis and {canaries} canaries in alerts"

    async def _read(self, topic: str, on_record: Any) -> None:
        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=self.bootstrap,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=20,
            max_partition_fetch_bytes=8 * 1024 * 1024,
        )
        async with consumer:
            while True:
                found = await consumer.getmany(timeout_ms=1000)
                now_s = time.monotonic()
                self._take_in()
                for records in found.values():
                    for record in records:
                        on_record(record, now_s)

    def _take_in(self) -> None:
        """What was sent since; the producer only appends."""
        for sent in self.sent[self._queued :]:
            self._waiting[sent.key].append(sent)
            if sent.key.startswith("canary"):
                self._canaries[sent.key] = sent
        self._queued = len(self.sent)

    def _on_reading(self, record: Any, now_s: float) -> None:
        scope, _, rest = record.key.decode().partition("/")
        agent, _, window = rest.rpartition("/")
        if scope != "agent" or window != WINDOW or record.value is None:
            return
        end = msgspec.json.decode(record.value, type=_Reading).offsets[self.topic]
        waiting = self._waiting[agent]
        while waiting and waiting[0].offset < end:
            self._arrived(self.to_kpis_s, waiting.popleft(), now_s)

    def _on_transition(self, record: Any, now_s: float) -> None:
        if record.value is not None:
            sent = self._canaries.pop(orjson.loads(record.value)["id"], None)
            if sent is not None:
                self._arrived(self.to_alerts_s, sent, now_s)

    def _arrived(self, latencies_s: list[float], sent: Sent, now_s: float) -> None:
        if sent.at_s >= self._counted_from_s:
            latencies_s.append(now_s - sent.at_s)


def _summed_up(to: str, latencies_s: Sequence[float]) -> dict[str, float]:
    if not latencies_s:
        return {}
    found = np.percentile(latencies_s, [*_PERCENTILES.values()]) * 1000
    return {f"{to}_{name}_ms": float(ms) for name, ms in zip(_PERCENTILES, found, strict=True)}
