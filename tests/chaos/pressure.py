"""A producer ten times faster than the worker: memory stays bounded, and nothing is lost."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson
from aiokafka import AIOKafkaProducer
from faust.types import TP

from stream.kafka.delivery import Outgoing, send_batches
from stream.kafka.partitioner import partition_of
from tests.chaos.throttle import Throttle
from tests.kafka.live import WorkerProcess, wait_until, written_settings

PARTITIONS: Final = 2
AGENTS: Final = 500
EVENTS_AT_ONCE: Final = 3_800
REPEATS_AT_ONCE: Final = 200
SENT_EACH_S: Final = 40_000
# An event each so often, from so long ago on: in the order of their time, as contacts come.
STEP_MS: Final = 6
BEGAN_MS: Final = 7 * 3_600_000
CATCH_UP_S: Final = 240.0
LAG_TOLD_S: Final = 30.0
# So much more it gets once it is asked how far it has come, to answer within an HTTP time-out.
PACE_ASKED: Final = 2.5
# Of one core; half of it where the producer gets no more than half of its own pace.
SHARE: Final = 0.02
TIMES_FASTER: Final = 10
# What waits between Kafka and the state: a fetch of 4 MB for each partition, and six blocks of
# 5,000 records (four in Faust's buffer, one at its door, one in hand) of 1 KB each as objects; and
# a flush. What is not bounded would hold all of the backlog: some 300 MB in ten seconds.
HELD_MB: Final = 60.0
# What stays is the state's own: an event's id, and its part of a row.
EVENT_BYTES: Final = 80
_GAUGE: Final = re.compile(
    r'^kpi_(handled_contacts|talk_time_seconds)\{scope="agent",id="([^"]+)".*?\} (\S+)$',
    re.MULTILINE,
)
_PLACES: Final = {f"a-{n}": partition_of(f"a-{n}", PARTITIONS) for n in range(AGENTS)}
Sums = dict[str, tuple[int, int]]


@dataclass
class Pressure:
    """What was seen of the worker while it was behind, and after it had caught up.

    `times_faster`: records sent each second, to those met each second of being slowed down.

    `counted_slowly`: records that it had met by the end of the pressing. `differing_agents`:
    those whose calls and talk time are not the sum of what was sent.
    """

    seconds: float
    sent: int
    events_sent: int
    sent_each_s: float
    counted_slowly: int
    times_faster: float
    lag_pressed: float
    mb_before: float
    mb_pressed: float
    mb_most: float
    caught_up_s: float
    counted: int
    repeats: int
    differing_agents: int
    lag_last: float

    def faults(self) -> list[str]:
        """What must not be."""
        backlog, repeats_sent = self.sent - self.counted_slowly, self.sent - self.events_sent
        faults = {
            f"only {self.times_faster:.1f} times faster": self.times_faster < TIMES_FASTER,
            "nothing was counted under pressure": self.counted_slowly == 0,
            f"behind by {backlog}, it said {self.lag_pressed:.0f}": self.lag_pressed < backlog / 2,
            self._growth(self.mb_pressed, self.counted_slowly): self._swells(
                self.mb_pressed, self.counted_slowly
            ),
            self._growth(self.mb_most, self.counted): self._swells(self.mb_most, self.counted),
            f"{self.counted} of {self.events_sent} events counted": (
                self.counted != self.events_sent
            ),
            f"{self.repeats} of {repeats_sent} repeats known": self.repeats != repeats_sent,
            f"{self.differing_agents} agents' sums are not what was sent": (
                self.differing_agents != 0
            ),
            f"a lag of {self.lag_last:.0f} is left": self.lag_last != 0,
        }
        return [fault for fault, is_there in faults.items() if is_there]

    def _swells(self, mb: float, counted: int) -> bool:
        return mb > self.mb_before + HELD_MB + counted * EVENT_BYTES / 1024**2

    def _growth(self, mb: float, counted: int) -> str:
        return f"it grew from {self.mb_before:.0f} to {mb:.0f} MB with {counted} records counted"


def press(bootstrap: str, prefix: str, folder: Path, seconds: float) -> Pressure:
    """Sends for so long to a worker that is slowed down, then lets it catch up."""
    shown = {"scopes": ["agent"], "windows": ["8h"], "kpis": ["handled", "talk_time"]}
    settings = written_settings(
        bootstrap, prefix, partitions=PARTITIONS, windows=["8h"], metrics={"show": shown}
    )
    with WorkerProcess(folder, settings) as worker:
        worker.wait_ready(PARTITIONS)
        producer = Producer(bootstrap, settings["topics"]["interactions"])
        mb_before = peak_mb(worker)
        assert worker.process is not None
        with Throttle(worker.process.pid, producer.share):
            began = time.monotonic()
            asyncio.run(producer.press(seconds))
            took_s = time.monotonic() - began
            counted_slowly = seen_slowly(worker)
            slow_s = time.monotonic() - began
            mb_pressed = peak_mb(worker)
            lag_pressed = lag_slowly(worker, (producer.sent - counted_slowly) / 2)
        began = time.monotonic()
        wait_until(lambda: seen(worker) == producer.sent, CATCH_UP_S, "all counted")
        wait_until(lambda: lag(worker) == 0, CATCH_UP_S, "no lag")
        return Pressure(
            seconds=took_s,
            sent=producer.sent,
            events_sent=producer.events,
            sent_each_s=producer.sent / took_s,
            counted_slowly=counted_slowly,
            times_faster=producer.sent / took_s / max(1.0, counted_slowly / slow_s),
            lag_pressed=lag_pressed,
            mb_before=mb_before,
            mb_pressed=mb_pressed,
            mb_most=peak_mb(worker),
            caught_up_s=time.monotonic() - began,
            counted=total(worker, 'kpi_stream_events_total{kind="interaction"}'),
            repeats=total(worker, 'kpi_stream_duplicates_total{kind="interaction"}'),
            differing_agents=len(dict(producer.sums().items() ^ sums_shown(worker).items())),
            lag_last=lag(worker),
        )


@dataclass
class Producer:
    """Sends events that are new, one in twenty a second time."""

    bootstrap: str
    topic: str
    sent: int = 0
    events: int = 0
    pace: float = 1.0
    began_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000 - BEGAN_MS)

    async def press(self, seconds: float) -> None:
        """For so long, at an even pace."""
        began = time.monotonic()
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, max_batch_size=256 * 1024
        ) as producer:
            while (passed_s := time.monotonic() - began) < seconds:
                await self._send(producer)
                self.pace = self.sent / max(self.sent, SENT_EACH_S * (time.monotonic() - began))
                await asyncio.sleep(max(0.0, self.sent / SENT_EACH_S - passed_s))

        self.pace = PACE_ASKED

    def share(self) -> float:
        """What the worker gets of a core: less where a busy machine slows us down as well."""
        return SHARE * max(0.5, self.pace)

    async def _send(self, producer: AIOKafkaProducer) -> None:
        fresh = range(self.events, self.events + EVENTS_AT_ONCE)
        places: dict[int, list[Outgoing]] = {number: [] for number in range(PARTITIONS)}
        for number in (*fresh, *fresh[:REPEATS_AT_ONCE]):
            agent = agent_of(number)
            places[_PLACES[agent]].append(Outgoing(agent.encode(), self._call(number)))
        for place, records in places.items():
            await asyncio.gather(*await send_batches(producer, TP(self.topic, place), records))
        self.events += EVENTS_AT_ONCE
        self.sent += EVENTS_AT_ONCE + REPEATS_AT_ONCE

    def _call(self, number: int) -> bytes:
        return orjson.dumps(
            {
                "event_id": f"e-{number}",
                "interaction_id": f"i-{number}",
                "outcome": "handled",
                "queue": "q",
                "agent_id": agent_of(number),
                "ended_at": self.began_ms + number * STEP_MS,
                "talk_ms": talk_ms(number),
                "reason": "r" * 150,
            }
        )

    def sums(self) -> Sums:
        """Calls and talk time of each agent, by what was sent."""
        calls: Counter[str] = Counter()
        talked: Counter[str] = Counter()
        for number in range(self.events):
            agent = agent_of(number)
            calls[agent] += 1
            talked[agent] += talk_ms(number)
        return {agent: (count, talked[agent]) for agent, count in calls.items()}


def agent_of(number: int) -> str:
    """Whose event that number is."""
    return f"a-{number % AGENTS}"


def talk_ms(number: int) -> int:
    """How long the call of that number was talked."""
    return 1_000 + number % 997


def seen_slowly(worker: WorkerProcess) -> int:
    """The same as `seen` of a worker that may take its time for an answer."""
    told: list[str] = []

    def has_answered() -> bool:
        told[:] = worker.metrics().splitlines()
        return bool(told)

    wait_until(has_answered, CATCH_UP_S, "an answer")
    return _seen_of(told)


def lag_slowly(worker: WorkerProcess, least: float) -> float:
    """The lag once it is said to be `least`, or as it is after a while.

    It is of the last fetch; where a worker has in hand all that it may, that is seconds ago.
    """
    deadline = time.monotonic() + LAG_TOLD_S
    while (told := lag(worker)) < least and time.monotonic() < deadline:
        time.sleep(0.1)
    return told


def sums_shown(worker: WorkerProcess) -> Sums:
    """Calls and talk time of each agent, by the worker's gauges."""
    shown: dict[str, dict[str, float]] = {}
    for name, agent, value in _GAUGE.findall(worker.metrics()):
        shown.setdefault(agent, {})[name] = float(value)
    return {
        agent: (round(calls), round(calls * found["talk_time_seconds"] * 1_000))
        for agent, found in shown.items()
        if (calls := found["handled_contacts"])
    }


def peak_mb(worker: WorkerProcess) -> float:
    """The most resident memory that the worker has had by now."""
    assert worker.process is not None
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    (peak_kb,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(peak_kb) / 1024


def lag(worker: WorkerProcess) -> float:
    """What the worker says it has not counted yet."""
    return _lag_of(worker.metrics().splitlines())


def seen(worker: WorkerProcess) -> int:
    """How many events it has met, new ones and repeats."""
    return _seen_of(worker.metrics().splitlines())


def total(worker: WorkerProcess, series: str) -> int:
    """One counter, 0 while it does not answer."""
    return _total_of(worker.metrics().splitlines(), series)


def _lag_of(lines: Sequence[str]) -> float:
    found = [line for line in lines if line.startswith("kpi_stream_lag_records{")]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def _seen_of(lines: Sequence[str]) -> int:
    names = ("events", "duplicates")
    return sum(_total_of(lines, f'kpi_stream_{n}_total{{kind="interaction"}}') for n in names)


def _total_of(lines: Sequence[str], series: str) -> int:
    found = [line for line in lines if line.startswith(f"{series} ")]
    return int(float(found[0].rpartition(" ")[2])) if found else 0
