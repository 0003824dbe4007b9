"""Slows a process down, evenly and however busy the machine is."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final, Self

_RUNS_S: Final = 0.01
_STANDS_S_MAX: Final = 1.0


class Throttle(threading.Thread):
    """Lets a process have a share of one core and no more, by SIGSTOP and SIGCONT.

    It stands still until the CPU time that it took is paid for, so a turn that took longer than
    meant to, with this thread kept waiting, gives it nothing.
    """

    def __init__(self, pid: int, share: Callable[[], float]) -> None:
        """`share`: such as 0.04, asked again after every turn."""
        super().__init__(daemon=True)
        self._pid = pid
        self._share = share
        self._ended = threading.Event()

    def run(self) -> None:
        """Until the block ends."""
        owed_s, used_s, turned = 0.0, cpu_s(self._pid), time.monotonic()
        while not self._ended.wait(_RUNS_S):
            os.kill(self._pid, signal.SIGSTOP)
            before_s, used_s = used_s, cpu_s(self._pid)
            owed_s = max(0.0, owed_s + (used_s - before_s) / self._share())
            passed_s, turned = time.monotonic() - turned, time.monotonic()
            owed_s = max(0.0, owed_s - passed_s)
            self._ended.wait(min(owed_s, _STANDS_S_MAX))
            os.kill(self._pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()
        os.kill(self._pid, signal.SIGCONT)


def cpu_s(pid: int) -> float:
    """The CPU time that all threads of a process have taken, to the nanosecond."""
    # The clock that clock_getcpuclockid(3) names on Linux; Python has it for threads only.
    return time.clock_gettime(~pid << 3 | 2)
