"""Records of the output topics as lines: a table that goes on, JSON, or CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from stream.core.kpis import CATALOGUE
from stream.serve.terminal import target_text, value_text

Format = Literal["table", "jsonl", "csv"]
Row = Mapping[str, Any]

_GAP: Final = "  "
_CUT: Final = "…"
_INSTANTS: Final = frozenset({"as_of", "at"})
_FRACTION: Final = re.compile(r"\.\d+Z$")


class Columns(NamedTuple):
    """The columns of a table.

    `widths`: what most of their values fit in, by name and in order; the last takes what it needs.
    `spared`: what a narrow terminal does without, the first of them first.
    """

    widths: Mapping[str, int]
    spared: Sequence[str]

    def within(self, width: int | None) -> Mapping[str, int]:
        """As many of them as so many characters have room for; None: there is room for all."""
        kept = dict(self.widths)
        for name in self.spared:
            if width is None or sum(kept.values()) + len(_GAP) * (len(kept) - 1) <= width:
                break
            del kept[name]
        return kept


# No figure is left without its samples.
READING_COLUMNS: Final = Columns(
    {
        "as_of": 20, "scope": 8, "id": 12, "team": 10, "window": 6,
        "kpi": 15, "value": 6, "samples": 7, "goal": 12, "verdict": 8, "target": 10,
    },
    spared=("team", "target", "as_of", "scope"),
)  # fmt: skip
ALERT_COLUMNS: Final = Columns(
    {
        "at": 20, "state": 13, "severity": 8, "scope": 8, "id": 12, "team": 10, "goal": 12,
        "kpi": 15, "value": 6, "target": 10, "samples": 7, "lead": 10, "alert_id": 16,
    },
    spared=("alert_id", "lead", "kpi", "scope", "severity", "team", "target"),
)  # fmt: skip
LETTER_COLUMNS: Final = Columns(
    {
        "at": 20, "reason": 10, "topic": 14, "partition": 9, "offset": 10, "replays": 7,
        "key": 12, "detail": 50, "value": 40,
    },
    spared=("replays", "value", "partition", "offset", "key", "at"),
)  # fmt: skip
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

    def __init__(self, form: Format, columns: Columns, width: int | None = None) -> None:
        """`width`: of the terminal, in characters, where a table is shown in one."""
        self._form = form
        self._width = width if form == "table" else None
        self._columns = columns.within(self._width)
        self.left_out = [name for name in columns.widths if name not in self._columns]

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
        """A line of the table; in a terminal it is one, whatever the last column holds."""
        shown = (_CONTROL.sub(_as_text, cells[name]).ljust(w) for name, w in self._columns.items())
        line = _GAP.join(shown).rstrip()
        if self._width is None or len(line) <= self._width:
            return line
        return line[: self._width - len(_CUT)] + _CUT


def _said(row: Row, name: str) -> str:
    """A cell as people say it."""
    value, kpi = row.get(name), str(row.get("kpi", ""))
    if name in _INSTANTS and isinstance(value, str):
        return _FRACTION.sub("Z", value)
    if kpi in CATALOGUE and name == "value":
        return "–" if value is None else value_text(kpi, value)
    if kpi in CATALOGUE and name == "target" and isinstance(value, str):
        return target_text(kpi, value)
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
