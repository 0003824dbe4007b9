"""A program that a test starts, and ends by its own process id."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from typing import Self


class OwnProcess(ABC):
    """Runs for as long as its `with` block at most."""

    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @abstractmethod
    def start(self) -> None:
        """Starts it."""

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
