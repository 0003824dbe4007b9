"""The notifier's metrics about itself, and who is who for walls to join on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream.notify.roster import Roster

REFUSALS: Final = ("alert", "app", "roster")


class Telemetry:
    """One notifier's metrics, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry, receivers: Iterable[str]) -> None:
        """Registers all of them, and those by receiver at 0."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # as the worker
        r = registry
        self.messages = Counter(
            "kpi_stream_notify_messages", "Messages that a receiver took", ["receiver"], registry=r
        )
        self.failures = Counter(
            "kpi_stream_notify_failures",
            "Messages that a receiver did not take, after all tries; they stay due",
            ["receiver"],
            registry=r,
        )
        self.retries = Counter(
            "kpi_stream_notify_retries", "Tries after the first", ["receiver"], registry=r
        )
        self.last_success = Gauge(
            "kpi_stream_notify_last_success_timestamp_seconds",
            "When a receiver last took a message; 0: not since the start",
            ["receiver"],
            registry=r,
        )
        self.waiting = Gauge(
            "kpi_stream_notify_waiting",
            "Alerts of which a receiver does not know yet what there is to know",
            ["receiver"],
            registry=r,
        )
        self._add_own(registry)
        self._start_at_zero(receivers)

    def _add_own(self, registry: CollectorRegistry) -> None:
        """What is not by receiver."""
        self.firing = Gauge("kpi_stream_notify_firing", "Alerts that fire", registry=registry)
        self.unaddressed = Gauge(
            "kpi_stream_notify_unaddressed",
            "Alerts that nobody is told of: no Alertmanager, and no lead's address is for them",
            registry=registry,
        )
        self.lag = Gauge(
            "kpi_stream_notify_lag_records", "Alert records not yet read", registry=registry
        )
        self.heard = Gauge(
            "kpi_stream_notify_heard_timestamp_seconds",
            "When Kafka last answered for all of the alerts' partitions; at first, the start",
            registry=registry,
        )
        self.heard.set_to_current_time()
        self.refused = Counter(
            "kpi_stream_notify_refused",
            "Records that are not what they should be, or alerts of another app",
            ["kind"],
            registry=registry,
        )
        self.roster_faulty = Gauge(
            "kpi_stream_roster_faulty",
            "1 while roster.yaml has faults and the roster before them is in use",
            registry=registry,
        )

    def note_outcome(self, receiver: str, *, taken: bool) -> None:
        """What became of a message."""
        if taken:
            self.messages.labels(receiver=receiver).inc()
            self.last_success.labels(receiver=receiver).set_to_current_time()
        else:
            self.failures.labels(receiver=receiver).inc()

    def _start_at_zero(self, receivers: Iterable[str]) -> None:
        by_receiver = (self.messages, self.failures, self.retries, self.last_success, self.waiting)
        for receiver in receivers:
            for metric in by_receiver:
                metric.labels(receiver=receiver)
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
