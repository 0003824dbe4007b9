"""A real Alertmanager and a notifier, as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from tests.kafka.live import START_TIMEOUT_S, wait_until
from tests.notify.debian import SHARE, program
from tests.ports import free_port
from tests.processes import OwnProcess


class AlertmanagerProcess(OwnProcess):
    """Alertmanager on a free port, with data of its own that survive a `kill`."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(dict(config)))

    def start(self) -> None:
        """Starts it and waits until it answers."""
        command = [program("prometheus-alertmanager")]
        command += [f"--config.file={self.folder / 'alertmanager.yml'}"]
        command += [f"--storage.path={self.folder / 'data'}", "--data.maintenance-interval=1s"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address="]
        with (self.folder / "alertmanager.log").open("ab") as log:
            folder = SHARE if SHARE.exists() else None
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        wait_until(self._answers, START_TIMEOUT_S, "Alertmanager answers")

    def alerts(self) -> list[dict[str, Any]]:
        """What it holds now."""
        found: list[dict[str, Any]] = self._call("alerts")
        return found

    def post(self, *alerts: Mapping[str, Any]) -> None:
        """Tells it of alerts, as Prometheus does."""
        self._call("alerts", list(alerts))

    def silence(self, matchers: Mapping[str, str], starts: str, ends: str) -> None:
        """Silences what has these labels."""
        named = [
            {"name": name, "value": value, "isRegex": False, "isEqual": True}
            for name, value in matchers.items()
        ]
        fields = {"createdBy": "a lead", "comment": "a talk is planned"}
        body = {"matchers": named, "startsAt": starts, "endsAt": ends, **fields}
        self._call("silences", body)

    def _call(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v2/{path}", data, headers)  # noqa: S310 - our own server
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - the same
            said = answer.read()
        return json.loads(said) if said else None

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            said = (self.folder / "alertmanager.log").read_text()
            raise RuntimeError(f"Alertmanager has exited:\n{said[-4000:]}")
        try:
            self._call("status")
        except OSError:
            return False
        return True


class NotifierProcess(OwnProcess):
    """`kpi-stream notify` with settings of its own; ends with the `with` block."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        variables: Mapping[str, str] | None = None,
        *,
        start: bool = True,
    ) -> None:
        """`variables` are added to its environment; `start`: whether with the `with` block."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.log = folder / "notify.log"
        self._environment = {**os.environ, **(variables or {})}
        self._starts = start
        own = {**settings["notify"], "metrics": {"port": self.port}}
        (folder / "kpi-stream.yaml").write_text(yaml.safe_dump({**settings, "notify": own}))

    def __enter__(self) -> Self:
        if self._starts:
            self.start()
        return self

    def start(self) -> None:
        """Starts it."""
        command = [sys.executable, "-m", "stream", "notify", "--config", str(self.folder)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)

    def has_ended(self) -> bool:
        """Whether it has, by itself."""
        assert self.process is not None
        return self.process.poll() is not None

    def stop(self, timeout_s: float = 20.0) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout_s)

    def health(self) -> str:
        """What `/health` says; empty while it does not answer."""
        try:
            return self._get("health")
        except urllib.error.HTTPError as error:
            return str(error.read().decode())
        except OSError:
            return ""

    def metrics(self) -> str:
        """What `/metrics` says; empty while it does not answer."""
        try:
            return self._get("metrics")
        except OSError:
            return ""

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
            return str(answer.read().decode())
