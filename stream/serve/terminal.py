"""The terminal's live table: teams and agents, from the `kpis` and `alerts` topics alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stream.core.kpis import CATALOGUE

_ALERTS_SHOWN: Final = 5
_FIXED_LINES: Final = 6  # status, two titles, two headings, one to spare
_AGENT_COLUMNS: Final = {
    "handled": "handled",
    "handle_time": "AHT",
    "csat": "CSAT",
    "resolution_rate": "resolved",
}
_TEAM_COLUMNS: Final = {
    **_AGENT_COLUMNS,
    "service_level": "in time",
    "abandon_rate": "abandoned",
}
_BARE: Final = {"handled", "handle_time"}
_QUIET: Final = {"met", "no_data"}
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
        teams = self._of("team")
        agents = sorted(self._of("agent"), key=_urgency)
        alerts = [_alert_line(alert) for alert in reversed(self._alerts)]
        alerts = alerts[: max(1, height // 8)]
        room = max(1, height - len(teams) - len(alerts) - _FIXED_LINES)
        shown = f"{min(room, len(agents))} of {len(agents)}"
        return Group(
            Text(status, style="bold", no_wrap=True, overflow="ellipsis"),
            _table(f"Teams, {self._windows['team']}", "team", _TEAM_COLUMNS, teams),
            _table(
                f"Agents, {self._windows['agent']} ({shown})",
                *("agent", _AGENT_COLUMNS, agents[:room]),
            ),
            *alerts,
        )

    def _of(self, scope: str) -> list[Reading]:
        found = [r for (kind, _), r in self._readings.items() if kind == scope]
        return sorted(found, key=lambda r: str(r["id"]))


def _table(title: str, who: str, columns: Mapping[str, str], readings: list[Reading]) -> Table:
    """A table that fits 80 columns; a goal is named only where it is not met."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(who, no_wrap=True, style="bold")
    for heading in columns.values():
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("goals", no_wrap=True, overflow="ellipsis")
    for reading in readings:
        cells = (_figure(name, reading["kpis"].get(name)) for name in columns)
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
    return value_text(name, value) if name in _BARE else f"{value_text(name, value)} ({samples})"


def value_text(kpi: str, value: float) -> str:
    """A KPI's value as people say it: minutes and seconds, per cent, points, a count."""
    unit = CATALOGUE[kpi].unit
    if unit == "seconds":
        return f"{int(value) // 60}m{int(value) % 60:02}s"
    if unit == "ratio":
        return f"{value:.0%}"
    return f"{round(value, 2):.12g}"


def bound_text(kpi: str, bound: float) -> str:
    """A target's bound likewise, but whole: one of 2.5 per cent is neither 2 nor 3."""
    if CATALOGUE[kpi].unit == "ratio":
        return f"{bound * 100:g}%"
    return value_text(kpi, bound)


def target_text(kpi: str, target: str) -> str:
    """A KPI's target likewise, such as `<= 6m00s`."""
    sign, _, bound = target.partition(" ")
    return f"{sign} {bound_text(kpi, float(bound))}"


def _goals(reading: Reading) -> Text:
    goals = sorted(reading["goals"].items())
    wanting = [(name, goal["verdict"]) for name, goal in goals if goal["verdict"] not in _QUIET]
    if not wanting:
        met = any(goal["verdict"] == "met" for _, goal in goals)
        return Text("met" if met else "–", style=_STYLES["met" if met else "no_data"])
    return Text("  ").join(Text(f"{n} {v}", style=_STYLES[v]) for n, v in wanting)


def _alert_line(alert: Mapping[str, Any]) -> Text:
    what = f"{alert['at'][11:16]} {alert['state']}: {alert['scope']} {alert['id']}, {alert['goal']}"
    if alert.get("value") is not None:
        target = target_text(alert["kpi"], alert["target"])
        value = value_text(alert["kpi"], alert["value"])
        what += f" ({value}, target {target}, n = {alert['samples']})"
    return Text(what, style=_CHANGES[alert["state"]], no_wrap=True, overflow="ellipsis")
