"""The intraday board of one queue, beside all others."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.boards.curves import listing, trend
from deploy.grafana.boards.frame import board, variable
from deploy.grafana.boards.panels import DESK, alerts, beside, tile
from deploy.grafana.boards.promql import Where, one
from stream.core.kpis import CATALOGUE

# What callers met; the rest of the catalogue is on the site's board.
SERVICE: Final = tuple(kpi for kpi in CATALOGUE.values() if kpi.service)


def queue() -> dashboard.Dashboard:
    """What callers of a queue met since midnight, and at the same time last week."""
    made = board(
        "queue",
        "Queue, intraday",
        "One queue since midnight, beside the same day last week, and all queues in a list. It "
        "shows finished contacts, not those still waiting.",
        (variable("queue"), variable("window", "15m")),
    )
    made.refresh("30s").time("now/d", "now")
    own = one("queue")
    for kpi in SERVICE:
        made.with_panel(tile(kpi, own).span(24 // len(SERVICE)).height(5))
    for kpi in SERVICE:
        made.with_panel(beside(kpi, own).span(24 // len(SERVICE)).height(4))
    for kpi in SERVICE:
        made.with_panel(trend(kpi, {"$queue": own}).span(12).height(9))
    everyone = Where("queue", 'id!=""')
    made.with_panel(listing("All queues, $window", SERVICE, everyone).span(16).height(10))
    firing = ('scope="queue"',)
    return made.with_panel(alerts("Queues' alerts", firing, DESK).span(8).height(10))
