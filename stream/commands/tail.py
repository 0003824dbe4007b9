"""`kpi-stream tail`: what stands in the output topics, as it comes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import click
import orjson

from stream.commands.letters import redacted, whole
from stream.commands.options import Since, WindowName, clear_errors, config_option, run_client
from stream.config import Settings, load_settings
from stream.core.alerts import Change
from stream.core.goals import Severity
from stream.core.kpis import CATALOGUE, SCOPE_KINDS
from stream.kafka.deadletters import read_letter
from stream.kafka.topicreader import BEGINNING, open_topic
from stream.serve.listing import (
    ALERT_COLUMNS,
    LETTER_COLUMNS,
    READING_COLUMNS,
    Columns,
    Format,
    Lines,
    reading_rows,
)

# What a record is listed as, and its rows; None where it is not asked for.
Listed = tuple[Mapping[str, Any], Iterable[Mapping[str, Any]]]
Pick = Callable[[Any], Listed | None]
Texts = tuple[str, ...]
Decorator = Callable[[Callable[..., None]], Callable[..., None]]


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is common to all of them: where to begin, where to end, and how to say it."""

    config: Path
    since_ms: int | None
    follow: bool
    limit: int | None
    form: Format


def _reading_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the common options, and gives the command what they come to."""

    @clear_errors
    def wrapped(
        *,
        config: Path,
        from_beginning: bool,
        since_ms: int | None,
        follow: bool,
        limit: int | None,
        form: Format,
        **own: Any,
    ) -> None:
        if from_beginning and since_ms is not None:
            raise click.UsageError("--from-beginning and --since exclude each other")
        start_ms = BEGINNING if from_beginning else since_ms
        command(_Reading(config, start_ms, follow, limit, form), **own)

    wrapped.__doc__ = command.__doc__
    wrapped.__name__ = command.__name__
    options = (
        click.option("--from-beginning", is_flag=True, help="All that is there, then what comes."),
        click.option("--since", "since_ms", type=Since(), help="Written since, such as 1h."),
        click.option("--follow/--no-follow", default=True, help="Wait for more, or end here."),
        click.option("--limit", type=click.IntRange(min=1), help="End after so many records."),
        click.option(
            *("--format", "form"),
            default="table",
            type=click.Choice(["table", "jsonl", "csv"]),
        ),
        config_option,
    )
    decorated: Callable[..., None] = wrapped
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def _several(name: str, kind: click.ParamType | None = None) -> Decorator:
    return click.option(f"--{name}", f"{name}s", multiple=True, type=kind, help="Repeat for more.")


def _several_kpis(command: Callable[..., None]) -> Callable[..., None]:
    said = "Repeat for more; `kpi-stream kpis` lists them."
    kind = click.Choice(list(CATALOGUE))
    return click.option("--kpi", "kpis", multiple=True, type=kind, metavar="KPI", help=said)(
        command
    )


@click.group()
def tail() -> None:
    """Show what comes in an output topic: what is committed, from now on unless told otherwise.

    Repeated filters widen, different ones narrow.
    """


@tail.command("kpis")
@_several("scope", click.Choice(SCOPE_KINDS))
@_several("id")
@_several("team")
@_several("window", WindowName())
@_several_kpis
@_several("goal")
@_reading_options
def tail_kpis(
    reading: _Reading,
    scopes: Texts,
    ids: Texts,
    teams: Texts,
    windows: Texts,
    kpis: Texts,
    goals: Texts,
) -> None:
    """KPI readings; a row per figure and per goal, or the whole reading with --format jsonl."""
    wanted = {"scope": scopes, "id": ids, "team": teams, "window": windows}

    def pick(record: Any) -> Listed | None:
        found = _parsed(record)
        if found is None or not _matches(found, wanted):
            return None
        if kpis or goals:
            found["kpis"] = {k: v for k, v in found["kpis"].items() if k in kpis}
            found["goals"] = {k: v for k, v in found["goals"].items() if k in goals}
            if not found["kpis"] and not found["goals"]:
                return None
        return found, reading_rows(found)

    _tail(reading, lambda settings: settings.topics.kpis, READING_COLUMNS, pick)


@tail.command("alerts")
@_several("scope", click.Choice(SCOPE_KINDS))
@_several("id")
@_several("team")
@_several("goal")
@_several_kpis
@_several("window", WindowName())
@_several("state", click.Choice(get_args(Change)))
@_several("severity", click.Choice(get_args(Severity)))
@_reading_options
def tail_alerts(reading: _Reading, **filters: Texts) -> None:
    """Transitions of alerts."""
    wanted = {name[:-1]: values for name, values in filters.items()}

    def pick(record: Any) -> Listed | None:
        found = _parsed(record)
        return (found, [found]) if found is not None and _matches(found, wanted) else None

    _tail(reading, lambda settings: settings.topics.alerts, ALERT_COLUMNS, pick)


@tail.command("dead-letters")
@_several("reason")
@_several("topic")
@click.option(
    "--show-customer-data", is_flag=True, help="Also what customers wrote, and who they are."
)
@_reading_options
def tail_dead_letters(
    reading: _Reading, reasons: Texts, topics: Texts, *, show_customer_data: bool
) -> None:
    """Refused records: why, from where, and what of them is not the customer's."""

    def pick(record: Any) -> Listed | None:
        letter = read_letter(record)
        if letter is None:
            _say_odd(record, "no dead letter")
            return None
        wanted = {"reason": reasons, "topic": topics}
        if not _matches({"reason": letter.reason, "topic": letter.origin.topic}, wanted):
            return None
        shown = whole(letter) if show_customer_data else redacted(letter)
        return shown, [shown]

    _tail(reading, lambda settings: settings.topics.dead_letters, LETTER_COLUMNS, pick)


def _tail(
    reading: _Reading, topic_of: Callable[[Settings], str], columns: Columns, pick: Pick
) -> None:
    settings = load_settings(reading.config)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines = Lines(reading.form, columns, width)
    if lines.left_out:
        said = f"no room here for {', '.join(lines.left_out)}; --format jsonl has all"
        click.echo(f"kpi-stream: {said}", err=True)
    run_client(_print(settings, topic_of(settings), reading, lines, pick))


async def _print(
    settings: Settings, topic: str, reading: _Reading, lines: Lines, pick: Pick
) -> None:
    shown = 0
    async with open_topic(settings, topic, reading.since_ms) as reader:
        _echo(lines.heading())
        async for record in reader.records(follow=reading.follow):
            shown += _show(record, lines, pick)
            if shown == reading.limit:
                return


def _show(record: Any, lines: Lines, pick: Pick) -> bool:
    """Prints a record if it is asked for; what is of no shape that we know is said and left out."""
    try:
        listed = pick(record)
        text = None if listed is None else list(lines.of(*listed))
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError):
        _say_odd(record, "not of the shape that it should have")
        return False
    _echo(text or ())
    return text is not None


def _echo(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _parsed(record: Any) -> dict[str, Any] | None:
    """The JSON object in a record; None for tombstones, and for what somebody else wrote."""
    if record.value is None:
        return None
    try:
        found = orjson.loads(record.value)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        _say_odd(record, "no JSON object")
        return None
    return found


def _say_odd(record: Any, what: str) -> None:
    place = f"{record.topic}[{record.partition}] at {record.offset}"
    click.echo(f"kpi-stream: {place}: {what}; left out", err=True)


def _matches(record: Mapping[str, Any], wanted: Mapping[str, Texts]) -> bool:
    return all(not values or record.get(name) in values for name, values in wanted.items())
