"""The Python peers that do not share our environment: one of their own, pinned by hashes.

Bytewax has wheels for Python 3.8 to 3.12 only, so as an extra of ours it would narrow what
kpi-stream itself is installed on.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar, Final

from tests.bench.systems.base import ROOT, BenchError, Peer

REQUIREMENTS: Final = ROOT / "tests" / "bench" / "apps" / "requirements.txt"
VENV: Final = ROOT / "build" / "bench-venv"
PYTHON: Final = VENV / "bin" / "python"
INSTALL_SECONDS: Final = 600


class PythonPeer(Peer):
    """A program of `tests/bench/apps` in the peers' environment."""

    package: ClassVar[str]
    """What it cannot do without, which also names its program."""

    @classmethod
    def prepare(cls) -> None:
        """Makes the environment, once."""
        make_environment()
        done = subprocess.run(
            [PYTHON, "-c", f"import {cls.package}"], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise BenchError(f"{cls.name} cannot be imported: {done.stderr.strip()[-300:]}")

    def command(self) -> list[str]:
        """With the peers' Python."""
        return [str(PYTHON), "-m", f"tests.bench.apps.{self.package}"]


def make_environment() -> Path:
    """The environment's Python; installs what is pinned, once even where runs race."""
    VENV.parent.mkdir(exist_ok=True)
    done = VENV / REQUIREMENTS.name
    with VENV.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or done.read_bytes() != REQUIREMENTS.read_bytes():
            shutil.rmtree(VENV, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(VENV)])
            install = ["install", "--quiet", "--require-hashes", "--requirement", str(REQUIREMENTS)]
            _run([str(PYTHON), "-m", "pip", *install])
            shutil.copy(REQUIREMENTS, done)
    return PYTHON


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{command[0]} did not run: {error}") from error
    if done.returncode != 0:
        raise BenchError(f"the peers' environment: {done.stderr.strip()[-300:]}")
