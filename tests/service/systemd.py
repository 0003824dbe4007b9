"""A systemd unit's command, variables and folder, without systemd."""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from tests.deploy import files
from tests.service.program import HttpCheck, Program, Unit

_OURS: Final = "/opt/kpi-stream/bin/"
_HOST: Final = "host"


def service(
    file: Path, folder: Path, port: int, *, variable: str, instance: str = ""
) -> tuple[Unit, float]:
    """What a unit starts in its folder, and how long systemd waits for its end.

    `folder` has what an administrator put there: settings, and the unit's file of variables, where
    `variable` names the metrics port.
    """
    section = files.unit(file)["Service"]

    def meant(text: str) -> str:
        return text.replace("%i", instance).replace("%H", _HOST)

    given = dict(word.split("=", 1) for word in shlex.split(meant(section["Environment"])))
    variables = Path(meant(section["EnvironmentFile"]).lstrip("-"))
    assert str(variables.parent) == section["WorkingDirectory"]
    written = folder / variables.name
    with written.open("a") as more:
        more.write(f"{variable}={port}\n")
    given |= _variables(written.read_text("utf-8"))
    line = shlex.split(section["ExecStart"].replace(_OURS, f"{Path(sys.executable).parent}/"))
    check = HttpCheck(f"http://127.0.0.1:{port}/health", 5.0)
    unit = Unit(file.stem, Program(line, given, folder), [check])
    return unit, files.seconds(section["TimeoutStopSec"])


def _variables(text: str) -> Mapping[str, str]:
    return {name: value or "" for name, value in dotenv_values(stream=io.StringIO(text)).items()}
