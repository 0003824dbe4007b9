"""The notifier's metrics about itself, and who is who for walls to join on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream.notify.roster import Roster

OUTCOMES: Final = ("sent", "failed")
REFUSALS: Final = ("alert", "roster")


class Telemetry:
    """One notifier's metrics, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry, receivers: Iterable[str]) -> None:
        """Registers all of them, and those by receiver at 0."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # as the worker
        r = registry
        self.notifications = Counter(
            "kpi_stream_notifications",
            "Messages to a receiver, by what became of them after all tries",
            ["receiver", "outcome"],
            registry=r,
        )
        self.retries = Counter(
            "kpi_stream_notification_retries", "Tries after the first", ["receiver"], registry=r
        )
        self.waiting = Gauge(
            "kpi_stream_notifications_waiting",
            "Alerts of which a receiver does not know yet what there is to know",
            ["receiver"],
            registry=r,
        )
        self.firing = Gauge("kpi_stream_notify_firing", "Alerts that fire", registry=r)
        self.unaddressed = Gauge(
            "kpi_stream_notify_unaddressed", "Alerts that no lead's address is for", registry=r
        )
        self.lag = Gauge("kpi_stream_notify_lag_records", "Alert records not yet read", registry=r)
        self.refused = Counter(
            "kpi_stream_notify_refused",
            "Records that are not what they should be",
            ["kind"],
            registry=r,
        )
        self.roster_faulty = Gauge(
            "kpi_stream_roster_faulty",
            "1 while roster.yaml has faults and the roster before them is in use",
            registry=r,
        )
        self._start_at_zero(receivers)

    def _start_at_zero(self, receivers: Iterable[str]) -> None:
        for receiver in receivers:
            self.retries.labels(receiver=receiver)
            self.waiting.labels(receiver=receiver)
            for outcome in OUTCOMES:
                self.notifications.labels(receiver=receiver, outcome=outcome)
        for kind in REFUSALS:
            self.refused.labels(kind=kind)


class RosterInfo(Collector):
    """`kpi_stream_roster_info`: 1 for each agent, from the roster as it is at the scrape."""

    def __init__(self, roster: Callable[[], Roster]) -> None:
        """`roster` is asked at every scrape."""
        self._roster = roster

    def collect(self) -> Iterable[Metric]:
        """One sample per agent; what is not known is an empty label."""
        info = GaugeMetricFamily(
            "kpi_stream_roster_info",
            "Who an agent is, to be joined on",
            labels=["agent", "name", "team", "site"],
        )
        for agent, entry in self._roster():
            info.add_metric([agent, entry.name or agent, entry.team or "", entry.site or ""], 1)
        yield info
