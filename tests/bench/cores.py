"""Which core each runs on: the system under test on one, the broker and the benchmark on the rest.

The affinity is the calling thread's (`sched_setaffinity`), and a process that it starts inherits
it with all its threads, a JVM's compilers and collectors too. Where there is one core only, or a
system that knows no affinity, nobody is pinned.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

ALL: frozenset[int] = (
    frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()
)
_CAN_PIN = len(ALL) > 1
SYSTEM: frozenset[int] = frozenset([max(ALL)]) if _CAN_PIN else ALL
REST: frozenset[int] = ALL - SYSTEM if _CAN_PIN else ALL


@contextmanager
def started_on(cores: frozenset[int]) -> Iterator[None]:
    """Processes that are started within run on these cores."""
    if not _CAN_PIN:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def told() -> str:
    """How it was pinned, for people."""
    if not _CAN_PIN:
        return "not pinned"
    return f"system on core {_list(SYSTEM)}, broker and benchmark on {_list(REST)}"


def _list(cores: frozenset[int]) -> str:
    return ", ".join(str(core) for core in sorted(cores))
