"""What settings, goals and rosters are written with: fields that say what is wrong with them."""

from __future__ import annotations

import re
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from stream.core.kpis import CATALOGUE
from stream.core.windows import parse_window
from stream.durations import parse_duration_ms


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"{name!r}: not a time zone of the IANA data base, such as 'Europe/Berlin'"
        raise ValueError(message) from error
    return name


def _check_window(name: str) -> str:
    parse_window(name)
    return name


def _check_kpi(name: str) -> str:
    if name not in CATALOGUE:
        message = f"{name!r}: no such KPI; `kpi-stream kpis` lists them"
        raise ValueError(message)
    return name


def matching(pattern: str, expected: str) -> AfterValidator:
    """A text of this pattern, or a fault that says what was `expected`, and nothing of the text."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {expected}")
        return text

    return AfterValidator(check)


DurationMs = Annotated[int, BeforeValidator(parse_duration_ms), Field(ge=0, le=31 * 86_400_000)]
ZoneName = Annotated[str, AfterValidator(_check_zone)]
WindowName = Annotated[str, AfterValidator(_check_window)]
KpiName = Annotated[str, AfterValidator(_check_kpi)]
TopicName = Annotated[
    str,
    matching(
        r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}",
        "the name of a topic: up to 200 letters, digits, '.', '_' and '-', the first no '.'",
    ),
]


class Strict(BaseModel):
    """A part of the settings: unknown names are faults, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
