"""What the benchmark asks of a system: a process of its own that commits what it has done."""

from __future__ import annotations

import signal
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Self

STOP_TIMEOUT_S: Final = 20.0


class BenchError(RuntimeError):
    """A system did not do its work, so there is nothing to report about it."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one system has to do in one round: read `topic` from its beginning as group `app`.

    `app` is new in every round; topics of a system's own begin with it and go after the round.
    """

    bootstrap: str
    topic: str
    partitions: int
    records: int
    app: str
    folder: Path


class System(ABC):
    """One system in one round, from its start to its end, as a context manager."""

    name: ClassVar[str]
    label: ClassVar[str]
    measured_s: ClassVar[float | None] = None
    """For how long it is measured at most; None: to the end of the topic."""
    by_commits: ClassVar[bool] = True
    """Whether an event is done when it is committed, or when the system has counted it."""

    def __init__(self, task: Task) -> None:
        """Nothing runs yet."""
        task.folder.mkdir(parents=True, exist_ok=True)
        self.task = task
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
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

    def counted(self) -> int:
        """How many events it says it has counted; 0 where only its commits tell."""
        return 0

    def check(self) -> None:  # noqa: B027 - not every system can tell
        """Raises `BenchError` unless the finished work was what it should be."""

    def require_alive(self) -> None:
        """Raises `BenchError` with the end of its log if the process is gone."""
        assert self.process is not None, "it was started"
        if self.process.poll() is not None:
            said = self.log.read_text(errors="replace")[-4_000:]
            raise BenchError(f"{self.name} has ended ({self.process.returncode}):\n{said}")
