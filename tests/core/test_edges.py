"""Events and instants exactly on edges, of panes, windows and days, against SQL.

DuckDB knows half-open intervals, time zones and their history by itself, and shares no line of
code with the engine.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import pytest

from tests.core.build import engine, from_mapping, ms
from tests.oracle.sql import Oracle

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream.core.engine import Engine

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
AROUND: Final = (-MINUTE, -1, 0, 1, MINUTE)


def calls(instants: Iterable[int]) -> list[dict[str, Any]]:
    """A call at each instant; by their talk time no two sums of different calls are alike."""
    return [
        {
            "type": "interaction",
            "event_id": f"e{n}",
            "interaction_id": "c",
            "outcome": "handled",
            "agent_id": "a1",
            "ended_at": at,
            "talk_ms": n * n,
        }
        for n, at in enumerate(sorted(set(instants)), start=1)
    ]


def shown(made: Engine, windows: Sequence[str]) -> dict[tuple[str, str], tuple[Any, Any]]:
    """How many calls, and how long, in each window that has any."""
    found = {}
    for window in windows:
        for reading in made.read_all("agent", window):
            by_name = {figure.kpi.name: figure.value for figure in reading.figures}
            found[reading.scope_id, window] = by_name["handled"], by_name["talk_time"]
    return found


def expected(
    oracle: Oracle, at: int, windows: Sequence[str]
) -> dict[tuple[str, str], tuple[Any, Any]]:
    """The same by SQL."""
    found = oracle.expected(at, "agent", windows)
    return {key: (kpis["handled"][0], kpis["talk_time"][0]) for key, kpis in found.items()}


def compare(
    events: Sequence[dict[str, Any]], instants: Iterable[int], windows: Sequence[str], zone: str
) -> None:
    """One engine that walks through all instants shows at each what SQL gives."""
    made = engine(windows, at=None, zone=ZoneInfo(zone), kinds=("agent",), skew_ms=None)
    oracle = Oracle(events, timezone=zone)
    ordered = sorted(set(instants))
    made.tick(ordered[0])
    assert made.apply([from_mapping(event) for event in events]).refused == []
    for at in ordered:
        made.tick(at)
        assert shown(made, windows) == expected(oracle, at, windows), (zone, at)
    oracle.close()


@pytest.mark.parametrize("base", ["2024-06-03T12:00:00Z", "2024-06-03T12:34:00Z"])
def test_an_event_on_an_edge_is_in_exactly_the_windows_that_sql_says(base: str) -> None:
    """At each window's two edges and beside them, at whole minutes, hours and beside them.

    Holds that panes and windows are half-open, [⌈t⌉ - W, ⌈t⌉), hourly beyond a day.
    """
    lengths = {"15m": 15 * MINUTE, "1h": HOUR, "1d": 24 * HOUR, "25h": 25 * HOUR, "2d": 48 * HOUR}
    now = ms(base)
    whole_hour = -(-now // HOUR) * HOUR
    edges = {end - length for end in (now, whole_hour) for length in (0, *lengths.values())}
    events = calls(edge + off for edge in edges for off in AROUND)
    instants = [edge + off for edge in (now, whole_hour) for off in (*AROUND, HOUR)]
    compare(events, instants, list(lengths), "UTC")


# Local days on which clocks change, in all the ways that they do.
CHANGES: Final = {
    "forward over midnight": ("America/Sao_Paulo", "2018-11-04"),
    "back to before midnight": ("America/Sao_Paulo", "2019-02-17"),
    "forward over midnight, again": ("Africa/Cairo", "2024-04-26"),
    "back at 24:00": ("Africa/Cairo", "2024-11-01"),
    "forward on a Friday": ("Asia/Jerusalem", "2024-03-29"),
    "back at 2": ("Asia/Jerusalem", "2024-10-27"),
    "half an hour forward": ("Australia/Lord_Howe", "2024-10-06"),
    "half an hour back": ("Australia/Lord_Howe", "2024-04-07"),
    "midnight strikes twice": ("America/Havana", "2024-11-03"),
    "a minute of tomorrow, then today again": ("America/St_Johns", "2010-11-07"),
    "two hours, a day of 26": ("Antarctica/Troll", "2024-10-27"),
    "three hours, a day of 27": ("Antarctica/Casey", "2018-03-11"),
    "a day that never was": ("Pacific/Apia", "2011-12-31"),
    "an ordinary day": ("Asia/Kathmandu", "2024-06-03"),
}


def turns(zone: ZoneInfo, start: int, end: int) -> list[int]:
    """The minutes at which the day or the offset changes."""
    found = []
    before = None
    for at in range(start, end, MINUTE):
        local = datetime.fromtimestamp(at // 1_000, UTC).astimezone(zone)
        state = (local.date(), local.utcoffset())
        if before is not None and state != before:
            found.append(at)
        before = state
    return found


@pytest.mark.parametrize("change", CHANGES)
def test_today_is_what_sql_says_on_days_when_clocks_change(change: str) -> None:
    """Before and after each midnight and each change, from the day before to the day after.

    Holds that the day begins at its first local instant, and that a span that goes back when the
    date does takes its minutes with it.
    """
    zone, day = CHANGES[change]
    start = ms(f"{day}T00:00:00Z") - 40 * HOUR
    end = start + 88 * HOUR
    edges = turns(ZoneInfo(zone), start, end)
    assert len(edges) >= 3
    events = calls([*range(start, end, 29 * MINUTE), *(e + off for e in edges for off in AROUND)])
    later = (-1, 0, 1, 30 * MINUTE, 90 * MINUTE)
    compare(events, [e + off for e in edges for off in later], ["today"], zone)
