"""The page of one agent: own figures beside the team's and the site's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from deploy.grafana.boards.curves import trend
from deploy.grafana.boards.frame import board, variable
from deploy.grafana.boards.names import TITLES, explained, unit_of
from deploy.grafana.boards.panels import DESK, alerts, beside, figure, now, tile
from deploy.grafana.boards.promql import one, value
from stream.core.kpis import Kpi, kpis_of

# A mean handle time is to be understood before anybody is judged by it, so it does not come first.
FIRST: Final = ("csat", "resolution_rate", "transfer_rate", "handle_time")


def agent() -> dashboard.Dashboard:
    """Every KPI that is given for agents: own value, team, site and trend."""
    made = board(
        "agent",
        "Agent",
        "One agent: own figures beside the team's and the site's, and how they have moved. Few "
        "contacts say little: look at the number in brackets before anything else.",
        (
            variable("agent"),
            variable("agents_name"),
            variable("agents_team"),
            variable("agents_site"),
            variable("window", "today"),
        ),
    )
    made.refresh("30s").time("now/d", "now")
    given = {kpi.name: kpi for kpi in kpis_of("agent")}
    whose = ('scope="agent",id="$agent"',)
    made.with_panel(alerts("Alerts of $agent", whose, DESK).span(24).height(4))
    for name in FIRST:
        for panel in _band(given.pop(name)):
            made.with_panel(panel)
    others = dashboard.Row("All other figures").collapsed(True)
    for kpi in given.values():
        for panel in _band(kpi):
            others.with_panel(panel)
    return made.with_row(others)


def _band(kpi: Kpi) -> Iterator[Builder[Panel]]:
    """A band across the board: own, target and last week, team and site, trend."""
    own, team, site = one("agent"), one("team"), one("site")
    yield tile(kpi, own).span(4).height(7)
    yield beside(kpi, own).span(4).height(7)
    unit, decimals = unit_of(kpi)
    others = figure(f"{TITLES[kpi.name]}: team and site", DESK).description(explained(kpi))
    others.unit(unit).decimals(decimals)
    others.with_target(now(value(kpi, team), "team", "$team ({{n}})"))
    others.with_target(now(value(kpi, site), "site", "{{id}} ({{n}})"))
    yield others.span(4).height(7)
    yield trend(kpi, {"$agent": own, "$team": team, "$site": site}).span(12).height(7)
