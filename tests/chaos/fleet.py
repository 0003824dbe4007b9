"""Workers with a supervisor that starts again whatever ends, and notes why it did."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Literal, Self

from tests.kafka.live import WorkerProcess

STOP_DEADLINE_S: Final = 25.0
TAKEN_OVER_S: Final = 60.0
WOKEN_S: Final = 60.0
UNEXPLAINED_MAX: Final = 5
_SAID: Final = re.compile(
    r"ERROR.*?(?:the worker stops: |kpi-stream: )(.*)|^kpi-stream: (.*)", re.MULTILINE
)
_FENCED: Final = re.compile(r"the worker stops: partition \d+: (?:fenced|another worker has)")
_REJOINED: Final = "ready: partitions"
Fate = Literal["fenced exits", "rejoined", "otherwise"]


class Slot:
    """One place for a worker. `wanted`: the supervisor keeps it running."""

    def __init__(self, worker: WorkerProcess, *, is_static: bool) -> None:
        self.worker = worker
        self.is_static = is_static
        self.wanted = False
        self.is_frozen = False
        self._log_from = 0

    @property
    def is_running(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self.worker.process is not None and self.worker.process.poll() is None

    def start(self) -> None:
        """Starts the process."""
        log = self.worker.log
        self._log_from = log.stat().st_size if log.exists() else 0
        self.wanted = True
        self.worker.start()

    def said(self, since: int | None = None) -> str:
        """What the process has said since its start, or since the log was so long."""
        log = self.worker.log
        said = log.read_bytes() if log.exists() else b""
        return said[self._log_from if since is None else since :].decode(errors="replace")


class Fleet:
    """All workers of a run."""

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], goals: object, static: Sequence[bool]
    ) -> None:
        self.slots = [
            Slot(
                self._worker(folder / f"w{number}", settings, goals, is_static), is_static=is_static
            )
            for number, is_static in enumerate(static)
        ]
        self._partitions = settings["partitions"]
        self.exits: Counter[str] = Counter()
        self.unexplained: list[str] = []
        self.longest_stop_s = 0.0

    @staticmethod
    def _worker(
        folder: Path, settings: Mapping[str, Any], goals: object, is_static: bool
    ) -> WorkerProcess:
        own = {"instance": f"{settings['app']}-{folder.name}"} if is_static else {}
        return WorkerProcess(folder, {**settings, **own}, goals)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as ended:
            for slot in self.slots:
                slot.wanted = False
                ended.callback(slot.worker.kill)

    async def supervise(self) -> None:
        """Starts again, for ever, what has ended and is wanted."""
        while True:
            for slot in self.slots:
                if slot.wanted and not slot.is_running:
                    self._note_exit(slot)
                    slot.start()
            await asyncio.sleep(0.1)

    def running(self) -> list[Slot]:
        """The slots whose process is there and not frozen."""
        return [slot for slot in self.slots if slot.is_running and not slot.is_frozen]

    def kill(self, slot: Slot) -> None:
        """SIGKILL; the supervisor starts it again."""
        slot.worker.kill()

    async def stop(self, slot: Slot) -> None:
        """SIGTERM; it has to end by itself, in time and with code 0."""
        slot.wanted = False
        began = time.monotonic()
        try:
            code = await asyncio.to_thread(slot.worker.stop, STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.unexplained.append(f"no end within {STOP_DEADLINE_S:.0f} s of SIGTERM")
            slot.worker.kill()
            return
        self.longest_stop_s = max(self.longest_stop_s, time.monotonic() - began)
        if code:
            self._note_exit(slot)

    async def freeze(self, slot: Slot, seconds: float) -> Fate:
        """SIGSTOP, and SIGCONT once so much time has passed and others own what it had.

        What it still has in hand is refused then. It ends of that, unless it hears of the
        rebalance first: then it gives all up, and joins with a state read anew.
        """
        process = slot.worker.process
        assert process is not None
        slot.is_frozen = True
        slot.worker.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        is_taken_over = await self._wait_owned_by_others()
        woken_at = slot.worker.log.stat().st_size
        slot.worker.send_signal(signal.SIGCONT)
        slot.is_frozen = False
        return await self._fate(slot, process, woken_at) if is_taken_over else "otherwise"

    @staticmethod
    async def _fate(slot: Slot, process: subprocess.Popen[bytes], woken_at: int) -> Fate:
        deadline = time.monotonic() + WOKEN_S
        while time.monotonic() < deadline:
            code, said = process.poll(), slot.said(woken_at)
            if code is not None:
                return "fenced exits" if code == 1 and _FENCED.search(said) else "otherwise"
            if _REJOINED in said:
                return "rejoined"
            await asyncio.sleep(0.1)
        return "otherwise"

    async def wait_owning(self, slot: Slot, timeout_s: float) -> int:
        """Until the worker owns something and has caught up on it, or the time is over.

        How many partitions it owns then.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            ready, owned = await asyncio.to_thread(slot.worker.partitions)
            if ready == owned > 0 or time.monotonic() > deadline:
                return owned
            await asyncio.sleep(0.1)

    async def _wait_owned_by_others(self) -> bool:
        """Until all partitions are owned by workers that run; false where the time was over."""
        deadline = time.monotonic() + TAKEN_OVER_S
        while time.monotonic() < deadline:
            found = [await asyncio.to_thread(s.worker.partitions) for s in self.running()]
            if sum(owned for _, owned in found) == self._partitions:
                return True
            await asyncio.sleep(0.1)
        return False

    async def wait_answering(self, slot: Slot, timeout_s: float) -> None:
        """Until the worker answers at all, or the time is over."""
        deadline = time.monotonic() + timeout_s
        while not await asyncio.to_thread(slot.worker.health):
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(0.1)

    async def wait_caught_up(self, timeout_s: float) -> None:
        """Until every partition is owned and caught up, for two looks in a row."""
        deadline = time.monotonic() + timeout_s
        looks = 0
        while looks < 2:
            if time.monotonic() > deadline or len(self.unexplained) > UNEXPLAINED_MAX:
                said = "\n".join(slot.said()[-1_500:] for slot in self.slots)
                raise TimeoutError(f"not caught up within {timeout_s:.0f} s:\n{said}")
            found = [await asyncio.to_thread(s.worker.partitions) for s in self.running()]
            ready, owned = (
                (sum(numbers) for numbers in zip(*found, strict=True)) if found else (0, 0)
            )
            looks = looks + 1 if ready == owned == self._partitions else 0
            await asyncio.sleep(0.3)

    def _note_exit(self, slot: Slot) -> None:
        """A kill of ours needs no reason; whatever else ends has to have said one."""
        assert slot.worker.process is not None
        code = slot.worker.process.returncode
        if code == -signal.SIGKILL:
            return
        said = slot.said()
        reasons = [first or second for first, second in _SAID.findall(said)]
        if code and reasons and "Traceback" not in said:
            self.exits[re.sub(r"\d+", "N", reasons[-1])[:120]] += 1
        else:
            self.unexplained.append(f"exit {code}: {said[-3_000:]}")
