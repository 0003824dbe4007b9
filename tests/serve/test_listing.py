"""Records as lines: the same facts in each format, and nothing that a terminal would obey."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest

from stream.serve.listing import (
    ALERT_COLUMNS,
    LETTER_COLUMNS,
    READING_COLUMNS,
    Columns,
    Lines,
    reading_rows,
)

READING = {
    "as_of": "2026-03-02T08:41:12.500Z", "scope": "agent", "id": "ann", "team": None,
    "window": "1h",
    "kpis": {
        "handle_time": {"value": 390.5, "samples": 4}, "csat": {"value": None, "samples": 0},
        "of_tomorrow": {"value": 7, "samples": 7},
    },
    "goals": {"aht": {"verdict": "missed", "target": "<= 360.0", "amber": False}},
}  # fmt: skip


def lines(form: str, record: dict[str, Any]) -> list[str]:
    """A reading in one of the formats, under its heading."""
    listing = Lines(form, READING_COLUMNS)  # type: ignore[arg-type]
    return [*listing.heading(), *listing.of(record, reading_rows(record))]


def test_a_table_says_values_as_people_do() -> None:
    """Aligned, minutes and per cent, a dash where there is nothing; of unknown KPIs the number."""
    heading, *rows = lines("table", READING)
    assert heading.split() == list(READING_COLUMNS.widths)
    assert [row[heading.index("kpi") :].split() for row in rows] == [
        ["handle_time", "6m30s", "4"],
        ["csat", "–", "0"],
        ["of_tomorrow", "7", "7"],
        ["aht", "missed", "<=", "360.0"],
    ]
    assert {row.index("ann") for row in rows} == {heading.index("id ")}


ALERT = {
    "at": "2026-03-02T08:57:00.000Z", "state": "ended_no_data", "severity": "warning",
    "scope": "agent", "id": "a-17", "team": "billing", "goal": "agent-aht", "kpi": "handle_time",
    "value": 390.5, "target": "<= 360.0", "samples": 28, "lead": "Kim", "alert_id": "5f0c9a1b",
}  # fmt: skip


def test_an_alert_is_said_in_units() -> None:
    """Its target as its value, and its instant without what nobody reads of it."""
    listing = Lines("table", ALERT_COLUMNS)
    assert next(listing.heading()).split() == list(ALERT_COLUMNS.widths)
    (row,) = listing.of(ALERT, [ALERT])
    assert "handle_time      6m30s   <= 6m00s    28 " in row
    assert row.startswith("2026-03-02T08:57:00Z  ended_no_data")


@pytest.mark.parametrize("columns", [ALERT_COLUMNS, LETTER_COLUMNS, READING_COLUMNS])
@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_terminals_lines_do_not_wrap(columns: Columns, width: int) -> None:
    """At 80 characters as at 200; what there is no room for is told, nothing of the rest is cut."""
    listing = Lines("table", columns, width)
    usual = {name: "x" * wide for name, wide in columns.widths.items()}
    for line in (*listing.heading(), *listing.of(usual, [usual])):
        assert len(line) <= width
        assert "…" not in line
    assert {*listing.left_out} | columns.within(width).keys() == columns.widths.keys()
    long = dict.fromkeys(columns.widths, "x" * 90)
    (line,) = listing.of(long, [long])
    assert (len(line), line[-1]) == (width, "…")


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_programs_get_everything_on_any_terminal(form: str) -> None:
    """A narrow one leaves out columns of tables only."""
    listing = Lines(form, ALERT_COLUMNS, 80)  # type: ignore[arg-type]
    assert listing.left_out == []
    assert "5f0c9a1b" in next(listing.of(ALERT, [ALERT]))


def test_csv_says_numbers() -> None:
    """One table for a spreadsheet: empty where there is nothing."""
    rows = list(csv.DictReader(lines("csv", READING)))
    assert [row["value"] for row in rows] == ["390.5", "", "7", ""]
    assert rows[3]["goal"] == "aht"
    assert {row["id"] for row in rows} == {"ann"}


def test_json_is_the_record() -> None:
    """A line each, without a heading."""
    (line,) = lines("jsonl", READING)
    assert json.loads(line) == READING


@pytest.mark.parametrize("form", ["table", "jsonl"])
def test_a_terminal_is_told_nothing(form: str) -> None:
    """Ids are what somebody sent: they neither move the cursor nor turn the text round."""
    hostile = "\x1b[2J\x9b1m\u202e\r\nann"
    listing = Lines(form, ALERT_COLUMNS)  # type: ignore[arg-type]
    alert = {"id": hostile, "goal": hostile}
    (line,) = listing.of(alert, [alert])
    assert not set(hostile[:-3]) & set(line) - set("[2J1m")
    if form == "jsonl":
        assert json.loads(line) == alert


def test_numbers_beyond_64_bits_are_shown() -> None:
    """A refused record may hold them, and has to be found."""
    listing = Lines("jsonl", ALERT_COLUMNS)
    assert list(listing.of({"value": 10**30}, ())) == ['{"value":' + str(10**30) + "}"]
