"""What is measured, in the order in which it is; one kind of workload to a module."""

from __future__ import annotations

from typing import Final

from tests.bench.result import Workload
from tests.bench.traffic import Traffic
from tests.bench.workloads.growth import Growth
from tests.bench.workloads.memory import Memory
from tests.bench.workloads.paced import Paced
from tests.bench.workloads.recovery import Recovery
from tests.bench.workloads.scrape import Scrape
from tests.bench.workloads.throughput import Throughput

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS

THROUGHPUT: Final = (
    Throughput(
        "backfill",
        "10,000 agents, eight hours in one go, nearly every event a row of its own",
        Traffic(10_000, 8 * _HOUR_MS, 1_000_000),
    ),
    Throughput("small", "200 agents, the last hour", Traffic(200, _HOUR_MS, 600_000)),
    Throughput(
        "live",
        "10,000 agents, the last ten minutes, a few rows a minute for each",
        Traffic(10_000, 10 * _MINUTE_MS, 800_000),
    ),
)
_PACED: Final[tuple[Workload, ...]] = tuple(
    Paced(
        f"paced-{per_s}",
        f"10,000 agents, {per_s:,} events/s in real time",
        per_s,
        Traffic(10_000, 20_000, per_s * 20),
    )
    for per_s in (2_000, 20_000)
)
_OURS: Final[tuple[Workload, ...]] = (
    Scrape(
        "scrape",
        "/metrics with 10,000 agents, five KPIs over one window",
        Traffic(10_000, 30 * _MINUTE_MS, 200_000),
    ),
    Recovery("recovery", "a day of 10,000 agents", Traffic(10_000, 24 * _HOUR_MS, 600_000)),
    Memory(
        "memory",
        "many rows beside few rows of as many ids",
        Traffic(10_000, 8 * _HOUR_MS, 500_000),
        Traffic(20, 10 * _MINUTE_MS, 500_000),
    ),
    Growth("growth", "eight hours in one go, for more agents, windows and processes", 300_000),
)
WORKLOADS: Final[dict[str, Workload]] = {
    workload.name: workload for workload in (*THROUGHPUT, *_PACED, *_OURS)
}
