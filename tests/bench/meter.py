"""Measures one system at work: from the first event counted to the last one committed.

A system's progress is what it has committed to Kafka, asked for every 100 ms; a system may choose
to be measured by what it has counted instead. The clock starts when the system first says that it
has counted events (the worker's metrics do) or, where it cannot say, with its first commit; what
was done until then is taken off. It stops when the last commit is seen. So the start, joining the
group and recovery are not in the rate, and neither is what was counted but not committed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.bench.systems.base import BenchError, System, Task

POLL_S: Final = 0.1
STUCK_S: Final = 90.0


class Look(NamedTuple):
    """Progress at one moment, and the CPU time that the process had used by then."""

    at_s: float
    events: int
    cpu_s: float


class Measured(NamedTuple):
    """One system in one round. What the machine does not tell is None."""

    events: int
    seconds: float
    cpu_us_per_event: float | None
    peak_mb: float | None

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


async def measure(system: System, admin: AIOKafkaAdminClient) -> Measured:
    """Follows a system that was just started until it is done or was measured for long enough."""
    pids = system.pids()
    looks = [Look(time.monotonic(), 0, 0.0)]  # the last one before any event, then each step on
    stuck_at_s = looks[0].at_s + STUCK_S
    while not _is_done(looks, system):
        await asyncio.sleep(POLL_S)
        system.require_alive()
        events = await committed(admin, system.task) if system.by_commits else 0
        if not system.by_commits or len(looks) == 1:
            events = max(events, await asyncio.to_thread(system.counted))
        look = Look(time.monotonic(), events, cpu_seconds(pids))
        if not events and not looks[-1].events:
            looks = [look]
        elif events > looks[-1].events:
            looks.append(look)
            stuck_at_s = look.at_s + STUCK_S
        if look.at_s > stuck_at_s:
            raise BenchError(f"{system.name}: nothing for {STUCK_S:.0f} s, {events} events so far")
    await asyncio.to_thread(system.check)
    return _between(*_ends(looks), peak_mb(pids))


def _is_done(looks: list[Look], system: System) -> bool:
    if looks[-1].events >= system.task.records:
        return True
    limit = system.measured_s
    return limit is not None and len(looks) > 2 and looks[-1].at_s - looks[1].at_s >= limit


def _ends(looks: list[Look]) -> tuple[Look, Look]:
    """The first look that saw events and the last; of a tiny topic the first may be the last."""
    return (looks[1], looks[-1]) if len(looks) > 2 else (looks[0], looks[1])


def _between(first: Look, last: Look, peak: float | None) -> Measured:
    events, cpu_s = last.events - first.events, last.cpu_s - first.cpu_s
    cpu_us = 1e6 * cpu_s / events if last.cpu_s else None
    return Measured(events, last.at_s - first.at_s, cpu_us, peak)


async def committed(admin: AIOKafkaAdminClient, task: Task) -> int:
    """How many of the topic's records the group has committed; none while there is no group."""
    try:
        offsets = await admin.list_consumer_group_offsets(task.app)
    except KafkaError:  # its coordinator is still being found
        return 0
    return sum(o.offset for tp, o in offsets.items() if tp.topic == task.topic and o.offset > 0)


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time that processes have used, 0 where the system does not tell (only Linux does)."""
    try:
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    except OSError:
        return 0.0
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


def peak_mb(pids: Sequence[int]) -> float | None:
    """The most memory that each process has held at a time, added up; None if nobody tells."""
    return _memory_mb(pids, "VmHWM:")


def memory_mb(pids: Sequence[int]) -> float | None:
    """The memory that the processes hold now, None where the system does not tell."""
    return _memory_mb(pids, "VmRSS:")


def _memory_mb(pids: Sequence[int], field: str) -> float | None:
    try:
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    except OSError:
        return None
    lines = [line for text in texts for line in text.splitlines()]
    found = [int(line.split()[1]) for line in lines if line.startswith(field)]
    return sum(found) / 1024 if found else None
