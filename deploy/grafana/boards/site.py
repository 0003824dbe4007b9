"""The board of one site: every KPI, its teams, what fires."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.boards.curves import listing, trend
from deploy.grafana.boards.frame import board, variable
from deploy.grafana.boards.panels import DESK, alerts, beside, tile
from deploy.grafana.boards.promql import Where, one
from deploy.grafana.boards.wall import HEADLINES
from stream.core.kpis import CATALOGUE, kpis_of

_PER_LINE: Final = 6


def site() -> dashboard.Dashboard:
    """All KPIs of a site, the teams that have somebody there, and what fires."""
    made = board(
        "site",
        "Site",
        "One site: all KPIs, the teams that have somebody there, and what fires. Contacts count "
        "for the site that their event names.",
        (variable("site"), variable("window", "1h")),
    )
    made.refresh("30s").time("now/d", "now")
    own, headlines = one("site"), [CATALOGUE[name] for name in HEADLINES]
    for kpi in headlines:
        made.with_panel(tile(kpi, own).span(6).height(5))
    for kpi in headlines:
        made.with_panel(beside(kpi, own).span(6).height(4))
    teams = Where("team", 'id!=""')
    title = "Teams with somebody at $site, $window"
    made.with_panel(listing(title, headlines, teams, at_site=True).span(16).height(10))
    whose = ('scope="site",id="$site"',)
    made.with_panel(alerts("The site's alerts", whose, DESK).span(8).height(10))
    for kpi in headlines:
        made.with_panel(trend(kpi, {"$site": own}).span(12).height(9))
    others = dashboard.Row("All other figures").collapsed(True)
    for kpi in kpis_of("site"):
        if kpi not in headlines:
            others.with_panel(tile(kpi, own).span(24 // _PER_LINE).height(4))
    return made.with_row(others)
