"""What the benchmark asks of a system: a process of its own that says what it has done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Self

from tests.bench import cores

ROOT: Final = Path(__file__).parents[3]
STOP_TIMEOUT_S: Final = 20.0

Sums = dict[str, list[int]]
"""By agent and window start in seconds: handle ms, handled, resolved, resolved known."""


class BenchError(RuntimeError):
    """A system did not do its work, so there is nothing to report about it."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one system has to do in one round: read `topic` from its beginning as group `app`.

    `app` is new in every round; topics of a system's own have it in their names and go after the
    round. `wants_sums`: it also tells its sums when it has ended.
    """

    bootstrap: str
    topic: str
    partitions: int
    records: int
    app: str
    folder: Path
    wants_sums: bool = False


class System(ABC):
    """One system in one round, from its start to its end, as a context manager."""

    name: ClassVar[str]
    label: ClassVar[str]
    measured_s: ClassVar[float | None] = None
    """For how long it is measured at most; None: to the end of the topic."""
    by_commits: ClassVar[bool] = True
    """Whether an event is done when it is committed, or when the system has counted it."""

    def __init__(self, task: Task, on: frozenset[int] = cores.SYSTEM) -> None:
        """Nothing runs yet; it will run on these cores."""
        task.folder.mkdir(parents=True, exist_ok=True)
        self.task = task
        self.on = on
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod  # noqa: B027 - not every system needs it
    def prepare(cls) -> None:
        """Fetches and builds what it needs; raises `BenchError` if it cannot run here."""

    def __enter__(self) -> Self:
        with cores.started_on(self.on):
            self.process = self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the process, by force if it does not follow."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @abstractmethod
    def start(self) -> subprocess.Popen[bytes]:
        """Starts the process, its output in `log`; does not wait for it to be ready."""

    @property
    @abstractmethod
    def log(self) -> Path:
        """What the process says."""

    def pids(self) -> list[int]:
        """The processes whose work is measured."""
        assert self.process is not None, "it was started"
        return [self.process.pid]

    def counted(self) -> int:
        """How many events it says it has counted; 0 where only its commits tell."""
        return 0

    def check(self) -> None:  # noqa: B027 - not every system can tell
        """Raises `BenchError` unless the finished work was what it should be."""

    def sums(self) -> Sums:
        """What it has computed, once it has ended; only of a task that wants them."""
        raise BenchError(f"{self.name} does not tell its sums:\n{self._said()}")

    def require_alive(self) -> None:
        """Raises `BenchError` with the end of its log if the process is gone."""
        assert self.process is not None, "it was started"
        if self.process.poll() is not None:
            raise BenchError(f"{self.name} has ended ({self.process.returncode}):\n{self._said()}")

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-4_000:]


class Peer(System):
    """A system that is one program of `tests/bench/apps`.

    The environment tells it what to do; it tells how far it is in a file. What it has processed
    counts, committed or not: commits come every five to thirty seconds, which favours nobody but
    would make a short run a coarse measure.
    """

    by_commits = False

    @abstractmethod
    def command(self) -> list[str]:
        """What is run, in the root of the project."""

    def environment(self) -> Mapping[str, str]:
        """More than every peer is told, all of it after `BENCH_`."""
        return {}

    def start(self) -> subprocess.Popen[bytes]:
        """Starts the program."""
        task = self.task
        told = {"BROKER": task.bootstrap, "TOPIC": task.topic, "APP": task.app}
        told |= {"PARTITIONS": str(task.partitions), "DATA": str(task.folder / "data")}
        told |= {"COUNTED": str(self._counted), **self.environment()}
        if task.wants_sums:
            told["SUMS"] = str(self._sums)
        environ = {**os.environ, **{f"BENCH_{name}": value for name, value in told.items()}}
        with self.log.open("ab") as log:
            return subprocess.Popen(self.command(), stdout=log, stderr=log, env=environ, cwd=ROOT)

    @property
    def log(self) -> Path:
        """What it says."""
        return self.task.folder / "log"

    @property
    def _counted(self) -> Path:
        return self.task.folder / "counted"

    @property
    def _sums(self) -> Path:
        return self.task.folder / "sums.json"

    def counted(self) -> int:
        """By its own count, ten times a second; 0 also where it is just being written."""
        text = self._counted.read_text() if self._counted.exists() else ""
        return int(text) if text.endswith("\n") else 0

    def sums(self) -> Sums:
        """As it wrote them at its end."""
        if not self._sums.exists():
            return super().sums()
        return dict(json.loads(self._sums.read_text()))
