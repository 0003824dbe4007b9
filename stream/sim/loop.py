"""An event loop on virtual time, and processes that can freeze and die between two awaits."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, cast

Task = asyncio.Task[Any]


class Process:
    """What freezes and dies as one: every callback scheduled from within it.

    A dead process runs nothing more, not even a `finally`; its tasks are kept until the run is
    over, so that the garbage collector ends none of them in between.
    """

    def __init__(self, name: str) -> None:
        """Runs."""
        self.name = name
        self.frozen = False
        self.dead = False
        self.parked: list[asyncio.Handle] = []
        self.tasks: list[Task] = []
        self.fuse: tuple[int, Callable[[], None]] | None = None

    def light(self, operations: int, action: Callable[[], None]) -> None:
        """Has `action` happen at this process's n-th request to Kafka from now on."""
        self.fuse = operations, action

    def burn(self) -> None:
        """Notes a request; the fuse may end here."""
        if self.fuse is not None:
            left, action = self.fuse
            self.fuse = (left - 1, action) if left > 1 else None
            if self.fuse is None:
                action()


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class StalledError(Exception):
    """Nothing is left that could ever happen."""


class SimLoop(asyncio.BaseEventLoop):
    """Runs what is ready, in order; when nothing is, time jumps to the next timer."""

    def __init__(self) -> None:
        """At time 0."""
        super().__init__()
        self.now = 0.0
        self.outside = Context()
        self.fault: BaseException | None = None
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timers_made = 0
        self.set_task_factory(cast(Any, _new_task))
        self._ready: deque[asyncio.Handle]
        self._stopping: bool
        self.set_exception_handler(_note)

    def time(self) -> float:
        """Seconds since the run began."""
        return self.now

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """As asyncio's; timers of one instant ring in the order in which they were set."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers_made += 1
        heapq.heappush(self._timers, (when, self._timers_made, timer))
        return timer

    def start(self, process: Process, main: Coroutine[Any, Any, Any]) -> None:
        """Runs `main`, and all that comes of it, as part of `process`."""
        context = Context()
        context.run(PROCESS.set, process)
        self.create_task(main, context=context)

    def thaw(self, process: Process) -> None:
        """Lets a frozen process go on with all that was held back."""
        process.frozen = False
        parked, process.parked = process.parked, []
        self._ready.extend(parked)

    def at(self, when: float, act: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        """Has something happen outside every process."""
        return self.call_at(when, act, *args, context=self.outside)

    def after(self, delay: float, act: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        """The same, relative to now."""
        return self.call_at(self.now + delay, act, *args, context=self.outside)

    def _run_once(self) -> None:
        ready, timers = self._ready, self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not ready and not self._stopping:
            if not timers:
                raise StalledError
            self.now = max(self.now, timers[0][0])
        while timers and timers[0][0] <= self.now:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)  # type: ignore[attr-defined]
            if process is None or not (process.frozen or process.dead):
                handle._run()
            else:
                process.parked.append(handle)

    def _write_to_self(self) -> None:
        """Nobody waits in a selector."""


def _new_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
) -> Task:
    task = asyncio.Task(coroutine, loop=loop, **options)
    context: Context | None = options.get("context")
    process = PROCESS.get() if context is None else context.get(PROCESS)
    if process is not None:
        process.tasks.append(task)
    return task


def _note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A failed callback ends the run; what nobody asked for is noticed whenever memory is freed."""
    assert isinstance(loop, SimLoop)
    if "handle" in context and loop.fault is None:
        loop.fault = context.get("exception")
        loop.stop()
