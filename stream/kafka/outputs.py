"""What a board has to say to the world: readings and alert transitions, into a flush."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from faust.types import TP

from stream.core.board import Board
from stream.kafka.codec import (
    ReadingCodec,
    alert_topic_key,
    encode_alert_key,
    encode_alert_state,
    encode_announcement,
    kpi_key,
)
from stream.kafka.delivery import Flush, Outgoing
from stream.kafka.site import Site
from stream.kafka.topology import partition_of


class Outputs:
    """Writes one board's readings and transitions. `revision` counts flushes with readings."""

    def __init__(self, site: Site) -> None:
        """Nothing was written yet."""
        self.revision = 0
        self._site = site
        self._readings = ReadingCodec(site.rules.thresholds)

    def write_alerts(self, flush: Flush, board: Board[Any]) -> list[Outgoing]:
        """The transitions, into the flush; returns the alert states to be stored."""
        announcements, states = board.take_alerts()
        topic = self._site.topology.alerts
        records = [
            (alert_topic_key(a), encode_announcement(a, self._site.leads)) for a in announcements
        ]
        self._put(flush, topic, records)
        for announcement in announcements:
            self._site.telemetry.alerts.labels(state=announcement.transition.change).inc()
        return [
            Outgoing(encode_alert_key(key), None if state is None else encode_alert_state(state))
            for key, state in states.items()
        ]

    def write_readings(self, flush: Flush, board: Board[Any], origin: Mapping[str, Any]) -> bool:
        """The readings that are due, into the flush; whether there were any.

        `origin`: the fields that say what input they include.
        """
        readings, gone = board.take_readings()
        if readings:
            self.revision += 1
        records = [(kpi_key(r), self._readings.encode(r, self.revision, origin)) for r in readings]
        gone_first = [*((kpi_key(key), None) for key in gone), *records]
        self._put(flush, self._site.topology.kpis, gone_first)
        self._site.telemetry.readings.inc(len(readings))
        return bool(readings or gone)

    def _put(self, flush: Flush, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        partitions = self._site.topology.partitions_of(topic)
        for key, value in records:
            place = TP(topic, partition_of(key, partitions))
            flush.outputs.setdefault(place, []).append(Outgoing(key, value))
