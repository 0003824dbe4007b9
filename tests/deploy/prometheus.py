"""Debian's Prometheus: its checker, and one server on a free port, ended by its own process id."""

from __future__ import annotations

import fcntl
import functools
import json
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import yaml

from tests.deploy.exporter import TOP
from tests.kafka.live import free_port, wait_until

FETCHED: Final = TOP / "build" / "prometheus"
PROGRAMS: Final = ("prometheus", "promtool")
FETCH_SECONDS: Final = 300
START_SECONDS: Final = 30.0


class PrometheusError(RuntimeError):
    """Prometheus is not to be had, or refuses what it was given."""


@functools.cache
def why_unavailable() -> str | None:
    """Why Prometheus cannot run here, or None if it can; fetches it to know."""
    try:
        for name in PROGRAMS:
            program(name)
    except PrometheusError as error:
        return str(error)
    return None


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`: the installed one, else the fetched one."""
    return shutil.which(name) or str(fetch() / "usr" / "bin" / name)


def fetch() -> Path:
    """Unpacks Debian's package into `build/`, which needs no root; once, where test runs race."""
    FETCHED.parent.mkdir(exist_ok=True)
    unpacked = FETCHED / "unpacked"
    with FETCHED.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not unpacked.exists():
            if shutil.which("apt-get") is None:
                raise PrometheusError("prometheus is not installed, and there is no apt-get")
            for folder in ("lists/partial", "archives/partial"):
                (FETCHED / folder).mkdir(parents=True, exist_ok=True)
            own = [f"Dir::State::lists={FETCHED}/lists", f"Dir::Cache={FETCHED}"]
            options = [word for setting in own for word in ("-o", setting)]
            run("apt-get", *options, "-qq", "update")
            run("apt-get", *options, "-qq", "download", "prometheus", cwd=FETCHED)
            (package,) = FETCHED.glob("prometheus_*.deb")
            run("dpkg", "-x", str(package), str(FETCHED / "unpacking"))
            (FETCHED / "unpacking").rename(unpacked)
    return unpacked


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What a program prints; what it says is the failure's message."""
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PrometheusError(f"{command[0]} did not run: {error}") from error
    if done.returncode != 0:
        raise PrometheusError(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


class Prometheus:
    """A server with these settings; its data end with the `with` block."""

    def __init__(self, config: Mapping[str, Any], rules: Mapping[str, str] | None = None) -> None:
        """`rules` are rule files by name."""
        self._folder = Path(tempfile.mkdtemp(prefix="prometheus-"))
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(dict(config)))
        (self._folder / "rules").mkdir()
        for name, text in (rules or {}).items():
            (self._folder / "rules" / name).write_text(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder)

    def backfill(self, openmetrics: str) -> None:
        """Puts samples of the past into its store, before the start."""
        file = self._folder / "past.txt"
        file.write_text(openmetrics)
        create = ("tsdb", "create-blocks-from", "openmetrics", "--quiet")
        run(program("promtool"), *create, file, self._folder / "data")

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program("prometheus"),
                    f"--config.file={self._folder}/prometheus.yml",
                    f"--storage.tsdb.path={self._folder}/data",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=log,
            )
        wait_until(self._is_ready, START_SECONDS, f"Prometheus in {self._folder}")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an instant query finds now."""
        found: list[dict[str, Any]] = self._ask("query", query=expression)["result"]
        return found

    def values(self, label: str, series: str) -> list[str]:
        """The values that a label has on these series."""
        found: list[str] = self._ask(f"label/{label}/values", **{"match[]": series})
        return found

    def rules(self) -> list[dict[str, Any]]:
        """All rules with their state."""
        groups: Sequence[Mapping[str, Any]] = self._ask("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _ask(self, path: str, **parameters: str) -> Any:
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise PrometheusError(f"{error.read().decode()}: {parameters}") from error

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise PrometheusError((self._folder / "log").read_text()[-4000:])
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5):
                return True
        except OSError:
            return False
