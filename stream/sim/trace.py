"""What happened, as lines: a hash over all of them, and the last few to be shown."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

TAIL: Final = 60


class Trace:
    """One run's events. Two runs of a seed have the same hash."""

    def __init__(self, time: Callable[[], float], *, echo: bool = False) -> None:
        """`time` stamps lines; `echo` prints them."""
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.counts: Counter[str] = Counter()
        self._time = time
        self._hash = blake2b(digest_size=8)
        self._echo = echo

    def note(self, text: str) -> None:
        """Adds a line."""
        line = f"{self._time():10.4f} {text}"
        self._hash.update(line.encode())
        self.tail.append(line)
        if self._echo:
            print(line)  # noqa: T201 - asked for

    def count(self, what: str, number: int = 1) -> None:
        """Counts that something occurred, for the coverage of many runs."""
        self.counts[what] += number

    @property
    def digest(self) -> str:
        """All lines so far, in sixteen hex digits."""
        return self._hash.hexdigest()


class _Lines(logging.Handler):
    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        self._trace.note(f"log: {record.getMessage()}")


@contextmanager
def logged_to(trace: Trace) -> Iterator[None]:
    """What production code logs becomes a part of the trace, and nothing else."""
    logger = logging.getLogger("stream.kafka")
    before = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [_Lines(trace)], False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])
