"""Records of the output topics as lines: a table that goes on, JSON, or CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

from stream.core.kpis import CATALOGUE
from stream.serve.terminal import value_text

Format = Literal["table", "jsonl", "csv"]
Row = Mapping[str, Any]

# Columns with the width that most of their values fit in; the last one takes what it needs.
READING_COLUMNS: Final = {
    "as_of": 24, "scope": 8, "id": 12, "team": 10, "window": 6,
    "kpi": 15, "value": 8, "samples": 7, "goal": 16, "verdict": 8, "target": 0,
}  # fmt: skip
ALERT_COLUMNS: Final = {
    "at": 24, "state": 13, "severity": 8, "scope": 8, "id": 12, "team": 10, "goal": 16,
    "kpi": 15, "value": 8, "target": 10, "samples": 7, "lead": 10, "alert_id": 0,
}  # fmt: skip
LETTER_COLUMNS: Final = {
    "at": 24, "reason": 10, "topic": 14, "partition": 9, "offset": 10, "replays": 7,
    "key": 12, "detail": 40, "value": 0,
}  # fmt: skip
# What a terminal would obey rather than show.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def reading_rows(reading: Row) -> Iterator[Row]:
    """A row per figure, then one per goal."""
    for name, figure in reading.get("kpis", {}).items():
        yield {**reading, "kpi": name, "value": figure["value"], "samples": figure["samples"]}
    for name, goal in reading.get("goals", {}).items():
        yield {**reading, "goal": name, "verdict": goal["verdict"], "target": goal["target"]}


class Lines:
    """Turns records into lines of one format, under a heading where the format has one."""

    def __init__(self, form: Format, columns: Mapping[str, int]) -> None:
        """`columns`: widths by name, in their order."""
        self._form = form
        self._columns = columns

    def heading(self) -> Iterator[str]:
        """What comes first."""
        if self._form == "table":
            yield self._aligned({name: name for name in self._columns})
        elif self._form == "csv":
            yield _csv(self._columns)

    def of(self, record: Row, rows: Iterable[Row]) -> Iterator[str]:
        """The lines of one record: itself as JSON, or its rows."""
        if self._form == "jsonl":
            yield _CONTROL.sub(_as_json, _json(record))
            return
        for row in rows:
            if self._form == "csv":
                yield _csv(_cell(row.get(name)) for name in self._columns)
            else:
                yield self._aligned({name: _said(row, name) for name in self._columns})

    def _aligned(self, cells: Mapping[str, str]) -> str:
        shown = (_CONTROL.sub(_as_text, cells[name]).ljust(w) for name, w in self._columns.items())
        return "  ".join(shown).rstrip()


def _said(row: Row, name: str) -> str:
    """A cell as people say it."""
    value, kpi = row.get(name), str(row.get("kpi", ""))
    if name == "value" and kpi in CATALOGUE:
        return "–" if value is None else value_text(kpi, value)
    return _cell(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    """Not by orjson: a refused record may hold numbers that are beyond it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _csv(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def _as_text(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _as_json(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
