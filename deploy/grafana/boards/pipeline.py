"""Our own board: are workers alive, how far behind, what do they refuse, and are leads told."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard, stat

from deploy.grafana.boards.curves import Chart
from deploy.grafana.boards.frame import board
from deploy.grafana.boards.notifications import CHARTS as _NOTIFICATIONS
from deploy.grafana.boards.notifications import outcome
from deploy.grafana.boards.panels import health

_RATE: Final = "[$__rate_interval]"


_FLOW: Final = (
    Chart(
        title="Events counted",
        unit="cps",
        description="Events that entered the figures, per second.",
        lines={"{{kind}}": f"sum by (kind) (rate(kpi_stream_events_total{_RATE}))"},
    ),
    Chart(
        title="Records behind",
        unit="none",
        description="Records that stand in Kafka and are not counted yet.",
        lines={"{{topic}}": "sum by (topic) (max by (topic, partition) (kpi_stream_lag_records))"},
    ),
    Chart(
        title="Refused",
        unit="none",
        description=(
            "Records that are no valid events (malformed, version, invalid), or came too late or "
            "too early. Those copied to the topic of dead letters say why in their headers."
        ),
        lines={
            "{{reason}}": f"sum by (reason) (increase(kpi_stream_refused_total{_RATE}))",
            "{{reason}}, to dead letters": (
                f"sum by (reason) (increase(kpi_stream_dead_letters_total{_RATE}))"
            ),
        },
    ),
    Chart(
        title="Repeats and strays",
        unit="none",
        description=(
            "Repeats were counted before and are not counted again. Strays lay on a wrong "
            "partition and were moved: a producer hashes keys its own way, which costs speed only."
        ),
        lines={
            "repeats": f"sum(increase(kpi_stream_duplicates_total{_RATE}))",
            "strays": f"sum(increase(kpi_stream_misplaced_total{_RATE}))",
        },
    ),
)
_WORK: Final = (
    Chart(
        title="Commit age",
        unit="s",
        description="Since the last commit of each stage, or since there was nothing to commit.",
        lines={"{{stage}}": "max by (stage) (kpi_stream_commit_age_seconds)"},
    ),
    Chart(
        title="Time of a flush",
        unit="s",
        description="From freezing a partition's state to its committed offsets.",
        lines={
            f"{share:.0%} within": (
                f"histogram_quantile({share}, "
                f"sum by (le) (rate(kpi_stream_flush_seconds_bucket{_RATE})))"
            )
            for share in (0.5, 0.99)
        },
    ),
    Chart(
        title="Recovery",
        unit="s",
        description="How long each worker's last recovery took, and one that is under way.",
        lines={
            "{{instance}}, last": "max by (instance) (kpi_stream_recovery_seconds)",
            "{{instance}}, under way": "max by (instance) (kpi_stream_recovering_seconds)",
        },
    ),
    Chart(
        title="Rows held",
        unit="none",
        description="What memory goes to: one row per minute and combination of agent, queue, …",
        lines={"{{instance}}": "sum by (instance) (kpi_stream_rows)"},
    ),
    Chart(
        title="Alerts",
        unit="none",
        description="Changes of the alerts on goals.",
        lines={"{{state}}": f"sum by (state) (increase(kpi_stream_alerts_total{_RATE}))"},
    ),
    Chart(
        title="Clocks against Prometheus",
        unit="s",
        description="How far a worker's clock is ahead; windows end by the worker's clock.",
        lines={
            "{{instance}}": (
                "max by (instance) (kpi_stream_time_seconds - timestamp(kpi_stream_time_seconds))"
            )
        },
    ),
)


def liveness() -> list[stat.Panel]:
    """Three numbers by which one knows whether the figures are of this moment."""
    return [
        health(
            "Partitions not counted live",
            'max(kpi_stream_partitions) - (sum(kpi_stream_partition_ready{stage="rows"}) '
            "or vector(0))",
            "none",
            {1: "red"},
            "Partitions that no worker owns, or whose worker still catches up. Their agents' "
            "figures are missing, and those of teams and queues are not complete.",
        ),
        health(
            "Records behind",
            "sum(max by (topic, partition) (kpi_stream_lag_records))",
            "none",
            {1_000: "orange", 100_000: "red"},
            "Records that stand in Kafka and are not counted yet.",
        ),
        health(
            "Parts without news",
            "max(kpi_stream_stale_parts)",
            "none",
            {1: "red"},
            "Partitions that have said nothing for ten seconds: teams' and queues' figures include "
            "them as they were, and nobody is judged.",
        ),
    ]


def pipeline() -> dashboard.Dashboard:
    """All that workers and the notifier say about themselves."""
    made = board(
        "pipeline",
        "Pipeline",
        "The workers themselves: lag, what is refused, commits, recovery; and the notifier: who is "
        "told. What each alert on them means, and what to do, is in deploy/RUNBOOK.md.",
        (),
    )
    made.refresh("10s").time("now-1h", "now")
    for panel in (*liveness(), *_totals()):
        made.with_panel(panel.span(4).height(4))
    for drawn in (*_FLOW, *_WORK):
        made.with_panel(drawn.panel().span(12).height(8))
    made.with_row(dashboard.Row("Notifications"))
    for panel in outcome():
        made.with_panel(panel.span(6).height(4))
    for drawn in _NOTIFICATIONS:
        made.with_panel(drawn.panel().span(12).height(8))
    return made


def _totals() -> list[stat.Panel]:
    return [
        health(
            "Slowest commit",
            "max(kpi_stream_commit_age_seconds)",
            "s",
            {10: "orange", 60: "red"},
            "The longest time since a commit, or since there was nothing to commit.",
        ),
        health(
            "Dead letters, 1h",
            "sum(increase(kpi_stream_dead_letters_total[1h]))",
            "none",
            {1: "orange"},
            "Records copied to the topic of dead letters in the last hour.",
        ),
        health(
            "Late, 1h",
            'sum(increase(kpi_stream_refused_total{reason="late"}[1h]))',
            "none",
            {1: "orange"},
            "Events older than the longest window plus an hour.",
        ),
    ]
