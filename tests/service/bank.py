"""A bank as the stack's site: a day of real calls, a goal that is truly missed in it, and SQL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import yaml

from tests.deploy.exporter import DEPLOY, TOP
from tests.oracle import adapters, data_dir
from tests.oracle.sql import Expected, Oracle, Value

CALLS: Final = data_dir() / "anonymous_bank" / "calls.tsv"
ADAPTER: Final = "tests/oracle/adapters.py:anonymous_bank"
ZONE: Final = "Asia/Jerusalem"
DAY: Final = datetime.fromisoformat("1999-02-01T00:00+02:00")
WINDOWS: Final = ("15m", "1h", "8h", "today")

# Whom it is about. The lead's route in alertmanager.yml is that of team `billing`.
AGENT: Final = "DORIT"
NAME: Final = "Kestrel"
TEAM: Final = "team-1"
WINDOW: Final = "1h"
TARGET_S: Final = 330
CLEAR_S: Final = 300
SAMPLES: Final = 5
FOR: Final = timedelta(minutes=15)
GOAL: Final = {
    "name": "agent-handle-time",
    "purpose": "Nobody is left alone with a run of hard calls.",
    "kpi": "handle_time",
    "scope": "agent",
    "window": WINDOW,
    "target": f"<= {TARGET_S}s",
    "clear": f"<= {CLEAR_S}s",
    "min_samples": SAMPLES,
    "for": f"{FOR.seconds // 60}m",
    "severity": "warning",
    "what_to_do": "Ask what these calls have in common, and who could take some of them.",
}


def at(clock: str) -> datetime:
    """An instant of the day."""
    hours, minutes = map(int, clock.split(":"))
    return DAY + timedelta(hours=hours, minutes=minutes)


def write_day(folder: Path) -> Path:
    """The day's rows alone, in a file of their own: each replay reads all that it is given."""
    header, *rows = CALLS.read_text("utf-8").splitlines(keepends=True)
    column = header.split("\t").index("date")
    of_day = [row for row in rows if row.split("\t")[column] == f"{DAY:%y%m%d}"]
    file = folder / CALLS.name
    file.write_text("".join([header, *of_day]))
    return file


def write_site(folder: Path) -> dict[str, str]:
    """The shipped settings for this data and a replay, with goal and roster; its topics."""
    settings = yaml.safe_load((DEPLOY / "kpi-stream.yaml").read_text("utf-8"))
    named = ("interactions", "surveys", "agent_facts", "kpis", "alerts", "dead_letters")
    topics = {name: f"bank-{name.replace('_', '-')}" for name in named}
    settings |= {"app": "bank", "time": "replay", "timezone": ZONE, "windows": list(WINDOWS)}
    settings |= {"topics": topics, "queues": {}}
    roster = {"agents": {AGENT: {"name": NAME, "team": TEAM}}}
    written = {
        "kpi-stream.yaml": settings,
        "goals.yaml": {"goals": [GOAL]},
        "roster.yaml": roster,
    }
    folder.mkdir()
    for name, fields in written.items():
        (folder / name).write_text(yaml.safe_dump(fields))
    return topics


def replaying(
    folder: Path, broker: str, begin: datetime, end: datetime, speed: str
) -> subprocess.Popen[str]:
    """`kpi-stream replay` of a part of the day, on its way."""
    line = [
        sys.executable,
        "-m",
        "stream",
        "replay",
        str(folder / CALLS.name),
        "--adapter",
        ADAPTER,
    ]
    line += ["--from", begin.isoformat(), "--until", end.isoformat(), "--speed", speed]
    line += ["--config", str(folder)]
    return subprocess.Popen(
        line,
        cwd=TOP,
        env={"PATH": "", "KPI_STREAM_BROKER": broker},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def replayed(process: subprocess.Popen[str]) -> int:
    """How many calls it has sent, at its end."""
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return int(said.split()[1])


class Truth:
    """What SQL over the file says of the day, without any of our code."""

    def __init__(self, file: Path) -> None:
        """`file`: the day's rows."""
        end_ms = at("24:00").timestamp() * 1000
        self.calls = [c for c in adapters.anonymous_bank(file) if c["ended_at"] < end_ms]
        self._oracle = Oracle(self.calls, timezone=ZONE)

    def last_call(self, before: datetime) -> str:
        """The event id of the agent's last one that had ended then."""
        ended = [call for call in self.calls if call["ended_at"] < before.timestamp() * 1000]
        own = [call for call in ended if call.get("agent_id") == AGENT]
        return str(own[-1]["event_id"])

    def handle_time(self, instant: datetime) -> Value:
        """The agent's in the goal's window, in seconds, and of how many calls."""
        figures = self.expected(instant)
        return figures[AGENT, WINDOW]["handle_time"]

    def is_missed(self, instant: datetime) -> bool:
        """Whether the agent's goal is missed then."""
        value, samples = self.handle_time(instant)
        return value is not None and samples >= SAMPLES and value > TARGET_S

    def expected(self, instant: datetime, windows: Sequence[str] = (WINDOW,)) -> Expected:
        """Every agent's figures then."""
        return self._oracle.expected(round(instant.timestamp() * 1000), "agent", windows)
