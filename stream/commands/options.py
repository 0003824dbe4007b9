"""What several commands have in common: options, an argument's type, and how faults are said."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from stream.adapters import AdapterError
from stream.config import GOALS_FILE, SETTINGS_FILE
from stream.demo.servers import DemoError
from stream.kafka.topology import TopologyError
from stream.supervisor import REFUSED
from stream.yamlfile import Faults

FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

config_option = click.option(
    "--config",
    type=FOLDER,
    default=Path(),
    help=f"Folder of {SETTINGS_FILE} and {GOALS_FILE} (default: this one).",
)


def clear_errors(command: Callable[..., None]) -> Callable[..., None]:
    """What a person can mend is said in lines of their own and exits 1, without a traceback.

    One of several workers exits as its supervisor knows not to start it again.
    """

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
