"""The boards' questions to Prometheus, as text.

Series of several workers are joined by `max by`, so that a partition that moves from one worker to
another leaves no gap and is not there twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stream.core.kpis import Kpi, ScopeKind

PLACE: Final = "scope, id, window"
WEEK_AGO: Final = " offset 1w"
# Kinds of scopes that are few: their gauges are recorded each minute, for curves and comparisons.
RECORDED: Final[tuple[ScopeKind, ...]] = ("team", "queue", "channel", "campaign", "site")
SAMPLES: Final = "kpi_samples"
VERDICTS: Final = ("met", "near", "unproven", "missed", "free")


@dataclass(frozen=True, slots=True)
class Where:
    """Which scopes a panel is about: one id, or all that other labels select."""

    kind: ScopeKind
    others: str
    window: str = "$window"

    @property
    def labels(self) -> str:
        """The matchers, joined."""
        return f'scope="{self.kind}",{self.others},window="{self.window}"'

    @property
    def is_recorded(self) -> bool:
        """Whether there is a recorded history."""
        return self.kind in RECORDED


def one(kind: ScopeKind, window: str = "$window") -> Where:
    """The scope that the variable of its kind's name says."""
    return Where(kind, f'id="${kind}"', window)


def recorded(metric: str) -> str:
    """The name under which a gauge is recorded, by Prometheus's convention level:metric:join."""
    return f"scope:{metric}:max"


def gauge(metric: str, where: Where, more: str = "", offset: str = "") -> str:
    """A gauge as it is now, or was a while ago."""
    return f"max by ({PLACE}) ({metric}{{{more}{where.labels}}}{offset})"


def value(kpi: Kpi, where: Where, offset: str = "") -> str:
    """A KPI with its samples as the label `n`: no figure is shown without them."""
    if offset and where.is_recorded:
        figure = f"{recorded(kpi.metric)}{{{where.labels}}}{offset}"
        samples = f'{recorded(SAMPLES)}{{kpi="{kpi.name}",{where.labels}}}{offset}'
    else:
        figure = gauge(kpi.metric, where, offset=offset)
        samples = gauge(SAMPLES, where, f'kpi="{kpi.name}",', offset)
    return f'{figure} * on (id) group_left (n) count_values by (id) ("n", {samples})'


def judged(kpi: Kpi, where: Where) -> dict[str, str]:
    """The KPI by the worst verdict of the goals on it; each scope is in one of these.

    `near` is met within the amber band, `free` has no goal on this window, or no verdict yet.
    """
    shown = value(kpi, where)
    state = gauge("kpi_goal_state", where, f'kpi="{kpi.name}",')
    near = " or ".join(
        f'max by ({PLACE}, goal) (kpi_goal_warn{{kpi="{kpi.name}",bound="{bound}",{where.labels}}})'
        f" {sign} on ({PLACE}) group_left () {gauge(kpi.metric, where)}"
        for bound, sign in (("min", ">"), ("max", "<"))
    )
    met = f"{shown} and on ({PLACE}) ({state} == 1)"
    return {
        "met": f"{met} unless on ({PLACE}) ({near})",
        "near": f"{met} and on ({PLACE}) ({near})",
        "unproven": f"{shown} and on ({PLACE}) ({state} == 2)",
        "missed": f"{shown} and on ({PLACE}) ({state} == 3)",
        "free": f"{shown} unless on ({PLACE}) ({state} > 0)",
    }


def target(kpi: Kpi, where: Where, bound: str) -> str:
    """The strictest target on a KPI: the least (`min`) or the most (`max`) that is good."""
    join = "max" if bound == "min" else "min"
    labels = f'kpi="{kpi.name}",bound="{bound}",{where.labels}'
    return f"{join} by ({PLACE}) (kpi_goal_target{{{labels}}})"


def curve(metric: str, where: Where, more: str = "", offset: str = "") -> str:
    """A gauge over time, from its recorded history where there is one."""
    if where.is_recorded:
        return f"{recorded(metric)}{{{more}{where.labels}}}{offset}"
    return gauge(metric, where, more, offset)


def firing_for_s(severity: str, *selections: str) -> str:
    """For how long alerts of a severity have been firing, the longest first."""
    metric = "kpi_alert_fired_timestamp_seconds"
    found = " or ".join(f'{metric}{{severity="{severity}",{labels}}}' for labels in selections)
    lasted = named(f"time() - max by (goal, scope, id) ({found})", found)
    return f"sort_desc({lasted})"


def named(expression: str, everyone: str) -> str:
    """With who it is as the label `name`: an agent's in the roster, else the id.

    `everyone`: series of all whom it may be about. The notifier serves the roster; of two
    notifiers, and while a name changes, one entry counts.
    """
    entries = "topk by (agent) (1, kpi_stream_roster_info)"
    of_agents = f'label_replace({entries}, "scope", "agent", "agent", ".+")'
    names = f'label_replace({of_agents}, "id", "$1", "agent", "(.+)")'
    ids = f'label_replace(group by (scope, id) ({everyone}), "name", "$1", "id", "(.+)")'
    who = f"{names} or on (scope, id) {ids}"
    return f"({expression}) * on (scope, id) group_left (name) ({who})"


def in_site(expression: str) -> str:
    """Only teams that have somebody at the site."""
    teams = 'group by (team) (kpi_agent_info{site="$site"})'
    return f'{expression} and on (id) label_replace({teams}, "id", "$1", "team", "(.+)")'
