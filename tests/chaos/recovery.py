"""How long a worker takes to be back, and whether it shows anything before it is complete."""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stream.kafka.partitioner import partition_of
from tests.bench.traffic import PARTITIONS, Traffic, produce
from tests.chaos.pressure import total
from tests.kafka.live import WorkerProcess, wait_until, written_settings

COUNTED_S: Final = 600.0
BACK_S: Final = 300.0
_GAUGE: Final = re.compile(
    r'^kpi_handled_contacts\{scope="agent",id="([^"]+)".*?\} (\S+)$', re.MULTILINE
)
Shown = Mapping[int, dict[str, str]]


@dataclass
class Recovery:
    """What a SIGKILL and a start came to; `shown_early`: scrapes with a part of a partition."""

    events: int
    rows: int
    recovery_s: float
    back_s: float
    rows_each_s: float
    scrapes: int
    shown_early: int

    def faults(self) -> list[str]:
        """What must not be."""
        parts = f"{self.shown_early} scrapes showed a part of a partition"
        return [parts] if self.shown_early or self.scrapes < 2 else []


def recover(bootstrap: str, prefix: str, folder: Path, traffic: Traffic) -> Recovery:
    """Counts a day of records, kills the worker, starts it, and looks at every scrape."""
    settings = written_settings(
        bootstrap,
        prefix,
        partitions=PARTITIONS,
        windows=["2d"],
        instance=f"{prefix}w",
        metrics={"show": {"scopes": ["agent"], "windows": ["2d"], "kpis": ["handled"]}},
    )
    now_ms = time.time_ns() // 1_000_000
    asyncio.run(produce(bootstrap, settings["topics"]["interactions"], traffic, now_ms))
    with WorkerProcess(folder, settings) as worker:
        counted = 'kpi_stream_events_total{kind="interaction"}'
        wait_until(lambda: total(worker, counted) == traffic.records, COUNTED_S, "all counted")
        worker.wait_ready(PARTITIONS)
        time.sleep(2.0)  # a flush or two
        before = shown(worker)
        worker.kill()
        began = time.monotonic()
        worker.start()
        scrapes: list[Shown] = []

        def is_back() -> bool:
            scrapes.append(shown(worker))
            return worker.partitions() == (PARTITIONS, PARTITIONS)

        wait_until(is_back, BACK_S, "ready again")
        back_s = time.monotonic() - began
        scrapes.append(shown(worker))
        rows = round(sum(values(worker, "kpi_stream_rows")))
        (recovery_s,) = values(worker, "kpi_stream_recovery_seconds")
        assert scrapes[-1] == before, "the same gauges as before"
    early = [part for found in scrapes for n, part in found.items() if part != before[n]]
    return Recovery(
        *(traffic.records, rows, recovery_s, back_s, rows / recovery_s),
        scrapes=len(scrapes),
        shown_early=len(early),
    )


def shown(worker: WorkerProcess) -> Shown:
    """The gauges of every agent, by partition."""
    parts: dict[int, dict[str, str]] = defaultdict(dict)
    for agent, value in _GAUGE.findall(worker.metrics()):
        parts[partition_of(agent, PARTITIONS)][agent] = value
    return parts


def values(worker: WorkerProcess, name: str) -> list[float]:
    """All samples of one of the worker's own metrics."""
    lines = worker.metrics().splitlines()
    return [float(s.rpartition(" ")[2]) for s in lines if re.match(rf"{name}[ {{]", s)]
