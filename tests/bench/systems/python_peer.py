"""The Python peers that do not share our environment: one of their own, pinned by hashes.

Bytewax has wheels for Python 3.8 to 3.12 only, so as an extra of ours it would narrow what
kpi-stream itself is installed on.
"""

from __future__ import annotations

from typing import ClassVar, Final

from tests.bench.systems.base import ROOT, BenchError, Peer
from tests.fetched import BUILD, UnavailableError, environment, run

REQUIREMENTS: Final = ROOT / "tests" / "bench" / "apps" / "requirements.txt"
VENV: Final = BUILD / "bench-venv"
PYTHON: Final = VENV / "bin" / "python"


class PythonPeer(Peer):
    """A program of `tests/bench/apps` in the peers' environment."""

    package: ClassVar[str]
    """What it cannot do without, which also names its program."""

    @classmethod
    def prepare(cls) -> None:
        """Makes the environment, once."""
        try:
            environment(VENV.name, REQUIREMENTS)
            run(PYTHON, "-c", f"import {cls.package}")
        except UnavailableError as error:
            raise BenchError(f"{cls.name} cannot be imported: {error}") from error

    def command(self) -> list[str]:
        """With the peers' Python."""
        return [str(PYTHON), "-m", f"tests.bench.apps.{self.package}"]
