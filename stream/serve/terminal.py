"""The terminal's live table: teams and agents, from the `kpis` and `alerts` topics alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_ALERTS_SHOWN: Final = 5
_HEAD_LINES: Final = 22
_STYLES: Final = {"missed": "bold red", "unproven": "yellow", "met": "green", "no_data": "dim"}
_SEVERITY: Final = ("missed", "unproven", "met", "no_data")
_CHANGES: Final = {"firing": "bold red", "resolved": "bold green", "ended_no_data": "yellow"}

Reading = Mapping[str, Any]


class Board:
    """The last reading of every scope and window, and the latest alerts."""

    def __init__(self, team_window: str, agent_window: str) -> None:
        """Which window the teams' and the agents' figures are taken from."""
        self._windows = {"team": team_window, "agent": agent_window}
        self._readings: dict[tuple[str, str], Reading] = {}
        self._alerts: deque[Mapping[str, Any]] = deque(maxlen=_ALERTS_SHOWN)
        self.as_of = ""

    def take_reading(self, reading: Reading) -> None:
        """Shows a reading, if it is of a window on the board."""
        self.as_of = max(self.as_of, reading["as_of"])
        if self._windows.get(reading["scope"]) == reading["window"]:
            self._readings[reading["scope"], reading["id"]] = reading

    def take_alert(self, alert: Mapping[str, Any]) -> None:
        """Shows a transition that a lead would hear of."""
        if alert["state"] in _CHANGES:
            self._alerts.append(alert)

    def render(self, status: str, height: int) -> RenderableType:
        """The board in at most `height` lines; agents that miss a goal come first."""
        agents = sorted(self._of("agent"), key=_urgency)
        room = max(3, height - _HEAD_LINES)
        return Group(
            Text(status, style="bold"),
            self._table(f"Teams, {self._windows['team']}", self._of("team"), is_team=True),
            self._table(
                f"Agents, {self._windows['agent']} ({min(room, len(agents))} of {len(agents)})",
                agents[:room],
                is_team=False,
            ),
            *(_alert_line(alert) for alert in reversed(self._alerts)),
        )

    def _of(self, scope: str) -> list[Reading]:
        found = [r for (kind, _), r in self._readings.items() if kind == scope]
        return sorted(found, key=lambda r: str(r["id"]))

    def _table(self, title: str, readings: list[Reading], *, is_team: bool) -> Table:
        table = Table(title=title, title_justify="left", expand=False, pad_edge=False)
        table.add_column("team" if is_team else "agent")
        names = ["handled", "handle_time", "csat", "resolution_rate"]
        names += ["service_level", "abandon_rate"] if is_team else []
        for name in names:
            table.add_column(name, justify="right")
        table.add_column("goals")
        for reading in readings:
            cells = (_figure(name, reading["kpis"].get(name)) for name in names)
            table.add_row(str(reading["id"]), *cells, _goals(reading))
        return table


def _urgency(reading: Reading) -> tuple[int, str]:
    verdicts = [goal["verdict"] for goal in reading["goals"].values()]
    worst = min((_SEVERITY.index(verdict) for verdict in verdicts), default=len(_SEVERITY))
    return worst, str(reading["id"])


def _figure(name: str, figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "–"
    value, samples = figure["value"], figure["samples"]
    if name == "handled":
        return str(value)
    if name == "handle_time":
        return f"{int(value) // 60}m{int(value) % 60:02}s"
    return f"{value:.0%} ({samples})"


def _goals(reading: Reading) -> Text:
    text = Text()
    for name, goal in sorted(reading["goals"].items()):
        text.append(f"{name} {goal['verdict']}  ", style=_STYLES[goal["verdict"]])
    return text


def _alert_line(alert: Mapping[str, Any]) -> Text:
    what = f"{alert['at'][11:16]} {alert['state']}: {alert['scope']} {alert['id']}, {alert['goal']}"
    if alert.get("value") is not None:
        what += f" ({alert['value']:.3g}, target {alert['target']}, n = {alert['samples']})"
    return Text(what, style=_CHANGES[alert["state"]])
