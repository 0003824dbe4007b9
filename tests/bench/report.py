"""What came out: a table for people and `build/bench.json` for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from tests.bench import cores
from tests.bench.result import Result, Spread

FILE: Final = Path(__file__).parents[2] / "build" / "bench.json"
_MEMORY_INFO: Final = Path("/proc/meminfo")
HEADINGS: Final[Mapping[str, tuple[str, int]]] = {
    "events_per_s": ("events/s", 0),
    "ours_times": ("ours is × that", 2),
    "cpu_us_per_event": ("CPU µs/event", 1),
    "kpis_p50_ms": ("to kpis, p50 ms", 0),
    "kpis_p99_ms": ("p99 ms", 0),
    "kpis_p99_9_ms": ("p99.9 ms", 0),
    "alerts_p50_ms": ("to alerts, p50 ms", 0),
    "alerts_p99_ms": ("p99 ms", 0),
    "alerts_p99_9_ms": ("p99.9 ms", 0),
    "series": ("series", 0),
    "scrape_s": ("scrape s", 3),
    "bytes": ("bytes", 0),
    "calm_ms": ("longest stall without ms", 0),
    "stall_ms": ("longest stall ms", 0),
    "rows": ("rows", 0),
    "recovery_s": ("recovery s", 2),
    "rows_per_s": ("rows/s", 0),
    "sigkill_to_ready_s": ("SIGKILL to ready s", 1),
    "rebalance_pause_s": ("rebalance pause s", 1),
    "bytes_per_row": ("bytes/row", 0),
    "bytes_per_id": ("bytes/id", 1),
    "bytes_per_event": ("bytes/event", 0),
    "peak_mb": ("peak MB", 0),
}
"""Every metric's heading and how many decimals it is told with."""


@dataclass(frozen=True, slots=True)
class Reported:
    """One workload as it stands in the file."""

    name: str
    about: str
    result: Result


def table(reported: Reported, rounds: int) -> Table:
    """One workload's results, a line per system."""
    title = f"{reported.name}: {reported.about}; median of {rounds} (min–max)"
    shown = Table(title=title, title_justify="left")
    shown.add_column("system")
    summary = reported.result.summary
    metrics = [name for name in HEADINGS if any(name in found for found in summary.values())]
    for name in metrics:
        shown.add_column(HEADINGS[name][0], justify="right")
    for system, label in reported.result.labels.items():
        if reason := reported.result.failed.get(system):
            shown.add_row(label, f"cannot run: {reason.splitlines()[0][:60]}")
        else:
            found = summary.get(system, {})
            shown.add_row(label, *(cell(found.get(name), name) for name in metrics))
    return shown


def cell(values: Spread | None, metric: str) -> str:
    """A metric's median and spread, as a person reads it."""
    if values is None:
        return "–"
    digits = HEADINGS[metric][1]
    middle, least, most = (f"{values[name]:,.{digits}f}" for name in ("median", "min", "max"))
    return middle if least == most else f"{middle} ({least}–{most})"


def write(workloads: Mapping[str, Reported], rounds: int, file: Path = FILE) -> None:
    """Writes all workloads, and when and on what they were run."""
    told = {
        name: {
            "about": reported.about,
            "systems": reported.result.summary,
            "labels": dict(reported.result.labels),
            "failed": dict(reported.result.failed),
        }
        for name, reported in workloads.items()
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"run": _run(rounds), "workloads": told}, indent=2) + "\n")


def read(file: Path = FILE) -> tuple[dict[str, Any], dict[str, Reported]]:
    """When and on what it was run, and all workloads."""
    written = json.loads(file.read_text())
    return written["run"], {
        name: Reported(
            name, found["about"], Result(found["systems"], found["labels"], found["failed"])
        )
        for name, found in written["workloads"].items()
    }


def _run(rounds: int) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": rounds,
        "cores": os.cpu_count(),
        "memory_gb": _memory_gb(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "pinned": cores.told(),
    }


def _memory_gb() -> int | None:
    """The machine's, where it tells."""
    try:
        return round(int(_MEMORY_INFO.read_text().split()[1]) / 1024**2)
    except OSError:
        return None
