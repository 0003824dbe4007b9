"""The notifier's part of the pipeline board: who is told, who is not, and since when."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import stat

from deploy.grafana.boards.curves import Chart
from deploy.grafana.boards.panels import health

_RATE: Final = "[$__rate_interval]"
# As the alert KpiStreamNotifyFailing asks; 0 where a notifier answers and all receivers do.
_OUT_OF_REACH: Final = (
    "count(sum by (job, receiver) (increase(kpi_stream_notify_failures_total[10m])) > 0 "
    "unless on (job, receiver) time() - max by (job, receiver) "
    "(kpi_stream_notify_last_success_timestamp_seconds) < 600) or 0 * max(kpi_stream_notify_firing)"
)

CHARTS: Final = (
    Chart(
        title="Messages",
        unit="none",
        description=(
            "What receivers took; what they did not take after all tries, which stays due; and "
            "tries after the first. Alertmanagers are told again and again while an alert fires."
        ),
        lines={
            "{{receiver}}": (
                f"sum by (receiver) (increase(kpi_stream_notify_messages_total{_RATE}))"
            ),
            "{{receiver}}, not taken": (
                f"sum by (receiver) (increase(kpi_stream_notify_failures_total{_RATE}))"
            ),
            "{{receiver}}, tried again": (
                f"sum by (receiver) (increase(kpi_stream_notify_retries_total{_RATE}))"
            ),
        },
    ),
    Chart(
        title="Since a message was taken",
        unit="s",
        description=(
            "By receiver. A lead who is told directly may have had nothing to be told; of an "
            "Alertmanager it should stay below the setting notify.resend while an alert fires."
        ),
        lines={
            "{{receiver}}": (
                "time() - max by (receiver) (kpi_stream_notify_last_success_timestamp_seconds > 0)"
            )
        },
    ),
    Chart(
        title="Alerts that fire, and who does not know yet",
        unit="none",
        description=(
            "Alerts that fire, and by receiver those of which there is more to tell: they wait for "
            "others of their group, behind their team's, or for a receiver out of reach."
        ),
        lines={
            "firing": "max(kpi_stream_notify_firing)",
            "{{receiver}} does not know": "max by (receiver) (kpi_stream_notify_waiting)",
        },
    ),
    Chart(
        title="Records and roster",
        unit="none",
        description=(
            "Alert records that were not read yet; records that are no alert, of another app, or "
            "no entry of the roster; and 1 while roster.yaml has faults and the one before is used."
        ),
        lines={
            "not read": "max(kpi_stream_notify_lag_records)",
            "refused: {{kind}}": (
                f"sum by (kind) (increase(kpi_stream_notify_refused_total{_RATE}))"
            ),
            "roster faulty": "max(kpi_stream_roster_faulty)",
        },
    ),
)


def outcome() -> list[stat.Panel]:
    """Four numbers by which one knows whether leads are told."""
    panels = [
        health(
            "Receivers out of reach",
            _OUT_OF_REACH,
            "none",
            {1: "red"},
            "Receivers that took nothing for ten minutes, of what there was to tell. See "
            "KpiStreamNotifyFailing in deploy/RUNBOOK.md.",
        ),
        health(
            "Alerts without a receiver",
            "max(kpi_stream_notify_unaddressed)",
            "none",
            {1: "orange"},
            "Alerts that fire or have just ended and that nobody is told of: there is no "
            "Alertmanager, and neither the lead's name nor the team's is in notify.direct.leads, "
            "nor '*'.",
        ),
        health(
            "Alert records not read",
            "max(kpi_stream_notify_lag_records)",
            "none",
            {100: "orange", 10_000: "red"},
            "Records that stand in the alerts topic and that the notifier has not read yet.",
        ),
        health(
            "Notifications not taken, 1h",
            "sum(increase(kpi_stream_notify_failures_total[1h]))",
            "none",
            {1: "orange"},
            "Messages that a receiver did not take after all tries; they stay due.",
        ),
    ]
    return [panel.no_value("no notifier answers") for panel in panels]
