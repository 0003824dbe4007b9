"""The worker's own metrics, by prometheus-client; every child counts from 0 at the start."""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from stream.core.events import KINDS

UNKNOWN_NAMES_MAX: Final = 100
REFUSALS: Final = ("tombstone", "malformed", "version", "invalid", "late", "early")
IGNORED: Final = ("phase", "clock")
ALERT_CHANGES: Final = (
    "pending",
    "firing",
    "cancelled",
    "resolved",
    "ended_no_data",
    "withdrawn",
)


class Telemetry:
    """One worker's metrics about itself, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers all of them."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per counter that no dashboard asks for
        r = registry
        self.events = Counter("kpi_stream_events", "Events counted", ["kind"], registry=r)
        self.duplicates = Counter(
            "kpi_stream_duplicates", "Repeats of an event that was counted", ["kind"], registry=r
        )
        self.refused = Counter("kpi_stream_refused", "Records refused", ["reason"], registry=r)
        self.ignored = Counter("kpi_stream_ignored", "Records passed over", ["reason"], registry=r)
        self.dead_letters = Counter(
            "kpi_stream_dead_letters", "Records copied to dead letters", ["reason"], registry=r
        )
        self._unknown_names: set[str] = set()
        self.unknown_fields = Counter(
            "kpi_stream_unknown_fields", "Fields this version does not know", ["field"], registry=r
        )
        self.unattributed = Counter(
            "kpi_stream_unattributed", "Surveys that name no agent", registry=r
        )
        self.misplaced = Counter(
            "kpi_stream_misplaced", "Records moved from a wrong partition", registry=r
        )
        self.readings = Counter("kpi_stream_readings", "Readings written", registry=r)
        self.alerts = Counter("kpi_stream_alerts", "Alert transitions", ["state"], registry=r)
        self._add_sizes(registry)
        self._add_partitions(registry)
        self._start_at_zero()

    def _add_sizes(self, r: CollectorRegistry) -> None:
        """What is measured rather than counted."""
        self.block_records = Histogram(
            "kpi_stream_block_records",
            "Records per block",
            buckets=(1, 10, 100, 500, 1_000, 2_000, 5_000, 10_000),
            registry=r,
        )
        self.flush_seconds = Histogram(
            "kpi_stream_flush_seconds",
            "From freezing a partition's state to its committed offsets",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=r,
        )
        self.recovery_seconds = Gauge(
            "kpi_stream_recovery_seconds", "The last recovery of all partitions", registry=r
        )
        self.recovering_seconds = Gauge(
            "kpi_stream_recovering_seconds",
            "For how long the state has been read back by now, 0 when it is not",
            registry=r,
        )
        clock = Gauge("kpi_stream_time_seconds", "The worker's clock, since 1970 UTC", registry=r)
        clock.set_function(time.time)

    def _add_partitions(self, r: CollectorRegistry) -> None:
        """What is said of each partition by its owner, and how many there are to be owned."""
        self.partitions = Gauge(
            "kpi_stream_partitions", "Partitions of the topics, over all workers", registry=r
        )
        self.commit_age = Gauge(
            "kpi_stream_commit_age_seconds",
            "Since the last commit, or since there was nothing to commit",
            ["stage", "partition"],
            registry=r,
        )
        self.lag = Gauge(
            "kpi_stream_lag_records", "Records not yet counted", ["topic", "partition"], registry=r
        )
        self.rows = Gauge("kpi_stream_rows", "Rows held", ["stage", "partition"], registry=r)
        self.ready = Gauge(
            "kpi_stream_partition_ready",
            "1 once a partition caught up",
            ["stage", "partition"],
            registry=r,
        )
        self.stale_parts = Gauge(
            "kpi_stream_stale_parts",
            "Input partitions without news, to the figures of teams, queues and the like",
            ["partition"],
            registry=r,
        )

    def count_unknown_field(self, name: str, count: int) -> None:
        """Counts by name, but only so many: names are the producers' to invent."""
        if name not in self._unknown_names and len(self._unknown_names) >= UNKNOWN_NAMES_MAX:
            name = "(other)"
        self._unknown_names.add(name)
        self.unknown_fields.labels(field=name).inc(count)

    def _start_at_zero(self) -> None:
        for counter, label, names in (
            (self.events, "kind", KINDS),
            (self.duplicates, "kind", KINDS),
            (self.refused, "reason", REFUSALS),
            (self.ignored, "reason", IGNORED),
            (self.dead_letters, "reason", REFUSALS),
            (self.alerts, "state", ALERT_CHANGES),
        ):
            for name in names:
                counter.labels(**{label: name})

    def forget_partitions(self) -> None:
        """Drops what is said by partition: another worker may say it next."""
        for gauge in (self.commit_age, self.lag, self.rows, self.ready, self.stale_parts):
            gauge.clear()
