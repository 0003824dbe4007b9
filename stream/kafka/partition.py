"""One input partition at work: records in, a frozen flush out.

Nothing here waits: a block is decoded and applied in one go, and `freeze` turns what changed
into bytes, so that the next block may change the state while the flush is on its way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import starmap
from typing import Any

from stream.core.engine import Engine
from stream.core.measures import measure_ids
from stream.kafka.clocks import Clocks, clocks_in
from stream.kafka.codec import Checkpoint
from stream.kafka.delivery import Flush, Outgoing
from stream.kafka.intake import Intake
from stream.kafka.outputs import Outputs
from stream.kafka.publication import Publication
from stream.kafka.recovery import StoredState
from stream.kafka.rowcodec import RowDecoder, RowEncoder, encode_row_key, fingerprint
from stream.kafka.site import Site
from stream.kafka.stage import cut_behind


class PartitionStage:
    """The state of one input partition and what is waiting to be written."""

    def __init__(self, site: Site, number: int) -> None:
        """An empty stage; `restore` before the first block."""
        self.site = site
        self.number = number
        self.engine = Engine(site.rules)
        self.included: dict[str, int] = {}
        self.clocks = Clocks((site.topology.interactions, site.topology.surveys))
        topology = site.topology
        self._outputs = Outputs(site, number, topology.changelog)
        self._publication = (
            Publication(topology, number, self.engine) if topology.has_rollups else None
        )
        self._settled = False
        self._layout = measure_ids(site.rules.thresholds)
        self._layout_name = f"{fingerprint(self._layout):08x}"
        self._layouts = {self._layout_name: list(self._layout)}
        self._encoder = RowEncoder(self.engine.rows, self._layout)
        self._since_ms: dict[str, int] = {}
        self._intake = Intake(site, number)
        self.must_commit = False
        self._has_caught_up = False

    @property
    def is_dirty(self) -> bool:
        """Whether a flush has something to commit."""
        return self.must_commit or self.engine.is_dirty

    @property
    def is_full(self) -> bool:
        """Whether so many refused or moved records wait that no more may come in."""
        return self._intake.is_full

    @property
    def is_complete(self) -> bool:
        """Always: it needs nobody else's figures."""
        return True

    def catch_up(self) -> None:
        """What stood in the topics at the start is counted: readings and verdicts begin."""
        self._has_caught_up = True
        self.engine.rows.catch_up()
        self.engine.begin_judging()
        if self.engine.now_ms is not None:
            self.engine.tick(self.engine.now_ms)
            self._publish_at_clock()

    def restore(self, stored: StoredState) -> None:
        """Takes in what the changelog holds."""
        checkpoint = stored.checkpoint
        known = {} if checkpoint is None else checkpoint.layouts
        rows = RowDecoder(
            self._layout, {int(name, 16): layout for name, layout in known.items()}
        ).decode(stored.rows)
        self.engine.restore_rows(rows)
        for key, state in stored.alerts.items():
            self.engine.restore_alert(key, state)
        if checkpoint is not None:
            self._note_changed_layout(checkpoint)
            self._outputs.revision = checkpoint.revision
            self.included = dict(checkpoint.offsets)
            self.clocks.restore(checkpoint.clocks)
            self.engine.note_forgotten(checkpoint.kept_from_minute, checkpoint.now_ms)
            self.engine.tick(checkpoint.now_ms)
            self.engine.verdicts.begun_ms = checkpoint.begun_ms
            if checkpoint.begun_ms > checkpoint.now_ms:  # else its lane goes on at a later instant
                self.engine.verdicts.after_ms = checkpoint.begun_ms
            if self._publication is not None:
                self._publication.restore(checkpoint.told)

    def _note_changed_layout(self, checkpoint: Checkpoint) -> None:
        """A changed threshold is a new measure: what depends on it is complete from now on only."""
        before = checkpoint.layouts[checkpoint.layout]
        began = {name: checkpoint.now_ms for name in self._layout if name not in before}
        self._since_ms = {**checkpoint.since_ms, **began}
        self._layouts = {**checkpoint.layouts, **self._layouts}
        kept = {name: ms for name, ms in self._since_ms.items() if name in self._layout}
        self.engine.note_new_measures(kept)

    def parts(self, block: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """Cut behind a replay's clocks: each rolls windows and tells the rollups."""
        is_replay = self.site.settings.time == "replay"
        return cut_behind(block, clocks_in(block) if is_replay else ())

    def apply(self, topic: str, block: Sequence[Any]) -> None:
        """Counts a block of one input topic; clock records split it where they move now."""
        self.site.telemetry.block_records.observe(len(block))
        start = 0
        for position in clocks_in(block):
            record = block[position]
            self._apply_run(topic, block[start:position])
            self.included[topic] = max(self.included.get(topic, 0), record.offset + 1)
            self._apply_clock(topic, record)
            start = position + 1
        self._apply_run(topic, block[start:] if start else block)
        self.included[topic] = max(self.included.get(topic, 0), block[-1].offset + 1)
        self.must_commit = True

    def freeze(self, now_ms: int | None) -> Flush:
        """Rolls to `now_ms` and takes all that changed.

        None where clock records alone move now: goals are then judged at these only, so that the
        same files give the same alerts, however fast they are replayed.
        """
        engine = self.engine
        if now_ms is not None:
            engine.tick(now_ms)
        flush = self._outputs.begin()
        changed, evicted = engine.take_rows()
        rows = list(starmap(Outgoing, self._encoder.encode(changed)))
        rows += [Outgoing(encode_row_key(key), None) for key in evicted]
        states = self._outputs.write_alerts(flush, engine)
        wrote = self._freeze_readings(flush)
        self._intake.write(flush)
        told = self._freeze_shares(flush, now_ms)
        if rows or states or wrote or told or self.must_commit:
            self._outputs.commit(flush, self.included, rows, states, self._checkpoint())
        self.must_commit = False
        return flush

    def _apply_run(self, topic: str, block: Sequence[Any]) -> None:
        telemetry = self.site.telemetry
        for kind, events, records in self._intake.sort(topic, block):
            unattributed = self.engine.unattributed
            applied = self.engine.apply(events)
            for position, reason in applied.refused:
                self._intake.refuse(topic, records[position], reason, f"event time is too {reason}")
            telemetry.events.labels(kind=kind).inc(applied.applied)
            telemetry.duplicates.labels(kind=kind).inc(applied.duplicates)
            if kind == "survey":
                telemetry.unattributed.inc(self.engine.unattributed - unattributed)

    def _apply_clock(self, topic: str, record: Any) -> None:
        """A replay's clock: now is the least of those of the topics that a replay feeds."""
        if self.site.settings.time != "replay":
            self.site.telemetry.ignored.labels(reason="clock").inc()
            return
        try:
            clock = self.clocks.take(topic, record.value)
        except ValueError as error:
            self._intake.refuse(topic, record, "invalid", str(error))
            return
        if clock is not None:
            self.engine.tick(clock.now)
            self._settled = clock.settle
            if clock.settle:
                self.engine.settle()
            self._publish_at_clock()

    def _publish_at_clock(self) -> None:
        """In a replay, others add up what held at each clock, not what a flush comes upon."""
        may = self._has_caught_up and self.site.settings.time == "replay"
        if self._publication is not None and may:
            self._publication.publish_at_clock(self.included, settled=self._settled)

    def _freeze_readings(self, flush: Flush) -> bool:
        if not self._has_caught_up:  # they would be incomplete, and a fifth of the catching up
            return False
        return self._outputs.write_readings(flush, self.engine, lambda: {"offsets": self.included})

    def _freeze_shares(self, flush: Flush, now_ms: int | None) -> bool:
        """In a replay, clocks have told before."""
        if self._publication is None:
            return False
        if now_ms is not None and self._has_caught_up:
            self._publication.publish_live(self.included)
        told = self._publication.take()
        flush.outputs |= told
        return bool(told)

    def _checkpoint(self) -> bytes:
        return self._outputs.checkpoint(
            self.engine,
            self.included,
            self.site.topology.inputs,
            clocks=dict(self.clocks.by_topic),
            layout=self._layout_name,
            layouts=self._layouts,
            since_ms=self._since_ms,
            told=None if self._publication is None else self._publication.told(),
        )
