"""Faust as its manual shows it, in a process of its own; the app is `faust_manual_app.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.bench.systems.base import System

_APP = "tests.bench.systems.faust_manual_app"


class FaustManual(System):
    """`faust worker` with one hopping table.

    It would take minutes for a topic that the worker reads in seconds, so it is measured for a
    fixed time of steady work and then ended. And its commits lag far behind its work, by tens of
    seconds and unevenly; so in its favour what it has processed counts, committed or not.
    """

    name = "faust-manual"
    label = "Faust as its manual shows it, one sum"
    measured_s = 12.0
    by_commits = False

    def start(self) -> subprocess.Popen[bytes]:
        """Starts it without its web server, which nobody asks."""
        task = self.task
        told = {"BROKER": task.bootstrap, "TOPIC": task.topic, "APP": task.app}
        told |= {"PARTITIONS": str(task.partitions), "DATADIR": str(task.folder / "data")}
        told |= {"COUNTED": str(self._counted)}
        environ = {**os.environ, **{f"BENCH_{name}": value for name, value in told.items()}}
        command = [sys.executable, "-m", _APP, "worker", "-l", "warn", "--without-web"]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=environ)

    @property
    def log(self) -> Path:
        """What Faust says."""
        return self.task.folder / "faust.log"

    @property
    def _counted(self) -> Path:
        return self.task.folder / "counted"

    def counted(self) -> int:
        """By its own count, ten times a second; 0 also where it is just being written."""
        text = self._counted.read_text() if self._counted.exists() else ""
        return int(text) if text.endswith("\n") else 0
