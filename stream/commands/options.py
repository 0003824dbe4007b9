"""What several commands have in common: options, a type of them, and how faults are said."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from aiokafka.errors import KafkaError

from stream.adapters import AdapterError
from stream.config import GOALS_FILE, SETTINGS_FILE
from stream.core.windows import parse_window
from stream.demo.servers import DemoError
from stream.durations import parse_duration_ms
from stream.instant import Instant
from stream.kafka.app import EXPLAINED, is_refusal
from stream.supervisor import REFUSED
from stream.wallclock import wall_clock_ms
from stream.yamlfile import Faults

FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_EXPLAINED: Final = (AdapterError, DemoError, *EXPLAINED)
_INTERRUPTED: Final = 130  # as shells say it

T = TypeVar("T")

config_option = click.option(
    "--config",
    type=FOLDER,
    default=Path(),
    help=f"Folder of {SETTINGS_FILE} and {GOALS_FILE} (default: this one).",
)


class Since(Instant):
    """An instant, or how long ago."""

    name = "instant|duration"
    _expected = "a duration such as 1h, RFC 3339 with an offset, or epoch ms"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Epoch milliseconds."""
        try:
            return wall_clock_ms() - parse_duration_ms(value)
        except ValueError:
            return super().convert(value, param, ctx)


class WindowName(click.ParamType):
    """A window, as settings name it."""

    name = "window"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if there can be such a window."""
        try:
            return parse_window(value).name
        except ValueError as error:
            self.fail(str(error), param, ctx)


def clear_errors(command: Callable[..., None]) -> Callable[..., None]:
    """What a person can mend is said in lines of their own and exits 1, without a traceback."""
    return _clear(command, refused=1)


def clear_refusals(command: Callable[..., None]) -> Callable[..., None]:
    """The same of a service: where another start would end so again, it exits with `REFUSED`.

    By that whatever starts it knows to leave it at that.
    """
    return _clear(command, refused=REFUSED)


def _clear(command: Callable[..., None], refused: int) -> Callable[..., None]:
    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except Faults as faults:
            for fault in faults.faults:
                click.echo(fault, err=True)
            sys.exit(refused)
        except _EXPLAINED as error:
            click.echo(f"kpi-stream: {error}", err=True)
            sys.exit(refused if is_refusal(error) else 1)

    return wrapped


def run_client(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command that is a client of Kafka's; Ctrl-C ends it without a word."""
    try:
        return asyncio.run(work)
    except KafkaError as error:
        raise click.ClickException(f"Kafka: {error}") from error
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
