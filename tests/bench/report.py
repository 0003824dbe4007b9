"""What came out: a table for people and `build/bench.json` for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.table import Table

from tests.bench.rounds import Rounds
from tests.bench.systems.base import System

FILE: Final = Path(__file__).parents[2] / "build" / "bench.json"
RATE: Final = "events_per_s"
_FIELDS: Final = {RATE: "rate", "cpu_us_per_event": "cpu_us_per_event", "peak_mb": "peak_mb"}

Summary = dict[str, dict[str, dict[str, float]]]


def summarise(rounds: Rounds, ours: str) -> Summary:
    """System → metric → median, min, max; how many times a peer's rate ours is, round by round."""
    summary: Summary = {}
    for name, measured in rounds.measured.items():
        if not measured:
            continue
        found = {metric: [getattr(m, of) for m in measured] for metric, of in _FIELDS.items()}
        summary[name] = {m: spread(values) for m, values in found.items() if None not in values}
    for name, measured in rounds.measured.items():
        if name != ours and measured and rounds.measured.get(ours):
            pairs = zip(rounds.measured[ours], measured, strict=False)
            summary[ours][times(name)] = spread([a.rate / b.rate for a, b in pairs])
    return summary


def times(peer: str) -> str:
    """The metric that says how many times a peer's rate ours is."""
    return f"times_{peer}"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def table(workload: str, summary: Summary, systems: Sequence[type[System]]) -> Table:
    """One workload's results, a line per system."""
    ours = systems[0].name
    shown = Table(title=workload, title_justify="left")
    shown.add_column("system")
    for heading in ("events/s", f"{ours} is × as fast", "CPU µs/event", "peak MB"):
        shown.add_column(heading, justify="right")
    for system in systems:
        metrics = summary.get(system.name, {})
        shown.add_row(
            system.label,
            _cell(metrics.get(RATE), 0),
            _cell(summary.get(ours, {}).get(times(system.name)), 1),
            _cell(metrics.get("cpu_us_per_event"), 1),
            _cell(metrics.get("peak_mb"), 0),
        )
    return shown


def _cell(values: Mapping[str, float] | None, digits: int) -> str:
    if values is None:
        return "–"
    middle, least, most = (f"{values[name]:,.{digits}f}" for name in ("median", "min", "max"))
    return f"{middle} ({least}–{most})"


def write(summaries: Mapping[str, Summary], rounds: int, file: Path = FILE) -> None:
    """Writes all workloads, and when and on what they were run."""
    run: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": rounds,
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"run": run, "workloads": summaries}, indent=2) + "\n")
