"""The commands, as a person types them."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from stream import __version__
from stream.cli import main
from stream.core.kpis import CATALOGUE
from stream.supervisor import REFUSED


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    """`kpi-stream` with these arguments; an unexpected exception fails the test."""
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


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


def test_the_readmes_settings_and_goals_are_good(folder: Path) -> None:
    """`check` has nothing against what it shows of both files."""
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    shown = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    settings = [text for text in shown if text.startswith("# kpi-stream.yaml")]
    (goals,) = [text for text in shown if text.startswith("goals:")]
    assert len(settings) == 2
    (folder / "goals.yaml").write_text(goals)
    for text in settings:
        (folder / "kpi-stream.yaml").write_text(text)
        result = run("check", str(folder))
        assert (result.exit_code, result.stderr) == (0, "")


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


# ------------------------------------------------------------------ worker


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
    assert result.exit_code == REFUSED
    whose = "w-0: " if options else ""
    assert result.stderr == (
        f"{whose}setting 'metrics.port': 127.0.0.1:{port} cannot be used: "
        "[Errno 98] Address already in use\n"
    )


def test_a_refusal_has_a_code_of_its_own(folder: Path) -> None:
    """So that nothing starts it again and again; one of several says and does as one alone."""
    (folder / "kpi-stream.yaml").write_text("metrics: {port: 65535}\n")
    result = run("worker", "--processes", "2", "--slot", "1")
    assert result.exit_code == REFUSED
    assert result.stderr == (
        "setting 'metrics.port': 65535 is too high for 2 processes with a port each\n"
    )
    assert run("worker", "--processes", "2").exit_code == REFUSED


def test_the_number_of_processes_is_at_least_one(folder: Path) -> None:
    """And the slot, which no person types, is not shown."""
    assert folder.exists()
    assert "x>=1" in run("worker", "--processes", "0").stderr
    assert "--slot" not in run("worker", "--help").stdout


def test_no_secret_is_ever_an_argument() -> None:
    """Else `ps` would show it to everybody on the machine; files and variables are for that."""

    def options(group: click.Group) -> Iterator[str]:
        for command in group.commands.values():
            yield from (name for option in command.params for name in option.opts)
            if isinstance(command, click.Group):
                yield from options(command)

    named = set(options(main))
    assert "--config" in named
    assert [name for name in named if re.search("password|secret|token|key(?!s)", name)] == []
