"""What the demo sees on the topics, as any consumer would, and what it reports of it."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.config import Settings
from stream.demo.servers import get
from stream.kafka.clocks import CLOCK_KEY
from stream.serve.terminal import Board


@dataclass(slots=True)
class Report:
    """What a demo came to; `--report` writes it as JSON."""

    events_in: int = 0
    events_applied: int = 0
    dead_letters: int = 0
    kpi_records: int = 0
    alerts_fired: int = 0
    alerts_resolved: int = 0
    series: int = 0
    event_to_kpi_p50_ms: float | None = None
    event_to_kpi_p99_ms: float | None = None


@dataclass(slots=True)
class Watch:
    """What was seen on the topics so far."""

    board: Board
    report: Report = field(default_factory=Report)
    waiting: dict[tuple[str, str], deque[tuple[int, int]]] = field(default_factory=dict)
    latencies_ms: list[int] = field(default_factory=list)


async def follow(settings: Settings, watch: Watch) -> None:
    """Reads inputs and outputs as any consumer would, and notes when an event became visible."""
    topics = settings.topics
    handlers: dict[str, Callable[[Watch, Any], None]] = {
        topics.interactions: _take_event,
        topics.surveys: _take_event,
        topics.kpis: _take_reading,
        topics.alerts: _take_alert,
    }
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.broker, enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition(topic, 0) for topic in handlers]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        while True:
            for place, records in (await consumer.getmany(timeout_ms=100)).items():
                for record in records:
                    handlers[place.topic](watch, record)
    finally:
        await consumer.stop()


def _take_event(watch: Watch, record: Any) -> None:
    if record.key != CLOCK_KEY and record.key is not None:
        place = (record.topic, record.key.decode())
        watch.waiting.setdefault(place, deque()).append((record.offset, record.timestamp))


def _take_reading(watch: Watch, record: Any) -> None:
    if record.value is None:
        return
    reading = orjson.loads(record.value)
    watch.report.kpi_records += 1
    watch.board.take_reading(reading)
    if reading["scope"] == "agent":
        for topic, included in reading["offsets"].items():
            waiting = watch.waiting.get((topic, reading["id"]), deque())
            while waiting and waiting[0][0] < included:
                watch.latencies_ms.append(record.timestamp - waiting.popleft()[1])


def _take_alert(watch: Watch, record: Any) -> None:
    alert = orjson.loads(record.value)
    watch.report.alerts_fired += alert["state"] == "firing"
    watch.report.alerts_resolved += alert["state"] == "resolved"
    watch.board.take_alert(alert)


def conclude(settings: Settings, watch: Watch) -> None:
    """Takes the worker's own counts, and the latencies' quantiles."""
    report = watch.report
    with contextlib.suppress(OSError):
        lines = get(settings, "metrics").decode().splitlines()
        report.events_applied = _total(lines, "kpi_stream_events_total")
        report.dead_letters = _total(lines, "kpi_stream_dead_letters_total")
        gauges = ("kpi_stream_", "#")
        report.series = sum(1 for line in lines if line and not line.startswith(gauges))
    ordered = sorted(watch.latencies_ms)
    if ordered:
        report.event_to_kpi_p50_ms = float(ordered[len(ordered) // 2])
        report.event_to_kpi_p99_ms = float(ordered[len(ordered) * 99 // 100])


def _total(lines: list[str], metric: str) -> int:
    return round(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric)))
