"""What a scrape of about 100,000 series costs, and for how long it holds up the worker.

The allow-list is five KPIs of every agent over one window; each has a value and a sample count.
The same series, held as prometheus_client's gauges, are exposed by prometheus_client itself on the
same core. A stall is seen from outside: `/health` is answered by the loop that processes events,
and asked for again as soon as it has answered; the longest wait is the longest stall.
"""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.bench import cores
from tests.bench.load import Load, prepare
from tests.bench.result import Collected, Result, Run
from tests.bench.systems.base import BenchError
from tests.bench.systems.kpi_stream import KpiStream
from tests.bench.traffic import Traffic
from tests.bench.turns import Turns, take_turns

OTHER: Final = "prometheus-client"
LOAD_PER_S: Final = 2_000
_KPIS: Final = ("handled", "handle_time", "talk_time", "wrap_time", "resolution_rate")
_SHOWN: Final = {"show": {"scopes": ["agent"], "windows": ["1h"], "kpis": list(_KPIS)}}
_WITHIN_S: Final = 120.0
_CALM_S: Final = 3.0
_SCRAPES: Final = 3
_PROBE_PAUSE_S: Final = 0.002


@dataclass(frozen=True, slots=True)
class Scrape:
    """A worker that holds all agents; idle for the time, under load for the stall."""

    name: str
    about: str
    traffic: Traffic
    calm_s: float = _CALM_S

    def sized(self, records: int) -> Scrape:
        """The same after so many records."""
        return replace(self, traffic=replace(self.traffic, records=records))

    async def run(self, run: Run) -> Result:
        """Rounds on one worker: what differs between them is the moment."""
        collected = Collected()
        run.say(f"{self.name}: {self.about}")
        async with (
            take_turns(run.bootstrap) as turns,
            turns.filled(KpiStream.name, self.name, self.traffic) as task,
        ):
            with KpiStream(task, {"metrics": _SHOWN}, goals=()) as worker:
                await _until_counted(worker, self.traffic.records)
                for number in range(1, run.rounds + 1):
                    await self._round(turns, worker, collected)
                    run.say(f"  round {number}: {_told(collected)}")
        labels = {KpiStream.name: KpiStream.label, OTHER: "prometheus_client, the same series"}
        return Result(collected.summary(), labels)

    async def _round(self, turns: Turns, worker: KpiStream, collected: Collected) -> None:
        port = worker.workers[0].port
        seconds, body = await asyncio.to_thread(_best_scrape, port)
        other_seconds, other_bytes = await asyncio.to_thread(_by_prometheus_client, body)
        calm_ms, stall_ms = await self._stalls(turns, worker, port)
        series = float(sum(not line.startswith(b"#") for line in body.splitlines()))
        figures = {"scrape_s": seconds, "bytes": float(len(body)), "series": series}
        collected.add(KpiStream.name, {**figures, "stall_ms": stall_ms, "calm_ms": calm_ms})
        figures = {"scrape_s": other_seconds, "bytes": float(other_bytes)}
        collected.add(OTHER, {**figures, "ours_times": other_seconds / seconds})

    async def _stalls(self, turns: Turns, worker: KpiStream, port: int) -> tuple[float, float]:
        """The longest wait under load without a scrape, and with one."""
        records = [*prepare(replace(self.traffic, records=int(LOAD_PER_S * self.calm_s * 4)))]
        load = Load(turns.bootstrap, worker.task.topic, LOAD_PER_S)
        sending = asyncio.create_task(load.send(records, []))
        await asyncio.sleep(self.calm_s)
        with probing(port) as calm:
            await asyncio.sleep(self.calm_s)
        with probing(port) as scraped:
            await asyncio.to_thread(_scrape, port)
            await asyncio.sleep(0.3)
        await sending
        return calm.longest_s * 1000, scraped.longest_s * 1000


class Probe(threading.Thread):
    """Asks for `/health` again and again."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.longest_s = 0.0
        self.ended = threading.Event()
        self._port = port

    def run(self) -> None:
        """Until it is told to end; the answer that is under way still counts."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self.ended.wait(_PROBE_PAUSE_S):
            began_s = time.monotonic()
            connection.request("GET", "/health")
            connection.getresponse().read()
            self.longest_s = max(self.longest_s, time.monotonic() - began_s)
        connection.close()


@contextmanager
def probing(port: int) -> Iterator[Probe]:
    """Probes within the block."""
    probe = Probe(port)
    probe.start()
    try:
        yield probe
    finally:
        probe.ended.set()
        probe.join()


async def _until_counted(worker: KpiStream, records: int) -> None:
    """Counted, and then calm: no reading is owed any more."""
    deadline_s = time.monotonic() + _WITHIN_S
    while await asyncio.to_thread(worker.counted) < records:
        worker.require_alive()
        if time.monotonic() > deadline_s:
            raise BenchError(f"{records} records were not counted in {_WITHIN_S:.0f} s")
        await asyncio.sleep(0.5)
    await asyncio.sleep(1.0)


def _scrape(port: int) -> tuple[float, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began_s = time.monotonic()
    connection.request("GET", "/metrics")
    body = connection.getresponse().read()
    seconds = time.monotonic() - began_s
    connection.close()
    return seconds, body


def _best_scrape(port: int) -> tuple[float, bytes]:
    """The fastest of a few: the others met a flush."""
    return min((_scrape(port) for _ in range(_SCRAPES)), key=lambda found: found[0])


def _by_prometheus_client(body: bytes) -> tuple[float, int]:
    """Seconds and bytes for the same gauges, on the worker's core; the fastest of a few."""
    registry = CollectorRegistry()
    for family in text_string_to_metric_families(body.decode()):
        if family.type == "gauge" and family.samples:
            _hold(registry, family)
    with cores.started_on(cores.SYSTEM):
        found = []
        for _ in range(_SCRAPES):
            began_s = time.monotonic()
            size = len(generate_latest(registry))
            found.append((time.monotonic() - began_s, size))
    return min(found)


def _hold(registry: CollectorRegistry, family: Any) -> None:
    names = [*family.samples[0].labels]
    gauge = Gauge(family.name, family.documentation, names, registry=registry)
    for sample in family.samples:
        (gauge.labels(**sample.labels) if names else gauge).set(sample.value)


def _told(collected: Collected) -> str:
    ours, other = collected.values[KpiStream.name], collected.values[OTHER]
    return (
        f"{ours['series'][-1]:,.0f} series in {ours['scrape_s'][-1]:.3f} s, "
        f"prometheus_client {other['scrape_s'][-1]:.3f} s, stall {ours['stall_ms'][-1]:.0f} ms"
    )
