"""A producer ten times faster than the worker: memory stays bounded, and nothing is lost."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import orjson
from aiokafka import AIOKafkaProducer
from faust.types import TP

from stream.kafka.delivery import Outgoing, send_batches
from stream.kafka.partitioner import partition_of
from tests.kafka.live import WorkerProcess, wait_until, written_settings

PARTITIONS: Final = 2
AGENTS: Final = 50
DISTINCT: Final = 4_000
SENT_EACH_S: Final = 40_000
RUNS_S: Final = 0.01
STANDS_S: Final = 0.24
CATCH_UP_S: Final = 240.0
SWELLS_MB: Final = 150.0
_PAGE_MB: Final = 4_096 / 1024**2


@dataclass
class Pressure:
    """What was seen of the worker while it was behind, and after it had caught up."""

    seconds: float
    sent: int
    sent_each_s: float
    counted_each_s: float
    lag_most: float
    mb_before: float
    mb_most: float
    caught_up_s: float
    counted: int
    repeats: int
    lag_last: float

    def faults(self) -> list[str]:
        """What must not be."""
        faults = {
            f"the worker was not behind: {self.lag_most:.0f}": self.lag_most < 50_000,
            f"it grew from {self.mb_before:.0f} to {self.mb_most:.0f} MB": (
                self.mb_most > self.mb_before + SWELLS_MB
            ),
            f"{self.counted} of {DISTINCT} events counted": self.counted != DISTINCT,
            f"{self.counted + self.repeats} of {self.sent} records met": (
                self.counted + self.repeats != self.sent
            ),
            f"a lag of {self.lag_last:.0f} is left": self.lag_last != 0,
        }
        return [fault for fault, is_there in faults.items() if is_there]


class Throttle(threading.Thread):
    """Lets a process run for a 25th of the time only, by SIGSTOP and SIGCONT; samples it."""

    def __init__(self, worker: WorkerProcess) -> None:
        super().__init__(daemon=True)
        self.mb_most = megabytes(worker)
        self._worker = worker
        self._ended = threading.Event()

    def run(self) -> None:
        """Until the block ends."""
        while not self._ended.wait(RUNS_S):
            self._worker.send_signal(signal.SIGSTOP)
            self._ended.wait(STANDS_S)
            self._worker.send_signal(signal.SIGCONT)
            self.mb_most = max(self.mb_most, megabytes(self._worker))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()
        self._worker.send_signal(signal.SIGCONT)


def press(bootstrap: str, prefix: str, folder: Path, seconds: float) -> Pressure:
    """Sends for so long to a worker that is slowed down, then lets it catch up."""
    settings = written_settings(bootstrap, prefix, partitions=PARTITIONS, windows=["8h"])
    with WorkerProcess(folder, settings) as worker:
        worker.wait_ready(PARTITIONS)
        topic, mb_before = settings["topics"]["interactions"], megabytes(worker)
        with Throttle(worker) as throttle:
            began = time.monotonic()
            sent, lag_most = asyncio.run(_send(bootstrap, topic, worker, seconds))
            took_s = time.monotonic() - began
            counted_slowly = seen(worker)
        began = time.monotonic()
        wait_until(lambda: seen(worker) == sent, CATCH_UP_S, "all counted")
        wait_until(lambda: lag(worker) == 0, CATCH_UP_S, "no lag")
        return Pressure(
            seconds=took_s,
            sent=sent,
            sent_each_s=sent / took_s,
            counted_each_s=counted_slowly / took_s,
            lag_most=lag_most,
            mb_before=mb_before,
            mb_most=max(throttle.mb_most, megabytes(worker)),
            caught_up_s=time.monotonic() - began,
            counted=total(worker, 'kpi_stream_events_total{kind="interaction"}'),
            repeats=total(worker, 'kpi_stream_duplicates_total{kind="interaction"}'),
            lag_last=lag(worker),
        )


async def _send(
    bootstrap: str, topic: str, worker: WorkerProcess, seconds: float
) -> tuple[int, float]:
    """The same events over and over, so that the state stays small; how many, and the most lag."""
    now_ms = time.time_ns() // 1_000_000
    calls = [_call(number, now_ms) for number in range(DISTINCT)]
    places = {n: [call for number, call in calls if number == n] for n in range(PARTITIONS)}
    began, sent, lag_most = time.monotonic(), 0, 0.0
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=256 * 1024) as producer:
        while time.monotonic() - began < seconds:
            for number, part in places.items():
                await asyncio.gather(*await send_batches(producer, TP(topic, number), part))
            sent += DISTINCT
            await asyncio.sleep(max(0.0, sent / SENT_EACH_S - (time.monotonic() - began)))
            if sent % (20 * DISTINCT) == 0:
                lag_most = max(lag_most, await asyncio.to_thread(lag, worker))
        lag_most = max(lag_most, await asyncio.to_thread(lag, worker))
    return sent, lag_most


def _call(number: int, now_ms: int) -> tuple[int, Outgoing]:
    """A call's partition and record."""
    agent = f"a-{number % AGENTS}"
    event = {"event_id": f"e-{number}", "interaction_id": "i", "outcome": "handled", "queue": "q"}
    at_ms = now_ms - 1_000 - number % 60 * 60_000
    value = orjson.dumps({**event, "agent_id": agent, "ended_at": at_ms, "reason": "r" * 150})
    return partition_of(agent, PARTITIONS), Outgoing(agent.encode(), value)


def megabytes(worker: WorkerProcess) -> float:
    """The worker's resident memory."""
    assert worker.process is not None
    fields = Path(f"/proc/{worker.process.pid}/statm").read_text().split()
    return int(fields[1]) * _PAGE_MB


def lag(worker: WorkerProcess) -> float:
    """What the worker says it has not counted yet."""
    lines = worker.metrics().splitlines()
    found = [line for line in lines if line.startswith("kpi_stream_lag_records{")]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def seen(worker: WorkerProcess) -> int:
    """How many events it has met, new ones and repeats."""
    names = ("events", "duplicates")
    return sum(total(worker, f'kpi_stream_{n}_total{{kind="interaction"}}') for n in names)


def total(worker: WorkerProcess, series: str) -> int:
    """One counter, 0 while it does not answer."""
    found: Any = [s for s in worker.metrics().splitlines() if s.startswith(f"{series} ")]
    return int(float(found[0].rpartition(" ")[2])) if found else 0
