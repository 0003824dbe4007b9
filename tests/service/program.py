"""A program that one of the files describes, and the question whether it is well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from tests.kafka.live import ready_and_owned, wait_until
from tests.processes import OwnProcess

START_S: Final = 150.0  # as long as compose goes on asking Kafka; seconds on a quiet machine
RESTARTS_MAX: Final = 3
# Where `make venv` has put `kpi-stream` and `python`, as the image has in its own path.
PATH: Final = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


class Check(Protocol):
    """A health check or a probe."""

    def passes(self) -> bool:
        """Asks it once, for real."""


class CommandCheck(NamedTuple):
    """One that runs a command, a shell's if it is a text; well if that exits with 0 in time."""

    command: Sequence[str] | str
    timeout_s: float
    environment: Mapping[str, str]

    def passes(self) -> bool:
        """Runs it."""
        try:
            done = subprocess.run(
                self.command,
                shell=isinstance(self.command, str),
                env={"PATH": PATH, **self.environment},
                capture_output=True,
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        assert done.returncode not in {126, 127}, done.stderr  # it could not be run at all
        return done.returncode == 0


class HttpCheck(NamedTuple):
    """Kubernetes' `httpGet`: well if the answer is a success, in time."""

    url: str
    timeout_s: float

    def passes(self) -> bool:
        """Asks for it."""
        try:
            answer(self.url, self.timeout_s)
        except OSError:
            return False
        return True


def answer(url: str, timeout_s: float = 10.0) -> str:
    """What is answered to a GET; an `OSError` where that is no success."""
    with urllib.request.urlopen(url, timeout=timeout_s) as answered:  # noqa: S310 - our own servers
        return str(answered.read().decode())


def owned(url: str) -> int:
    """How many partitions a worker owns, if it has caught up on all of them, else 0."""
    try:
        ready, owned = ready_and_owned(json.loads(answer(f"{url}/health")))
    except OSError:
        return 0
    return owned if ready == owned else 0


class Program(NamedTuple):
    """What is started, where, and with no other variables than these."""

    line: Sequence[str]
    environment: Mapping[str, str]
    folder: Path


class Unit(OwnProcess):
    """A container, pod or service, without its walls."""

    def __init__(
        self, name: str, program: Program, checks: Sequence[Check], *, restarts: bool = False
    ) -> None:
        """With a folder for temporary files of its own; `restarts`: what ends by itself, as Docker.

        A worker that is fenced, on a machine that lets it wait too long, ends and is to come back.
        """
        self.name = name
        self.restarted = 0
        self._restarts = restarts
        self._wanted = threading.Event()
        self.program = program
        self.checks = checks
        self._private = tempfile.TemporaryDirectory(prefix=f"{name}-")
        self.log = Path(self._private.name) / "log"

    def start(self) -> None:
        """Starts it; `wait_well` waits."""
        self._spawn()
        if self._restarts:
            self._wanted = threading.Event()
            self._wanted.set()
            threading.Thread(target=self._keep, args=(self._wanted,), daemon=True).start()

    def kill(self) -> None:
        """SIGKILL, if it runs; it does not come back by itself."""
        self._wanted.clear()
        super().kill()

    def _keep(self, wanted: threading.Event) -> None:
        while wanted.is_set():
            assert self.process is not None
            self.process.wait()
            time.sleep(min(0.1 * 2**self.restarted, 60.0))
            if wanted.is_set():
                self.restarted += 1
                self._spawn()

    def _spawn(self) -> None:
        given = {"PATH": PATH, "TMPDIR": self._private.name, **self.program.environment}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.program.line, stdout=log, stderr=log, env=given, cwd=self.program.folder
            )

    def is_well(self) -> bool:
        """Whether each of its checks passes."""
        return all(check.passes() for check in self.checks)

    def is_unwell(self) -> bool:
        """Whether none of its checks passes."""
        return not any(check.passes() for check in self.checks)

    def wait_well(self) -> float:
        """Until all its checks pass; how many seconds that took."""
        began = time.monotonic()
        wait_until(self._is_well_yet, START_S, f"{self.name} is well")
        return time.monotonic() - began

    def stop(self, timeout_s: float) -> int:
        """SIGTERM; its exit code, where there is one within so many seconds."""
        assert self.process is not None
        self._wanted.clear()
        self.process.terminate()
        return self.process.wait(timeout_s)

    def close(self) -> None:
        """Ends it and forgets what it said."""
        self.kill()
        self._private.cleanup()

    def said(self) -> str:
        """The end of what it said."""
        return self.log.read_text(errors="replace")[-4000:]

    def _is_well_yet(self) -> bool:
        self.check_runs()
        return self.is_well()

    def check_runs(self) -> None:
        """Fails if it has ended for good, or again and again."""
        assert self.process is not None
        has_ended = self.process.poll() is not None
        if (has_ended and not self._restarts) or self.restarted > RESTARTS_MAX:
            raise RuntimeError(f"{self.name} has ended:\n{self.said()}")
