"""Replaying and computing files, as a person types it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stream.cli import main

ADAPTER = """
from pathlib import Path


def read(path):
    for n, line in enumerate(Path(path).read_text().splitlines()):
        agent, ended_at, talk_s, csat = line.split()
        yield {"type": "interaction", "event_id": f"i{n}", "interaction_id": "i",
               "ended_at": ended_at, "outcome": "handled", "agent_id": agent, "queue": "q",
               "talk_ms": int(talk_s) * 1000}
        if csat != "-":
            yield {"type": "survey", "event_id": f"s{n}", "answered_at": ended_at,
                   "agent_id": agent, "csat": int(csat)}
"""
CALLS = """\
ann 2024-06-03T11:00:00+02:00 100 5
ann 2024-06-03T11:50:00+02:00 200 -
bob 2024-06-03T11:55:00+02:00 60 1
bob 2024-06-03T12:00:00+02:00 60 1
"""
NOON = "2024-06-03T12:00:00+02:00"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with calls and an adapter, in which the commands run."""
    (tmp_path / "mine.py").write_text(ADAPTER)
    (tmp_path / "calls.txt").write_text(CALLS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    """`kpi-stream` with these arguments; an unexpected exception fails the test."""
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def compute(*arguments: str) -> Result:
    """`kpi-stream compute` on the calls at noon."""
    given = ("compute", "calls.txt", "--adapter", "mine.py:read", "--as-of", NOON)
    return run(*given, *arguments)


def test_compute_gives_a_line_per_scope_id_and_window(folder: Path) -> None:
    """Half-open windows: what ended at noon is not yet in; what ended an hour before still is."""
    assert folder.exists()
    result = compute("--scope", "agent", "--window", "1h", "--window", "15m", "--window", "1h")
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(r["scope"], r["id"], r["window"]) for r in lines] == [
        ("agent", "ann", "1h"),
        ("agent", "bob", "1h"),
        ("agent", "ann", "15m"),
        ("agent", "bob", "15m"),
    ]
    assert {r["as_of"] for r in lines} == {"2024-06-03T10:00:00.000Z"}
    assert all(set(r) == {"scope", "id", "window", "as_of", "kpis"} for r in lines)
    ann, bob = lines[0]["kpis"], lines[1]["kpis"]
    assert ann["handled"] == {"value": 2, "samples": 2}
    assert ann["handle_time"] == {"value": 150.0, "samples": 2}
    assert ann["csat"] == {"value": 1.0, "samples": 1}
    assert bob["csat"] == {"value": 0.0, "samples": 1}
    assert bob["nps"] == {"value": None, "samples": 0}
    assert lines[2]["kpis"]["csat"] == {"value": None, "samples": 0}
    assert "service_level" not in ann


def test_compute_takes_windows_that_are_not_configured(folder: Path) -> None:
    """Whatever the settings keep and show; a calendar day is that of their time zone."""
    (folder / "kpi-stream.yaml").write_text(
        "windows: [15m]\nmetrics: {show: {windows: [15m]}}\ntimezone: Europe/Berlin\n"
    )
    lines = [json.loads(line) for line in compute("--window", "today").stdout.splitlines()]
    assert {r["window"] for r in lines} == {"today"}
    assert {(r["scope"], r["id"]) for r in lines} == {
        ("agent", "ann"), ("agent", "bob"), ("queue", "q"),
    }  # fmt: skip
    assert {json.loads(x)["window"] for x in compute().stdout.splitlines()} == {"15m"}


def test_compute_prints_a_table_too(folder: Path) -> None:
    """A line per figure that has samples, values as people say them: it fits any terminal."""
    assert folder.exists()
    result = CliRunner(env={"COLUMNS": "80"}).invoke(
        main,
        [
            *("compute", "calls.txt", "--adapter", "mine.py:read", "--as-of", NOON),
            *("--scope", "agent", "--window", "1h", "--format", "table"),
        ],
    )
    rows = [line.split() for line in result.stdout.splitlines() if "ann" in line]
    assert ["agent", "ann", "1h", "handled", "2", "2"] in rows
    assert ["agent", "ann", "1h", "handle_time", "2m30s", "2"] in rows
    assert all(row[-1] != "0" for row in rows)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--as-of", "2024-06-03T12:00:00"), "which time zone? Add an offset"),
        (("--as-of", "noon"), "expected RFC 3339 with an offset, or epoch ms"),
        (("--window", "1x"), "window '1x': expected 'today', or a length"),
        (("--scope", "floor"), "'floor' is not one of 'agent', 'team'"),
        (("--adapter", "mine.py:write"), "has no function 'write'"),
    ],
)
def test_a_slip_in_the_arguments_is_said_without_a_traceback(
    folder: Path, arguments: tuple[str, ...], fault: str
) -> None:
    """Exit code 1 or 2, and which argument is wrong."""
    assert folder.exists()
    result = compute(*arguments)
    assert result.exit_code in (1, 2)
    assert fault in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_the_readmes_adapter_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its example of an adapter and its command line, on calls of the columns that it reads."""
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (adapter,) = re.findall(r"```python\n(# mine\.py\n.*?)```", readme, re.DOTALL)
    (line,) = re.findall(r"^\$ kpi-stream (compute .+)$", readme, re.MULTILINE)
    (tmp_path / "mine.py").write_text(adapter)
    (tmp_path / "calls.csv").write_text(
        "id,ended,agent,talk_s\n1,2026-11-20T16:00:00+01:00,ann,90\n2,2026-11-20T08:00:00+01:00,ann,30\n"
    )
    monkeypatch.chdir(tmp_path)
    result = run(*line.split(), "--scope", "agent")
    assert result.exit_code == 0
    (reading,) = map(json.loads, result.stdout.splitlines())
    assert (reading["id"], reading["kpis"]["handle_time"]["value"]) == ("ann", 90.0)


def test_epoch_milliseconds_are_an_instant_too(folder: Path) -> None:
    """Both ways of writing noon give the same."""
    assert folder.exists()
    written = compute().stdout
    assert compute("--as-of", "1717408800000").stdout == written != ""


# ------------------------------------------------------------------ replay


@pytest.mark.parametrize("speed", ["60", "x", "0x", "-1x", "fast"])
def test_a_speed_is_a_factor_or_max(folder: Path, speed: str) -> None:
    """Refused before Kafka is looked for."""
    assert folder.exists()
    result = run("replay", "calls.txt", "--adapter", "mine.py:read", "--speed", speed)
    assert result.exit_code == 2
    assert "expected 'max' or a factor such as '60x'" in result.stderr
