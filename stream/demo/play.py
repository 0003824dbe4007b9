"""The demo: starts everything, plays traffic faster than life and shows what comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console
from rich.live import Live

from stream.adapters import timed
from stream.config import Settings
from stream.core.windows import MINUTE_MS
from stream.demo.servers import broker, wait_ready, worker, write_settings
from stream.demo.watch import Watch, conclude, follow
from stream.environment import forget_variables
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
_PLAIN_LINE_EVERY_S: Final = 5.0


def run(seconds: float | None, report_file: Path | None) -> None:
    """Runs for `seconds` (None: until Ctrl-C) and leaves nothing behind.

    Its settings are its own: with KPI_STREAM_BROKER set, its traffic would go to a real broker.

    Raises:
        DemoError: if the demo broker is not installed or does not start.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal ends it as Ctrl-C does
        signal.signal(number, signal.default_int_handler)
    forget_variables(os.environ)
    console = Console()
    watch = Watch(Board(_TEAM_WINDOW, _AGENT_WINDOW))
    with tempfile.TemporaryDirectory(prefix="kpi-stream-demo-") as folder:
        settings = write_settings(Path(folder))
        with (
            broker(settings),
            worker(Path(folder)) as process,
            contextlib.suppress(KeyboardInterrupt),
        ):
            asyncio.run(_play(settings, watch, console, seconds, process))
    report = watch.report
    if report_file is not None:
        report_file.write_bytes(orjson.dumps(asdict(report), option=orjson.OPT_INDENT_2))
    console.print(
        f"{report.events_in} events in, {report.events_applied} applied, "
        f"{report.kpi_records} readings, {report.alerts_fired} alerts fired, "
        f"{report.alerts_resolved} resolved"
    )


async def _play(
    settings: Settings,
    watch: Watch,
    console: Console,
    seconds: float | None,
    process: subprocess.Popen[bytes],
) -> None:
    await prepare(settings)
    console.print(f"broker at {settings.broker}; waiting for the worker …")
    await wait_ready(settings, process)
    console.print(f"metrics at http://127.0.0.1:{settings.metrics.port}/metrics")
    start_ms = (int(time.time() * 1000) // (24 * _HOUR_MS) - 1) * 24 * _HOUR_MS + 8 * _HOUR_MS
    events = map(timed, traffic(SEED, start_ms, start_ms + _FOREVER_MS))
    sending = asyncio.create_task(
        replay(settings, events, speed=SPEED, progress=lambda n: _count_sent(watch, n))
    )
    watching = asyncio.create_task(follow(settings, watch))
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
        await asyncio.to_thread(conclude, settings, watch)


def _count_sent(watch: Watch, count: int) -> None:
    watch.report.events_in += count


async def _show(watch: Watch, console: Console, settings: Settings) -> None:
    """A live table on a terminal; elsewhere a line now and then."""
    if not console.is_terminal:
        while True:
            await asyncio.sleep(_PLAIN_LINE_EVERY_S)
            console.print(_status(watch, settings))
    with Live(console=console, screen=False, auto_refresh=False, transient=True) as live:
        while True:
            live.update(watch.board.render(_status(watch, settings), console.height), refresh=True)
            await asyncio.sleep(0.5)


def _status(watch: Watch, settings: Settings) -> str:
    report = watch.report
    return (
        f"event time {watch.board.as_of[:16]}Z ({SPEED:.0f}x) · {report.events_in} events · "
        f"{report.kpi_records} readings · {report.alerts_fired} fired, "
        f"{report.alerts_resolved} resolved · http://127.0.0.1:{settings.metrics.port}/metrics"
    )
