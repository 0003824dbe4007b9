"""How long a worker takes to be back, and whether it shows anything before it is complete."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Final

from stream.kafka.partitioner import partition_of
from tests.bench.traffic import PARTITIONS, SEED, Traffic, contacts, fill, produce
from tests.chaos.pressure import total
from tests.kafka.live import WorkerProcess, wait_until, written_settings

COUNTED_S: Final = 600.0
BACK_S: Final = 300.0
SAID_S: Final = 10.0
SMALL: Final = Traffic(500, 24 * 3_600_000, 20_000)
SMALL_BACK_S: Final = 5.0
# Of what was there before, one in so many comes while the worker is dead.
TAIL: Final = 20
TAIL_MS: Final = 3_600_000
_GAUGE: Final = re.compile(
    r'^kpi_handled_contacts\{scope="agent",id="([^"]+)".*?\} (\S+)$', re.MULTILINE
)
Shown = Mapping[int, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Return:
    """Seconds of each step from the start of the process to its being ready.

    To the topics having been looked at (Python, imports, a first connection), to the group having
    given it its partitions, to their state having been read back, to their being caught up.

    `waited_s`: for how much of it the worker could have gone on, and the machine was busy with
    other work; the kernel says so of its main thread. `own_s` is without that.
    """

    start_s: float
    join_s: float
    recovery_s: float
    catch_up_s: float
    waited_s: float

    @property
    def all_s(self) -> float:
        """The whole of it."""
        return self.start_s + self.join_s + self.recovery_s + self.catch_up_s

    @property
    def own_s(self) -> float:
        """What it would have been on a machine with a processor to spare."""
        return self.all_s - self.waited_s


@dataclass
class Recovery:
    """What SIGKILLs and starts came to.

    `scrapes_before`: those that were answered before all was there. `shown_early`: partitions of
    which such a scrape had a part, or what they were before the worker died.
    """

    events: int
    rows: int
    scrapes_before: int
    shown_early: int
    returns: list[Return]

    def faults(self, back_s: float) -> list[str]:
        """What must not be; `back_s`: what the median of the returns has to be within."""
        parts = f"{self.shown_early} times a part of a partition was shown"
        took_s = self.median.own_s
        faults = {
            parts: self.shown_early > 0,
            f"only {self.scrapes_before} scrapes before all was there": (
                self.scrapes_before < len(self.returns)
            ),
            f"back after {took_s:.1f} s of its own": took_s >= back_s,
        }
        return [fault for fault, is_there in faults.items() if is_there]

    @property
    def best(self) -> Return:
        """The fastest."""
        return min(self.returns, key=attrgetter("own_s"))

    @property
    def median(self) -> Return:
        """The one in the middle."""
        return sorted(self.returns, key=attrgetter("own_s"))[len(self.returns) // 2]

    def figures(self) -> dict[str, float]:
        """What is printed."""
        steps = {f"{name} (median)": seconds for name, seconds in asdict(self.median).items()}
        return {
            "events": self.events,
            "rows": self.rows,
            "SIGKILLs": len(self.returns),
            **steps,
            "back after s (median)": self.median.all_s,
            "back after s of its own (median)": self.median.own_s,
            "back after s of its own (best)": self.best.own_s,
            "rows each s": self.rows / self.median.recovery_s,
            "scrapes before all was there": self.scrapes_before,
            "shown early": self.shown_early,
        }


def recover(
    bootstrap: str, prefix: str, folder: Path, traffic: Traffic, kills: int = 1
) -> Recovery:
    """Counts a day of records, kills the worker, starts it, and looks at every scrape.

    More come while it is dead: what it has read back is not complete before they are counted.
    """
    settings = written_settings(
        bootstrap,
        prefix,
        partitions=PARTITIONS,
        windows=["2d"],
        instance=f"{prefix}w",
        metrics={"show": {"scopes": ["agent"], "windows": ["2d"], "kpis": ["handled"]}},
    )
    topic = settings["topics"]["interactions"]
    asyncio.run(produce(bootstrap, topic, traffic, time.time_ns() // 1_000_000))
    with WorkerProcess(folder, settings) as worker:
        counted = 'kpi_stream_events_total{kind="interaction"}'
        wait_until(lambda: total(worker, counted) == traffic.records, COUNTED_S, "all counted")
        worker.wait_ready(PARTITIONS)
        time.sleep(2.0)  # a flush or two
        found = Recovery(traffic.records, 0, scrapes_before=0, shown_early=0, returns=[])
        for number in range(kills):
            before = shown(worker.metrics())
            worker.kill()
            tail = replace(traffic, span_ms=TAIL_MS, records=traffic.records // TAIL)
            whole = asyncio.run(_send_tail(bootstrap, topic, tail, SEED + 1 + number, before))
            found.events += tail.records
            _return(worker, whole, found)
        found.rows = round(sum(values(worker, "kpi_stream_rows")))
    return found


async def _send_tail(bootstrap: str, topic: str, tail: Traffic, seed: int, before: Shown) -> Shown:
    """Sends more calls; what every agent has with them."""
    sent = [*contacts(tail, time.time_ns() // 1_000_000, seed)]
    await fill(bootstrap, topic, sent)
    calls = Counter(contact.key for contact in sent)
    whole: dict[int, dict[str, float]] = defaultdict(dict)
    for agent in calls.keys() | {agent for part in before.values() for agent in part}:
        number = partition_of(agent, PARTITIONS)
        whole[number][agent] = before.get(number, {}).get(agent, 0.0) + calls[agent]
    return whole


def _return(worker: WorkerProcess, whole: Shown, found: Recovery) -> None:
    """Starts a worker that was killed, and waits until it is ready: then it shows the `whole`."""
    log_from, began = worker.log.stat().st_size, time.time()
    worker.start()
    scrapes: list[Shown] = []

    def is_back() -> bool:
        if told := worker.metrics():
            scrapes.append(shown(told))
        return worker.partitions() == (PARTITIONS, PARTITIONS)

    wait_until(is_back, BACK_S, "ready again")
    back, waited_s = time.time(), _waited_s(worker)
    assert shown(worker.metrics()) == whole, "what it had, and what has come since"
    before = [seen for seen in scrapes if seen != whole]
    early = [part for seen in before for n, part in seen.items() if part != whole[n]]
    found.scrapes_before += len(before)
    found.shown_early += len(early)
    started = said_at(worker.log, log_from, "delivery is")
    restored = min(back, said_at(worker.log, log_from, "ready: partitions"))
    (recovery_s,) = values(worker, "kpi_stream_recovery_seconds")
    join_s = restored - recovery_s - started
    found.returns.append(Return(started - began, join_s, recovery_s, back - restored, waited_s))


def _waited_s(worker: WorkerProcess) -> float:
    """For how long the main thread was ready to run and did not: the kernel's run delay."""
    assert worker.process is not None
    _, waited_ns, _ = Path(f"/proc/{worker.process.pid}/schedstat").read_text().split()
    return int(waited_ns) / 1e9


def said_at(log: Path, since: int, words: str) -> float:
    """When a worker's log said this, in seconds since 1970; it may be about to."""
    found: list[str] = []

    def has_said() -> bool:
        lines = log.read_bytes()[since:].decode().splitlines()
        found[:] = [line for line in lines if words in line]
        return bool(found)

    wait_until(has_said, SAID_S, words)
    return datetime.strptime(found[0][:23], "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()


def shown(told: str) -> Shown:
    """The gauges of every agent, by partition, in what `/metrics` has told."""
    parts: dict[int, dict[str, float]] = defaultdict(dict)
    for agent, value in _GAUGE.findall(told):
        parts[partition_of(agent, PARTITIONS)][agent] = float(value)
    return parts


def values(worker: WorkerProcess, name: str) -> list[float]:
    """All samples of one of the worker's own metrics."""
    lines = worker.metrics().splitlines()
    return [float(s.rpartition(" ")[2]) for s in lines if re.match(rf"{name}[ {{]", s)]
