"""Commands on files of one's own: replay them through Kafka, or compute without it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from stream.adapters import TimedEvent, load_adapter, read_events
from stream.commands.options import FILE, WindowName, clear_errors, config_option
from stream.compute import compute as compute_readings
from stream.config import load_settings
from stream.core.kpis import SCOPE_KINDS, ScopeKind
from stream.core.readings import Reading
from stream.instant import Instant
from stream.kafka.codec import reading_fields
from stream.replay import replay as replay_events
from stream.serve.terminal import value_text

_SPEED: Final = re.compile(r"(\d+(?:\.\d+)?)x")

adapter_option = click.option(
    "--adapter", required=True, help="MODULE:FUNCTION or PATH.py:FUNCTION that yields events."
)
files_argument = click.argument("files", nargs=-1, required=True, type=FILE)


@click.command()
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


@click.command()
@files_argument
@adapter_option
@click.option("--as-of", "as_of_ms", required=True, type=Instant(), help="The instant.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPE_KINDS))
@click.option(
    *("--window", "windows"),
    multiple=True,
    type=WindowName(),
    help="Such as 1h or today; repeat for more.",
)
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
    settings = load_settings(config)
    if windows:  # which need not be configured ones
        settings = settings.model_copy(update={"windows": tuple(dict.fromkeys(windows))})
    events: list[TimedEvent] = read_events(load_adapter(adapter), files)
    readings = compute_readings(settings, events, as_of_ms, scopes or SCOPE_KINDS, settings.windows)
    if form == "jsonl":
        for reading in readings:
            click.echo(orjson.dumps(reading_fields(reading)))
    else:
        Console().print(_table(list(readings)))


def _parse_speed(speed: str) -> float | None:
    if speed == "max":
        return None
    match = _SPEED.fullmatch(speed)
    if not match or float(match[1]) <= 0:
        message = f"{speed!r}: expected 'max' or a factor such as '60x'"
        raise click.BadParameter(message, param_hint="--speed")
    return float(match[1])


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
