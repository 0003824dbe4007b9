"""Keeps processes of one command running: starts, restarts and stops them as one.

Each is the command once more with `--slot N`. One that dies is started again after a pause, as a
service manager would, and the others work on. One that exits with `REFUSED` would only do so again:
all are stopped, and what started the supervisor learns of it by the same exit code.

They hold the reading end of a pipe as their standard input, the supervisor alone the writing end:
it closes when the supervisor ends, also by SIGKILL, on every POSIX system.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

REFUSED: Final = 2  # click's too, for a command line with which nothing can be done
PAUSE_S_MIN: Final = 1.0
PAUSE_S_MAX: Final = 30.0
CALM_S: Final = 60.0
_LIFELINE: Final = 0  # standard input

log = logging.getLogger(__name__)


def pause_s(deaths: int) -> float:
    """How long to wait after so many deaths, each soon after a start: 1, 2, 4, … up to 30 s."""
    return min(PAUSE_S_MIN * 2.0 ** min(deaths - 1, 10), PAUSE_S_MAX)


class Supervisor:
    """The processes of one command, in numbered slots with a name each."""

    def __init__(
        self,
        command: Sequence[str],
        names: Sequence[str],
        *,
        deadline_s: float,
        pause_s: Callable[[int], float] = pause_s,
    ) -> None:
        """`deadline_s`: how long a stop may take before the processes are killed."""
        self._command = command
        self._names = names
        self._deadline_s = deadline_s
        self._pause_s = pause_s
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._signalled = False

    async def run(self) -> int:
        """Until SIGINT, SIGTERM or a refusal; 0 where every process came to an orderly end.

        Else `REFUSED` where one refused, or 1. A second signal does not wait for them. SIGUSR1 and
        SIGUSR2 are passed on.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            loop.add_signal_handler(number, self._send, number)
        with _pipe() as lifeline:
            async with asyncio.TaskGroup() as group:
                ends = [
                    group.create_task(self._keep(slot, lifeline))
                    for slot in range(len(self._names))
                ]
        return max(end.result() for end in ends)

    async def _keep(self, slot: int, lifeline: int) -> int:
        """Keeps one running until all stop; 0 where its last end was an orderly one."""
        name, deaths = self._names[slot], 0
        while True:
            began = time.monotonic()
            code = await self._run_once(slot, lifeline)
            result = 0 if code in (0, -signal.SIGTERM) else 1  # the latter before it had begun
            if self._stopping.is_set():
                return result
            if code == REFUSED:
                log.error("%s refuses to run and would again, so all stop", name)
                self._stop()
                return REFUSED
            deaths = 1 if time.monotonic() - began > CALM_S else deaths + 1
            pause = self._pause_s(deaths)
            log.warning("%s has ended (%s), next start in %g s", name, _explain(code), pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            if self._stopping.is_set():
                return result

    async def _run_once(self, slot: int, lifeline: int) -> int:
        """Starts a process and waits for its end; its exit code, negative for a signal."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                *("--slot", str(slot)),
                stdin=lifeline,
                start_new_session=True,  # a terminal's Ctrl-C is for us to pass on, once
            )
        except OSError as error:  # no memory, no process left: it may pass
            log.error("%s cannot be started: %s", self._names[slot], error)  # noqa: TRY400 - said whole
            return os.EX_OSERR
        log.info("%s is process %d", self._names[slot], process.pid)
        self._running[slot] = process
        if self._stopping.is_set():
            self._send(signal.SIGTERM, slot)
        code = await process.wait()
        del self._running[slot]
        return code

    def _on_signal(self) -> None:
        if self._signalled:
            self._kill()
        elif not self._stopping.is_set():
            self._stop()
        self._signalled = True

    def _stop(self) -> None:
        self._stopping.set()
        self._send(signal.SIGTERM)
        asyncio.get_running_loop().call_later(self._deadline_s, self._kill)

    def _kill(self) -> None:
        if self._running:
            left = ", ".join(self._names[slot] for slot in self._running)
            log.error("%s: not stopped yet, and ended", left)
            self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals, *slots: int) -> None:
        for slot in slots or list(self._running):
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                self._running[slot].send_signal(number)


def stop_with_supervisor(on_stopping: Callable[[], None]) -> None:
    """Has SIGTERM sent to this process when its supervisor has ended, after `on_stopping`."""

    def wait() -> None:
        while os.read(_LIFELINE, 1):
            pass  # nothing is ever written: that it ends is the news
        log.error("the supervisor has ended without a word")
        on_stopping()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


@contextlib.contextmanager
def _pipe() -> Iterator[int]:
    """A pipe that nobody writes to; its reading end."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(writing)
        os.close(reading)


def _explain(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"{signal.strsignal(-code)}"
