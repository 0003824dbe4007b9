"""Partitions change hands: gauges are shown by one worker at a time, and nothing is forgotten."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import orjson
import pytest

from stream.adapters import TimedEvent, timed
from stream.config import load_settings
from stream.core.events import Interaction
from stream.replay import replay
from tests.kafka.live import (
    Sent,
    WorkerProcess,
    read_topic,
    send,
    wait_until,
    written_settings,
)
from tests.kafka_broker.broker import KafkaBroker

PARTITIONS = 4
AGENTS = 40
NOON_MS = 1_710_504_000_000
MINUTE_MS = 60_000
MOVE_S = 40.0

Readings = dict[bytes, dict[str, Any]]


def series_of(worker: WorkerProcess) -> frozenset[str]:
    """The KPI series that a worker shows, without their values."""
    return frozenset(
        line.rpartition(" ")[0]
        for line in worker.metrics().splitlines()
        if line.startswith("kpi_") and not line.startswith("kpi_stream_")
    )


class Scraper(Thread):
    """Scrapes two workers in turn, without a pause, until its block ends."""

    def __init__(self, *workers: WorkerProcess) -> None:
        super().__init__(daemon=True)
        self._workers = workers
        self._ended = Event()
        self.scrapes: list[frozenset[str]] = []

    def run(self) -> None:
        """Scrapes."""
        while not self._ended.is_set():
            self.scrapes += [series_of(worker) for worker in self._workers]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def shown_twice(self) -> set[str]:
        """Series in two scrapes of one worker and in the scrape of the other in between."""
        scrapes = self.scrapes
        return {
            series
            for before, between, after in zip(scrapes, scrapes[1:], scrapes[2:], strict=False)
            for series in before & between & after
        }


@pytest.mark.timeout(150)
def test_two_workers_never_show_the_same_series(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """While a second one joins, leaves, freezes and is killed; the first shows all of it again."""
    settings = written_settings(
        kafka.bootstrap, topic_prefix, partitions=PARTITIONS, windows=["1h"]
    )
    first = WorkerProcess(tmp_path / "first", settings)
    second = WorkerProcess(tmp_path / "second", settings)
    with first, Scraper(first, second) as scraper:
        first.wait_ready(PARTITIONS)
        at_ms = time.time_ns() // 1_000_000 - 1_000
        calls = [call(f"a-{n}", at_ms) for n in range(AGENTS)]
        send(kafka.bootstrap, [Sent(settings["topics"]["interactions"], *pair) for pair in calls])
        wait_until(lambda: agents(series_of(first)) == AGENTS, MOVE_S, "all on the first")
        everything = series_of(first)
        with second:
            wait_until(lambda: halved(first, second), MOVE_S, "two partitions each")
            wait_until(lambda: series_of(second) != frozenset(), MOVE_S, "some on the second")
            assert series_of(first) | series_of(second) == everything
            assert second.stop() == 0
            wait_until(lambda: series_of(first) == everything, MOVE_S, "all back after a stop")
            second.start()
            wait_until(lambda: halved(first, second), MOVE_S, "two partitions each again")
            second.send_signal(signal.SIGSTOP)
            wait_until(lambda: series_of(first) == everything, MOVE_S, "all back from a frozen one")
            second.send_signal(signal.SIGCONT)
            wait_until(lambda: returned(first, second), MOVE_S, "the frozen one back or gone")
            second.kill()
            wait_until(lambda: series_of(first) == everything, MOVE_S, "all back after a kill")
    assert not scraper.shown_twice()
    of_second = scraper.scrapes[1::2]
    assert sum(map(bool, of_second)) > 10, "the second was seen to show something"
    changes = sum(a != b for a, b in pairwise(of_second))
    assert changes >= 4, "it was seen to come and go, twice"


def call(agent: str, at_ms: int) -> tuple[bytes, bytes]:
    """A call's value and key."""
    event = {"event_id": f"e-{agent}", "interaction_id": "i", "outcome": "handled"}
    return json.dumps({**event, "agent_id": agent, "ended_at": at_ms}).encode(), agent.encode()


def agents(series: frozenset[str]) -> int:
    """How many agents have a series."""
    return sum(line.startswith("kpi_handled_contacts{") for line in series)


def halved(first: WorkerProcess, second: WorkerProcess) -> bool:
    """Whether each has caught up on its half."""
    half = PARTITIONS // 2
    return first.partitions() == (half, half) == second.partitions()


def returned(first: WorkerProcess, second: WorkerProcess) -> bool:
    """Whether a worker that had been frozen has a half again, or was fenced and has ended."""
    assert second.process is not None
    return second.process.poll() is not None or halved(first, second)


def day_of_calls() -> list[TimedEvent]:
    """Thirty agents' calls over eight hours."""
    return [
        timed(
            Interaction(
                event_id=f"e-{n}",
                interaction_id="i",
                ended_at=NOON_MS - 1 - n * 8_000,
                outcome="handled",
                agent_id=f"a-{n % 30}",
                talk_ms=n * 17,
            )
        )
        for n in reversed(range(3_600))
    ]


@pytest.mark.timeout(120)
def test_a_restart_changes_no_figure(kafka: KafkaBroker, topic_prefix: str, tmp_path: Path) -> None:
    """After SIGKILL and SIGTERM, with repeats waiting: rows, readings and gauges are equal.

    No gauge is shown before it is right.
    """
    settings = written_settings(
        kafka.bootstrap,
        topic_prefix,
        time="replay",
        partitions=2,
        windows=["15m", "1h", "8h"],
        instance=f"{topic_prefix}w",
        metrics={"show": {"windows": ["1h", "8h"]}},
    )
    calls = day_of_calls()
    repeats = [Sent(settings["topics"]["interactions"], c.raw, c.key.encode()) for c in calls] * 3
    with WorkerProcess(tmp_path / "w", settings) as worker:
        worker.wait_ready(2)
        loaded = load_settings(worker.folder)
        asyncio.run(replay(loaded, calls, until_ms=NOON_MS))
        wait_until(lambda: len(readings(kafka, settings)) == 90, MOVE_S, "all readings")
        before = readings(kafka, settings)
        rows, gauges = rows_of(worker), shown(worker)
        figures = 30 * 2 * 4 * 2
        assert len(gauges) == figures + 30, "agents, windows, KPIs; values and samples; whose"
        assert sum(rows.values()) > 3_000
        for end in (worker.kill, worker.stop):
            end()
            send(kafka.bootstrap, repeats)
            worker.start()
            scrapes = []
            while not worker._is_ready(2):
                scrapes.append(shown(worker))
            scrapes.append(shown(worker))
            asyncio.run(replay(loaded, [], until_ms=NOON_MS))
            after = renewed(kafka, settings, before)
            assert kpis(after) == kpis(before)
            assert rows_of(worker) == rows
            assert shown(worker) == gauges
            assert all(scrape.items() <= gauges.items() for scrape in scrapes)
            before = after


def readings(kafka: KafkaBroker, settings: dict[str, Any]) -> Readings:
    """The last reading of each key that is of the replay's end."""
    latest = {
        record.key or b"": orjson.loads(record.value)
        for record in read_topic(kafka.bootstrap, settings["topics"]["kpis"])
        if record.value
    }
    return {key: r for key, r in latest.items() if r["as_of"] == "2024-03-15T12:00:00.000Z"}


def renewed(kafka: KafkaBroker, settings: dict[str, Any], before: Readings) -> Readings:
    """The readings, once each was written again."""

    def done() -> bool:
        found = readings(kafka, settings)
        return all(found[key]["revision"] > r["revision"] for key, r in before.items())

    wait_until(done, MOVE_S, "every reading again")
    return readings(kafka, settings)


def kpis(found: Readings) -> dict[bytes, Any]:
    """Their figures alone."""
    return {key: reading["kpis"] for key, reading in found.items()}


def rows_of(worker: WorkerProcess) -> dict[str, float]:
    """How many rows each partition holds."""
    lines = [line for line in worker.metrics().splitlines() if line.startswith("kpi_stream_rows{")]
    return {name: float(value) for name, _, value in (line.partition(" ") for line in lines)}


def shown(worker: WorkerProcess) -> dict[str, str]:
    """The KPI series that a worker shows, with their values."""
    lines = [
        line.rpartition(" ")
        for line in worker.metrics().splitlines()
        if line.startswith("kpi_") and not line.startswith("kpi_stream_")
    ]
    return {series: value for series, _, value in lines}
