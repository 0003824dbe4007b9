"""Debian's Prometheus: its checker, and one server on a free port, ended by its own process id."""

from __future__ import annotations

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

from tests.fetched import UnavailableError, debian, run
from tests.kafka.live import wait_until
from tests.ports import free_port
from tests.processes import OwnProcess

PROGRAMS: Final = ("prometheus", "promtool")
START_SECONDS: Final = 30.0


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`: the installed one, else the fetched one."""
    return shutil.which(name) or str(debian("prometheus") / "usr" / "bin" / name)


class Prometheus(OwnProcess):
    """A server with these settings; its data end with the `with` block."""

    def __init__(self, config: Mapping[str, Any], rules: Mapping[str, str] | None = None) -> None:
        """`rules` are rule files by name."""
        self._folder = Path(tempfile.mkdtemp(prefix="prometheus-"))
        self._port = free_port()
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(dict(config)))
        (self._folder / "rules").mkdir()
        for name, text in (rules or {}).items():
            (self._folder / "rules" / name).write_text(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
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
            self.process = subprocess.Popen(
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
            raise UnavailableError(f"{error.read().decode()}: {parameters}") from error

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise UnavailableError((self._folder / "log").read_text()[-4000:])
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5):
                return True
        except OSError:
            return False
