"""`python -m tests.bench.readme`: the README's section on speed, from `build/bench.json` alone.

With `--write` it takes the place of what stands between the two marks in README.md. A line whose
workload was not measured is left out: no figure is ever typed by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from tests.bench.report import FILE, Reported, cell, read
from tests.bench.workloads import THROUGHPUT

README: Final = Path(__file__).parents[2] / "README.md"
MARKS: Final = ("<!-- bench: written by tests/bench/readme.py -->", "<!-- bench: end -->")
_OURS: Final = "kpi-stream"
_PLACE: Final = re.compile(r"\{([a-z0-9-]+)/([a-z0-9_-]+)/([a-z0-9_]+)\}")

_INTRODUCTION: Final = """\
`make bench` lets systems take turns on one topic of one Apache Kafka: this worker with all its work
and its usual settings, exactly once; and peers, each as its own manual would write it, computing
just the sums behind two KPIs over one hopping window of 300 s by 60 s, at least once. The limit
fetches and decodes the same records and computes nothing. Figures are medians of {rounds} rounds
(least–most), {date}, {cores} cores and {memory_gb} GB, Python {python}, {pinned}."""

_LINES: Final = """\
- Event to `kpis` at 2,000 events/s: p50 {paced-2000/kpi-stream/kpis_p50_ms} ms,
  p99 {paced-2000/kpi-stream/kpis_p99_ms} ms; to `alerts`:
  p50 {paced-2000/kpi-stream/alerts_p50_ms} ms, p99 {paced-2000/kpi-stream/alerts_p99_ms} ms.
  An agent's reading over 15 minutes is emitted at most once a second.
- Event to `kpis` at 20,000 events/s: p50 {paced-20000/kpi-stream/kpis_p50_ms} ms,
  p99 {paced-20000/kpi-stream/kpis_p99_ms} ms; to `alerts`:
  p50 {paced-20000/kpi-stream/alerts_p50_ms} ms, p99 {paced-20000/kpi-stream/alerts_p99_ms} ms.
- A scrape of {scrape/kpi-stream/series} series: {scrape/kpi-stream/scrape_s} s,
  {scrape/prometheus-client/ours_times} times as fast as prometheus_client's own exposition of
  them; it holds up the worker for {scrape/kpi-stream/stall_ms} ms.
- Recovery of {recovery/kpi-stream/rows} rows, a day of 10,000 agents:
  {recovery/kpi-stream/recovery_s} s, {recovery/bare/ours_times} times the speed of a bare
  read of the changelog. From SIGKILL to ready: {recovery/kpi-stream/sigkill_to_ready_s} s.
  While a second worker joins, a partition pauses for
  {recovery/kpi-stream/rebalance_pause_s} s at most.
- Memory: {memory/kpi-stream/bytes_per_row} bytes a row and {memory/kpi-stream/bytes_per_id}
  an event's id; at most {memory/kpi-stream/peak_mb} MB for {memory/kpi-stream/rows} rows.
- Growth: {growth/agents-1000/events_per_s} events/s with 1,000 agents,
  {growth/agents-100000/events_per_s} with 100,000; {growth/windows-1/events_per_s} with one
  window, {growth/windows-20/events_per_s} with twenty; {growth/processes-1/cpu_us_per_event}
  CPU µs an event with one process, {growth/processes-2/cpu_us_per_event} with two.
"""


def section(run: Mapping[str, Any], workloads: Mapping[str, Reported]) -> str:
    """The section's text, in Markdown."""
    date = str(run["at"])[:10]
    parts = [_INTRODUCTION.format_map({**run, "date": date})]
    compared = [w for w in (throughput.name for throughput in THROUGHPUT) if w in workloads]
    if compared:
        parts.append("\n".join(_compared(compared, workloads)))
    lines = re.split(r"\n(?=- )", _LINES.rstrip())
    told = [text for line in lines if (text := _filled(line, workloads)) is not None]
    if told:
        parts.append("\n".join(told))
    return "\n\n".join(parts)


def _compared(names: list[str], workloads: Mapping[str, Reported]) -> Iterator[str]:
    """A line per system; of ours its events/s, of a peer how many times its rate ours is."""
    yield "| | " + " | ".join(names) + " |"
    yield "| --- |" + " ---: |" * len(names)
    labels: dict[str, str] = {}
    for name in names:
        labels |= workloads[name].result.labels
    for system, label in labels.items():
        cells = [_compared_cell(workloads[name], system) for name in names]
        yield f"| {label} | " + " | ".join(cells) + " |"


def _compared_cell(reported: Reported, system: str) -> str:
    if system in reported.result.failed:
        return "cannot run"
    found = reported.result.summary.get(system, {})
    if system == _OURS:
        return f"{cell(found['events_per_s'], 'events_per_s')} events/s" if found else "–"
    return f"ours is × {cell(found['ours_times'], 'ours_times')}" if "ours_times" in found else "–"


def _filled(line: str, workloads: Mapping[str, Reported]) -> str | None:
    """The line with its figures, None where one was not measured."""
    told: dict[str, str] = {}
    for workload, system, metric in _PLACE.findall(line):
        summary = workloads[workload].result.summary if workload in workloads else {}
        values = summary.get(system, {}).get(metric)
        if values is None:
            return None
        told[f"{{{workload}/{system}/{metric}}}"] = cell(values, metric)
    return _PLACE.sub(lambda place: told[place[0]], line)


def written(readme: str, text: str) -> str:
    """The README with the section between its marks."""
    before, start, rest = readme.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not start or not end:
        raise click.ClickException(f"{README.name} has no place for it: {MARKS[0]} … {MARKS[1]}")
    return f"{before}{start}\n\n{text}\n\n{end}{after}"


@click.command()
@click.option("--write", "is_written", is_flag=True, help="Into README.md; else it is printed.")
def main(*, is_written: bool) -> None:
    """Tells the last run of `make bench`."""
    if not FILE.exists():
        raise click.ClickException(f"there is no {FILE.name}: run make bench")
    text = section(*read())
    if is_written:
        README.write_text(written(README.read_text(), text))
    else:
        click.echo(text)


if __name__ == "__main__":
    main()
