"""Reads `schemas/`, and judges documents by it."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker

SCHEMAS: Final = Path(__file__).parents[2] / "schemas"
NAMES: Final = ("interaction", "survey", "reading", "alert", "clock", "dead-letter", "roster")

_FORMATS: Final = FormatChecker(())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    """Whether the calendar has it; its shape is the pattern's business."""
    if isinstance(value, str):
        datetime.fromisoformat(value.upper())
    return True


@cache
def schema(name: str) -> dict[str, Any]:
    """Version 1 of the schema called `name`."""
    parsed: dict[str, Any] = json.loads((SCHEMAS / f"{name}.v1.json").read_text("utf-8"))
    return parsed


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema(name), format_checker=_FORMATS)


def faults(name: str, document: Any) -> list[str]:
    """What the schema has against a document, each with its place."""
    return [f"{e.json_path}: {e.message}" for e in _validator(name).iter_errors(document)]


def examples(kind: str) -> list[tuple[str, Path]]:
    """The (schema name, file) pairs of all `good` or `bad` examples."""
    return [
        (name, file)
        for name in NAMES
        for file in sorted((SCHEMAS / "examples" / name).glob(f"{kind}-*.json"))
    ]
