"""Records as lines: the same facts in each format, and nothing that a terminal would obey."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest

from stream.serve.listing import ALERT_COLUMNS, READING_COLUMNS, Lines, reading_rows

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
    assert heading.split() == list(READING_COLUMNS)
    assert [row[heading.index("kpi") :].split() for row in rows] == [
        ["handle_time", "6m30s", "4"],
        ["csat", "–", "0"],
        ["of_tomorrow", "7", "7"],
        ["aht", "missed", "<=", "360.0"],
    ]
    assert {row.index("ann") for row in rows} == {heading.index("id ")}


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
