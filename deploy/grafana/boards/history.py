"""Recording rules: what curves and comparisons with last week are drawn from."""

from __future__ import annotations

from typing import Final

import yaml

from deploy.grafana.boards.promql import RECORDED, SAMPLES, recorded
from stream.core.kpis import CATALOGUE

_HEAD: Final = """\
# Written by `make boards` from the KPI catalogue; edits are lost.
#
# Gauges of the scopes that are few (agents' are not), once a minute and without the worker's name:
# a partition that moves to another worker leaves no seam, and a week of it is cheap to keep and
# to ask for. Prometheus has to keep more than a week for the comparison with last week (by default
# it keeps 15 days).
"""


def history() -> str:
    """The rule file."""
    kinds = "|".join(RECORDED)
    rules = [
        {
            "record": recorded(metric),
            "expr": f'max by ({labels}) ({metric}{{scope=~"{kinds}"}})',
        }
        for metric, labels in _gauges().items()
    ]
    groups = [{"name": "kpi-stream-history", "interval": "1m", "rules": rules}]
    return _HEAD + yaml.safe_dump({"groups": groups}, sort_keys=False, width=100)


def _gauges() -> dict[str, str]:
    """Each metric with the labels that are kept."""
    place = "scope, id, team, window"
    return {**{kpi.metric: place for kpi in CATALOGUE.values()}, SAMPLES: f"{place}, kpi"}
