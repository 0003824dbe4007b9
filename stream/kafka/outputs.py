"""What a stage writes whatever it counts: readings, alert transitions, and its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from faust.types import TP

from stream.core.board import Board
from stream.kafka.codec import (
    CHECKPOINT_FORMAT,
    CHECKPOINT_KEY,
    Checkpoint,
    ReadingCodec,
    alert_topic_key,
    encode_alert_key,
    encode_alert_state,
    encode_announcement,
    encode_checkpoint,
    kpi_key,
)
from stream.kafka.delivery import Flush, Outgoing
from stream.kafka.partitioner import partitions_of
from stream.kafka.site import Site


class Outputs:
    """One stage's writing. `revision` counts flushes with readings."""

    def __init__(self, site: Site, number: int, changelog: str) -> None:
        """Nothing was written yet."""
        self.revision = 0
        self._site = site
        self._changelog = TP(changelog, number)
        self._writer = site.new_name()
        self._sequence = 0
        self._readings = ReadingCodec(site.rules.thresholds)

    def begin(self) -> Flush:
        """The next flush, empty."""
        self._sequence += 1
        return Flush(self._changelog.partition, self._writer, self._sequence)

    def commit(
        self,
        flush: Flush,
        included: Mapping[str, int],
        rows: list[Outgoing],
        states: Sequence[Outgoing],
        checkpoint: bytes,
    ) -> None:
        """What makes a flush one that counts: rows, states, and up to where they go."""
        flush.rows[self._changelog] = rows
        flush.states[self._changelog] = [*states, Outgoing(CHECKPOINT_KEY, checkpoint)]
        number = self._changelog.partition
        flush.offsets = {TP(topic, number): offset for topic, offset in included.items()}

    def checkpoint(
        self, board: Board[Any], included: Mapping[str, int], topics: Iterable[str], **own: Any
    ) -> bytes:
        """The checkpoint of the flush under way; `own`: the fields of this kind of stage."""
        topology = self._site.topology
        return encode_checkpoint(
            Checkpoint(
                format=CHECKPOINT_FORMAT,
                writer=self._writer,
                sequence=self._sequence,
                now_ms=board.now_ms or 0,
                revision=self.revision,
                offsets=dict(included),
                begun_ms=board.verdicts.begun_ms,
                topic_ids=topology.ids_of(topics),
                partitions=topology.partitions,
                kept_from_minute=board.kept_from,
                **own,
            )
        )

    def write_alerts(self, flush: Flush, board: Board[Any]) -> list[Outgoing]:
        """The transitions, into the flush; returns the alert states to be stored."""
        announcements, states = board.take_alerts()
        topic = self._site.topology.alerts
        app, leads = self._site.settings.app, self._site.leads
        records = [(alert_topic_key(a), encode_announcement(a, app, leads)) for a in announcements]
        self._put(flush, topic, records)
        for announcement in announcements:
            self._site.telemetry.alerts.labels(state=announcement.transition.change).inc()
        return [
            Outgoing(encode_alert_key(key), None if state is None else encode_alert_state(state))
            for key, state in states.items()
        ]

    def write_readings(
        self, flush: Flush, board: Board[Any], origin_of: Callable[[], Mapping[str, Any]]
    ) -> bool:
        """The readings that are due, into the flush; whether there were any.

        `origin_of`, asked where there are: the fields that say what input they include.
        """
        readings, gone = board.take_readings()
        records: list[tuple[bytes, bytes]] = []
        if readings:
            self.revision += 1
            origin = origin_of()
            encode = self._readings.encode
            records = [(kpi_key(r), encode(r, self.revision, origin)) for r in readings]
        gone_first = [*((kpi_key(key), None) for key in gone), *records]
        self._put(flush, self._site.topology.kpis, gone_first)
        self._site.telemetry.readings.inc(len(readings))
        return bool(readings or gone)

    def _put(self, flush: Flush, topic: str, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        numbers = partitions_of(
            [key for key, _ in records], self._site.topology.partitions_of(topic)
        )
        found: dict[int, list[Outgoing]] = {}
        for number, (key, value) in zip(numbers, records, strict=True):
            found.setdefault(number, []).append(Outgoing(key, value))
        for number, outgoing in found.items():
            flush.outputs.setdefault(TP(topic, number), []).extend(outgoing)
