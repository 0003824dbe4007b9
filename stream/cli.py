"""The commands of `kpi-stream`."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from stream import __version__
from stream.adapters import AdapterError, TimedEvent, load_adapter, read_events
from stream.compute import compute as compute_readings
from stream.config import (
    GOALS_FILE,
    SETTINGS_FILE,
    Settings,
    load_settings,
)
from stream.core.kpis import CATALOGUE, SCOPE_KINDS, ScopeKind
from stream.core.readings import Reading
from stream.core.windows import parse_window
from stream.demo.play import run as run_demo
from stream.demo.servers import DemoError
from stream.durations import parse_duration_ms
from stream.goalfile import load_goals
from stream.instant import Instant
from stream.kafka.codec import reading_fields
from stream.kafka.topology import TopologyError
from stream.logs import set_up
from stream.processes import run_slot, slots_of, supervise
from stream.replay import replay as replay_events
from stream.serve.terminal import value_text
from stream.supervisor import REFUSED
from stream.worker import run as run_worker
from stream.yamlfile import Faults

_SPEED: Final = re.compile(r"(\d+(?:\.\d+)?)x")
_FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

config_option = click.option(
    "--config",
    type=_FOLDER,
    default=Path(),
    help=f"Folder of {SETTINGS_FILE} and {GOALS_FILE} (default: this one).",
)
adapter_option = click.option(
    "--adapter", required=True, help="MODULE:FUNCTION or PATH.py:FUNCTION that yields events."
)
files_argument = click.argument("files", nargs=-1, required=True, type=_FILE)


def clear_errors(command: Callable[..., None]) -> Callable[..., None]:
    """What a person can mend is said in lines of their own and exits 1, without a traceback."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        exit_code = 1 if kwargs.get("slot") is None else REFUSED
        try:
            command(*args, **kwargs)
        except Faults as faults:
            for fault in faults.faults:
                click.echo(fault, err=True)
            sys.exit(exit_code)
        except (TopologyError, AdapterError, DemoError) as error:
            click.echo(f"kpi-stream: {error}", err=True)
            sys.exit(exit_code)

    return wrapped


@click.group()
@click.version_option(__version__, prog_name="kpi-stream")
@click.option("--verbose", is_flag=True, help="Say more.")
def main(*, verbose: bool) -> None:
    """Rolling KPIs, goal alerts and live gauges from contact-centre events."""
    set_up(verbose=verbose)


@main.command()
@config_option
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    help="Workers, each at a metrics port of its own: the one of the settings, the next, …",
)
@click.option("--slot", type=int, hidden=True, help="Which of them this is.")
@clear_errors
def worker(config: Path, processes: int, slot: int | None) -> None:
    """Run the Faust worker until SIGINT or SIGTERM."""
    settings = load_settings(config)
    goals, leads = load_goals(config / GOALS_FILE, settings.windows)
    if slot is not None:
        run_slot(slots_of(settings, processes)[slot], goals, leads)
    elif processes > 1:
        sys.exit(supervise(settings, processes))
    else:
        run_worker(settings, goals, leads)


@main.command()
@click.option("--for", "length", default=None, help="Such as 30s; without it until Ctrl-C.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="JSON file.")
@clear_errors
def demo(length: str | None, report: Path | None) -> None:
    """Broker, worker and seeded traffic in one command, with a live table. No Docker, no JVM."""
    try:
        seconds = None if length is None else parse_duration_ms(length) / 1000
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from error
    logging.getLogger("stream").setLevel(logging.WARNING)
    run_demo(seconds, report)


@main.command()
@files_argument
@adapter_option
@click.option("--speed", default="max", help="Event time per wall time, such as 60x, or max.")
@click.option("--from", "from_ms", type=Instant(), help="Leave out events before this instant.")
@click.option("--until", "until_ms", type=Instant(), help="End at this instant, exactly.")
@config_option
@clear_errors
def replay(
    files: tuple[Path, ...],
    adapter: str,
    speed: str,
    from_ms: int | None,
    until_ms: int | None,
    config: Path,
) -> None:
    """Send files to the topics in the order of event time, with clock records."""
    factor = _parse_speed(speed)
    settings = load_settings(config, time="replay")
    events = [
        event
        for event in read_events(load_adapter(adapter), files)
        if (from_ms is None or event.at_ms >= from_ms)
        and (until_ms is None or event.at_ms < until_ms)
    ]
    console = Console(stderr=True)
    columns = (TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("replay", total=len(events))
        asyncio.run(
            replay_events(
                settings,
                events,
                until_ms=until_ms,
                speed=factor,
                progress=lambda count: bar.advance(task, count),
            )
        )
    click.echo(f"replayed {len(events)} events")


@main.command()
@files_argument
@adapter_option
@click.option("--as-of", "as_of_ms", required=True, type=Instant(), help="The instant.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPE_KINDS))
@click.option("--window", "windows", multiple=True, help="Such as 1h or today; repeat for more.")
@click.option("--format", "form", default="jsonl", type=click.Choice(["table", "jsonl"]))
@config_option
@clear_errors
def compute(
    files: tuple[Path, ...],
    adapter: str,
    as_of_ms: int,
    scopes: tuple[ScopeKind, ...],
    windows: tuple[str, ...],
    form: str,
    config: Path,
) -> None:
    """Compute all KPIs of files at an instant, without Kafka. Refuses nothing as late."""
    windows = tuple(dict.fromkeys(windows))
    settings = _with_windows(config, windows)
    events: list[TimedEvent] = read_events(load_adapter(adapter), files)
    readings = compute_readings(
        settings, events, as_of_ms, scopes or SCOPE_KINDS, windows or settings.windows
    )
    if form == "jsonl":
        for reading in readings:
            click.echo(orjson.dumps(reading_fields(reading)))
    else:
        Console().print(_table(list(readings)))


@main.command()
@click.argument("folder", type=_FOLDER, default=Path())
@clear_errors
def check(folder: Path) -> None:
    """Validate goals and settings in FOLDER; prints all faults at once and exits 1."""
    faults: list[str] = []
    windows: tuple[str, ...] | None = None
    try:
        windows = load_settings(folder).windows
    except Faults as found:
        faults += found.faults
    count = 0
    try:
        goals, _ = load_goals(folder / GOALS_FILE, windows)
        count = len(goals)
    except Faults as found:
        faults += found.faults
    if faults:
        raise Faults(faults)
    named = [name for name in (SETTINGS_FILE, GOALS_FILE) if (folder / name).exists()]
    click.echo(f"{' and '.join(named) or 'defaults'}: good; {count} goals")


@main.command()
@click.option("--seed", type=int, help="Run this one.")
@click.option("--seeds", default="0:100", help="FROM:COUNT, where no single seed is named.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="Processes.")
@click.option("--trace", is_flag=True, help="Print every event of the one seed.")
def simulate(seed: int | None, seeds: str, jobs: int, *, trace: bool) -> None:
    """Run the worker's own code on a simulated Kafka, network and clock, under seeded faults.

    Exits 1 where the auditor finds a breach; the same seed finds it again.
    """
    from stream.sim import seeds as simulation  # noqa: PLC0415 - nobody else's cost

    try:
        chosen = simulation.parse_seeds(seeds) if seed is None else range(seed, seed + 1)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--seeds") from error
    sys.exit(simulation.simulate(chosen, jobs, echo=trace and seed is not None))


@main.command()
def kpis() -> None:
    """List the KPI catalogue."""
    for kpi in CATALOGUE.values():
        better = {"up": "higher is better", "down": "lower is better", "none": "no direction"}
        click.echo(f"{click.style(kpi.name, bold=True)} [{kpi.unit}, {better[kpi.direction]}]")
        click.echo(f"  for:     {', '.join(s for s in SCOPE_KINDS if s in kpi.scopes)}")
        click.echo(f"  formula: {kpi.formula}")
        click.echo(f"  purpose: {kpi.purpose}")
        click.echo(f"  missed:  {kpi.when_missed}")
        click.echo(f"  source:  {kpi.source}")


def _parse_speed(speed: str) -> float | None:
    if speed == "max":
        return None
    match = _SPEED.fullmatch(speed)
    if not match or float(match[1]) <= 0:
        message = f"{speed!r}: expected 'max' or a factor such as '60x'"
        raise click.BadParameter(message, param_hint="--speed")
    return float(match[1])


def _with_windows(config: Path, windows: tuple[str, ...]) -> Settings:
    """The settings with the windows asked for, which need not be configured ones."""
    for name in windows:
        try:
            parse_window(name)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--window") from error
    settings = load_settings(config)
    return settings.model_copy(update={"windows": windows}) if windows else settings


def _table(readings: list[Reading]) -> Table:
    """A line per figure that has samples: so it fits a terminal, whatever the KPIs."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("scope", "id", "window", "kpi"):
        table.add_column(name, no_wrap=True)
    for name in ("value", "samples"):
        table.add_column(name, no_wrap=True, justify="right")
    for reading in readings:
        for figure in reading.figures:
            if figure.value is not None:
                place = (reading.scope, reading.scope_id, reading.window)
                value = value_text(figure.kpi.name, figure.value)
                table.add_row(*place, figure.kpi.name, value, str(figure.samples))
    return table
