"""`compute` on real calls: every figure equals an independent SQL query."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stream.adapters import read_events, timed
from stream.compute import compute
from stream.config import load_settings
from stream.core.kpis import SCOPE_KINDS
from tests.core.build import call, ms
from tests.kafka.board import differences
from tests.oracle import adapters, data_dir
from tests.oracle.sql import Oracle


class Case(NamedTuple):
    """A data set, its adapter, and the time from which ten instants are taken, by steps."""

    file: str
    adapter: Callable[[str | Path], Iterator[dict[str, Any]]]
    first: str
    step: dt.timedelta


CASES = (
    Case(
        "anonymous_bank/calls.tsv",
        adapters.anonymous_bank,
        "1999-02-02T11:43:12.345+02:00",
        dt.timedelta(days=2, hours=15, minutes=53, seconds=20),
    ),
    Case(
        "shopzilla/contacts.csv",
        adapters.shopzilla,
        "2023-08-02T18:13:32.345+05:30",
        dt.timedelta(days=3, hours=3, minutes=6, seconds=40),
    ),
)
QUEUES = {
    "PS": {"team": "team-1", "service_level": "30s", "short_abandon": "10s"},
    "NW": {"team": "team-2"},
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", CASES, ids=[case.file for case in CASES])
def test_every_figure_equals_sql(case: Case, tmp_path: Path) -> None:
    """At ten instants, within a minute and at its edge: every scope, id, window and KPI."""
    file = data_dir() / case.file
    if not file.exists():
        pytest.skip(f"no test data at {case.file}")
    settings = load_settings(tmp_path, timezone="Asia/Jerusalem", queues=QUEUES)
    events = read_events(case.adapter, [file])
    oracle = Oracle(
        case.adapter(file),
        queue_teams={"PS": "team-1", "NW": "team-2"},
        queue_thresholds={"PS": (30_000, 10_000)},
        timezone="Asia/Jerusalem",
    )
    compared = 0
    for n in range(10):
        instant = dt.datetime.fromisoformat(case.first) + n * case.step
        as_of_ms = round(instant.timestamp() * 1000) // (60_000 if n % 2 else 1)
        as_of_ms *= 60_000 if n % 2 else 1
        found: dict[str, dict[tuple[str, str], dict[str, Any]]] = {k: {} for k in SCOPE_KINDS}
        for reading in compute(settings, events, as_of_ms, SCOPE_KINDS, settings.windows):
            found[reading.scope][reading.scope_id, reading.window] = {
                figure.kpi.name: {"value": figure.value, "samples": figure.samples}
                for figure in reading.figures
            }
        for scope in SCOPE_KINDS:
            expected = oracle.expected(as_of_ms, scope, settings.windows)
            assert found[scope].keys() == expected.keys()
            for key, figures in expected.items():
                assert figures.keys() == found[scope][key].keys()
                wrong = differences(figures, found[scope][key])
                assert not wrong, f"{scope} {key} at {instant}: {wrong}"
                compared += len(figures)
    print(f"\n{case.file}: {compared} figures")  # noqa: T201 - a figure for the closing note
    assert compared > 10_000


def test_nothing_is_too_late_too_early_or_counted_twice(tmp_path: Path) -> None:
    """The past is kept however old; what lies after the instant is left out."""
    calls = [call("1999-01-01T00:00:00Z", event_id="old"), call("2024-06-03T12:00:00Z")]
    events = [timed(event) for event in [*calls, calls[0]]]
    settings = load_settings(tmp_path)
    for instant, expected in (
        ("1999-01-01T00:01:00Z", [1]),
        ("2024-06-03T12:00:00Z", []),
        ("2024-06-03T12:00:00.001Z", [1]),
    ):
        found = compute(settings, events, ms(instant), ["agent"], ["15m"])
        assert [reading.figures[0].value for reading in found] == expected, instant


def test_readings_come_in_the_order_that_was_asked_for(tmp_path: Path) -> None:
    """By scope and window as named, then by id."""
    events = [timed(call(agent_id=name, queue="q")) for name in ("b", "a")]
    settings = load_settings(tmp_path)
    found = compute(settings, events, ms("2024-06-03T12:00:00Z"), ["queue", "agent"], ["1h", "15m"])
    assert [(r.scope, r.scope_id, r.window) for r in found] == [
        ("queue", "q", "1h"),
        ("queue", "q", "15m"),
        ("agent", "a", "1h"),
        ("agent", "b", "1h"),
        ("agent", "a", "15m"),
        ("agent", "b", "15m"),
    ]
