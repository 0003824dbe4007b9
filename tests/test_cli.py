"""The commands, as a person types them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stream import __version__
from stream.cli import main
from stream.core.kpis import CATALOGUE
from stream.supervisor import REFUSED

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


def test_kpis_lists_the_whole_catalogue() -> None:
    """Each with its unit, direction, formula, source, purpose and what to do."""
    result = run("kpis")
    assert result.exit_code == 0
    for kpi in CATALOGUE.values():
        assert f"{kpi.name} [{kpi.unit}, " in result.stdout
        for text in (kpi.formula, kpi.purpose, kpi.when_missed, kpi.source):
            assert text in result.stdout


def test_version_and_help_name_every_command() -> None:
    """Also as `python -m stream`."""
    assert __version__ in run("--version").stdout
    command = [sys.executable, "-m", "stream", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    for name in ("worker", "demo", "replay", "compute", "check", "kpis"):
        assert f"\n  {name} " in text


# ------------------------------------------------------------------ check


def test_check_says_what_is_good(folder: Path) -> None:
    """Defaults, settings and goals; how many goals."""
    assert run("check").stdout == "defaults: good; 0 goals\n"
    (folder / "kpi-stream.yaml").write_text("app: mine\n")
    (folder / "goals.yaml").write_text(
        "goals: [{name: aht, purpose: p, kpi: handle_time, window: 1h, target: '<= 5m'}]\n"
    )
    result = run("check", str(folder))
    assert result.exit_code == 0
    assert result.stdout == "kpi-stream.yaml and goals.yaml: good; 1 goals\n"


def test_check_names_all_faults_of_both_files_and_exits_1(folder: Path) -> None:
    """Outside-in, one a line, on stderr; goals are held to the settings' windows."""
    (folder / "kpi-stream.yaml").write_text("partitions: 0\n")
    (folder / "goals.yaml").write_text(
        "goals: [{name: csat-floor, purpose: p, kpi: csat, window: 1h, target: '>= 120%'}]\n"
    )
    result = run("check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "setting 'partitions': Input should be greater than or equal to 1",
        "goal 'csat-floor': target '>= 120%': csat lies between 0 and 1",
    ]
    (folder / "kpi-stream.yaml").write_text("windows: [15m]\n")
    (folder / "goals.yaml").write_text(
        "goals: [{name: csat-floor, purpose: p, kpi: csat, window: 1h, target: '>= 80%'}]\n"
    )
    assert run("check").stderr == (
        "goal 'csat-floor': window: '1h' is not kept; kept are ['15m']\n"
    )


@pytest.mark.parametrize("command", [["check", "nowhere"], ["worker", "--config", "nowhere"]])
def test_a_folder_that_is_not_there_is_not_taken_for_defaults(
    folder: Path, command: list[str]
) -> None:
    """A slip in the path is a fault, not a worker with other settings than meant."""
    assert folder.exists()
    result = run(*command)
    assert result.exit_code == 2
    assert "'nowhere' does not exist" in result.stderr


# ------------------------------------------------------------------ compute


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


def test_epoch_milliseconds_are_an_instant_too(folder: Path) -> None:
    """Both ways of writing noon give the same."""
    assert folder.exists()
    written = compute().stdout
    assert compute("--as-of", "1717408800000").stdout == written != ""


# ------------------------------------------------------------------ replay, worker


@pytest.mark.parametrize("speed", ["60", "x", "0x", "-1x", "fast"])
def test_a_speed_is_a_factor_or_max(folder: Path, speed: str) -> None:
    """Refused before Kafka is looked for."""
    assert folder.exists()
    result = run("replay", "calls.txt", "--adapter", "mine.py:read", "--speed", speed)
    assert result.exit_code == 2
    assert "expected 'max' or a factor such as '60x'" in result.stderr


@pytest.mark.parametrize("options", [(), ("--processes", "2")])
def test_a_taken_port_is_said_in_a_line(folder: Path, options: tuple[str, ...]) -> None:
    """Before a broker is looked for; the setting, the place and the reason; and whose it is."""
    assert folder.exists()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (folder / "kpi-stream.yaml").write_text(f"instance: w\nmetrics: {{port: {port}}}\n")
        result = run("worker", *options)
    assert result.exit_code == 1
    whose = "w-0: " if options else ""
    assert result.stderr == (
        f"{whose}setting 'metrics.port': 127.0.0.1:{port} cannot be used: "
        "[Errno 98] Address already in use\n"
    )


def test_a_worker_under_a_supervisor_refuses_with_a_code_of_its_own(folder: Path) -> None:
    """So that it is not started again and again; what it says is as of one alone."""
    (folder / "kpi-stream.yaml").write_text("metrics: {port: 65535}\n")
    result = run("worker", "--processes", "2", "--slot", "1")
    assert result.exit_code == REFUSED
    assert result.stderr == (
        "setting 'metrics.port': 65535 is too high for 2 processes with a port each\n"
    )
    assert run("worker", "--processes", "2").exit_code == 1


def test_the_number_of_processes_is_at_least_one(folder: Path) -> None:
    """And the slot, which no person types, is not shown."""
    assert folder.exists()
    assert "x>=1" in run("worker", "--processes", "0").stderr
    assert "--slot" not in run("worker", "--help").stdout
