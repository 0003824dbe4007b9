"""The wall of one team, to be read from five metres: `?kiosk` hides everything else."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.boards.frame import board, variable
from deploy.grafana.boards.panels import FAR, FAR_LIST, alerts, beside, ranking, tile
from deploy.grafana.boards.pipeline import liveness
from deploy.grafana.boards.promql import Where, one
from stream.core.kpis import CATALOGUE

HEADLINES: Final = ("service_level", "abandon_rate", "handle_time", "csat")
RANKED_BY: Final = CATALOGUE["csat"]


def wall() -> dashboard.Dashboard:
    """Four goals, the team's people, what fires, and whether the figures are live."""
    made = board(
        "wall",
        "Team wall",
        "One team, live: four goals, its people, and what needs somebody now. It shows finished "
        "contacts, not those still waiting. Open it with ?kiosk for a screen on the wall.",
        (variable("site", anywhere=True), variable("team"), variable("window", "1h")),
    )
    made.refresh("5s").time("now-15m", "now")
    team = one("team")
    for name in HEADLINES:
        made.with_panel(tile(CATALOGUE[name], team, FAR).span(6).height(7))
    for name in HEADLINES:
        made.with_panel(beside(CATALOGUE[name], team, FAR_LIST).span(6).height(4))
    members = Where("agent", 'team="$team"')
    title = "Agents of $team by satisfied customers, $window"
    made.with_panel(ranking(title, RANKED_BY, members, FAR_LIST).span(12).height(14))
    # What names no team concerns everybody: a site's alerts, those of a queue that is no team's.
    whose = ('team="$team"', 'team=""')
    made.with_panel(alerts("Alerts firing", whose, FAR_LIST).span(12).height(14))
    for panel in liveness():
        made.with_panel(panel.span(8).height(3))
    return made
