"""Bugs planted on purpose: each takes one defence out of the production code."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
import pytest
from faust.types import TP

from stream.core.board import Board
from stream.core.engine import Engine
from stream.core.events import Interaction, Survey
from stream.core.rollup import Part, Rollup
from stream.core.rows import RowStore, StoredRows
from stream.core.verdicts import Verdicts
from stream.kafka import rowlane, transactions
from stream.kafka.app import KpiApp
from stream.kafka.blocks import BlockConsumer
from stream.kafka.delivery import Flush, Outgoing, send_batches
from stream.kafka.intake import Intake
from stream.kafka.outputs import Outputs
from stream.kafka.ownership import Ownership
from stream.kafka.partition import PartitionStage
from stream.kafka.recovery import sort_records
from stream.kafka.rowcodec import encode_row_key
from stream.kafka.rowlane import RowLane
from stream.kafka.transactions import ExactlyOnce
from tests.sim.judging import JUDGING

Plant = Callable[[pytest.MonkeyPatch], None]


def offsets_before_rows(patch: pytest.MonkeyPatch) -> None:
    """The offsets are sent before the rows, in a transaction of their own."""
    original: Any = ExactlyOnce._commit

    async def commit(self: ExactlyOnce, writer: Any, flush: Flush) -> None:
        await original(self, writer, replace(flush, rows={}, outputs={}, states={}))
        await original(self, writer, replace(flush, offsets={}))

    patch.setattr(ExactlyOnce, "_commit", commit)


def failed_future_ignored(patch: pytest.MonkeyPatch) -> None:
    """A delivery future that failed is awaited and not looked at."""

    async def send(producer: Any, flush: Flush) -> list[Any]:
        futures: list[Any] = []
        for part in (flush.rows, flush.outputs, flush.states):
            for tp, outgoing in part.items():
                futures += await send_batches(producer, tp, outgoing)
        results = await asyncio.gather(*futures, return_exceptions=True)
        return [result for result in results if not isinstance(result, BaseException)]

    patch.setattr(transactions, "send_all", send)


class LiveRows(dict[TP, list[Outgoing]]):
    """A flush's rows whose ids are looked up when they are sent, not when they were frozen."""

    def __init__(self, rows: Mapping[TP, list[Outgoing]], stage: PartitionStage) -> None:
        super().__init__(rows)
        self._store: RowStore[Any] = stage.engine.rows
        self._places = {
            encode_row_key(self._store.key(row)): row
            for pane in self._store.panes.values()
            for row in pane.rows
        }
        self._lengths = {key: len(self._ids(row)) for key, row in self._places.items()}

    def items(self) -> Any:
        """With the ids of this moment."""
        return [(tp, [self._live(record) for record in rows]) for tp, rows in super().items()]

    def _live(self, record: Outgoing) -> Outgoing:
        row = self._places.get(record.key or b"")
        if row is None or record.value is None:
            return record
        later = self._ids(row)[self._lengths[record.key or b""] :]
        return msgspec.structs.replace(record, value=record.value + later)

    def _ids(self, row: int) -> bytes:
        return self._store.ids(np.array([row]))[0]


def rows_change_while_sent(patch: pytest.MonkeyPatch) -> None:
    """What a flush encodes is not a copy: a block that comes meanwhile is half in it."""
    original = PartitionStage.freeze

    def freeze(self: PartitionStage, now_ms: int | None) -> Flush:
        flush = original(self, now_ms)
        flush.rows = LiveRows(flush.rows, self)
        return flush

    async def deliver(self: ExactlyOnce, flush: Flush) -> None:
        await asyncio.sleep(1)  # as long as encoding in a thread might take
        await delivered(self, flush)

    delivered = ExactlyOnce.deliver
    patch.setattr(PartitionStage, "freeze", freeze)
    patch.setattr(ExactlyOnce, "deliver", deliver)


def restarted_without_reading(patch: pytest.MonkeyPatch) -> None:
    """A producer that starts again does not read whether its flush got through."""

    async def never(*_: object) -> bool:
        return False

    patch.setattr(ExactlyOnce, "_is_committed", never)


def taken_for_committed(patch: pytest.MonkeyPatch) -> None:
    """A flush that failed is taken for one that got through."""

    async def always(*_: object) -> bool:
        return True

    patch.setattr(ExactlyOnce, "_is_committed", always)


def ids_not_restored(patch: pytest.MonkeyPatch) -> None:
    """After a restart repeats are not known."""
    original = RowStore.load

    def load(self: RowStore[Any], stored: StoredRows[Any]) -> Any:
        rows = original(self, stored)
        for minute in self.panes:
            self.ids_in(minute).clear()
        return rows

    patch.setattr(RowStore, "load", load)


def idle_windows_stand_still(patch: pytest.MonkeyPatch) -> None:
    """Windows roll with events only."""
    original = PartitionStage.freeze

    def freeze(self: PartitionStage, now_ms: int | None) -> Flush:
        return original(self, now_ms if self.is_dirty else None)

    patch.setattr(PartitionStage, "freeze", freeze)


def alert_state_not_stored(patch: pytest.MonkeyPatch) -> None:
    """Alerts are announced, and forgotten by a restart."""
    original = Outputs.write_alerts

    def write(self: Outputs, flush: Flush, board: Board[Any]) -> list[Outgoing]:
        original(self, flush, board)
        return []

    patch.setattr(Outputs, "write_alerts", write)


def alert_state_before_its_output(patch: pytest.MonkeyPatch) -> None:
    """State first, in a transaction of its own, then what is announced."""
    original: Any = ExactlyOnce._commit

    async def commit(self: ExactlyOnce, writer: Any, flush: Flush) -> None:
        await original(self, writer, replace(flush, outputs={}))
        if flush.outputs:
            await original(self, writer, replace(flush, rows={}, states={}, offsets={}))

    patch.setattr(ExactlyOnce, "_commit", commit)


def recovered_before_fencing(patch: pytest.MonkeyPatch) -> None:
    """The changelog is read while whoever wrote before may still write."""
    original = RowLane.recover

    async def nothing(_: int) -> None:
        pass

    async def recover(self: RowLane, number: int) -> Any:
        read: dict[int, int] = {}
        blind = copy.copy(self)
        blind.delivery = cast(Any, SimpleNamespace(open=nothing, resume=read.__setitem__))
        recovered = await original(blind, number)
        await self.delivery.open(number)
        self.delivery.resume(number, read[number])
        return recovered

    patch.setattr(RowLane, "recover", recover)


def fetched_taken_for_applied(patch: pytest.MonkeyPatch) -> None:
    """Offsets are committed of what was fetched, applied or not."""
    original = Ownership.apply

    async def apply(self: Ownership, topic: str, number: int, block: Any) -> None:
        await original(self, topic, number, block)
        owned = self.of(topic, number)
        if owned is not None and owned.lane.name == "rows":
            owned.stage.included[topic] = self._inputs().delivered[TP(topic, number)]

    patch.setattr(Ownership, "apply", apply)


def dropped_block_not_read_again(patch: pytest.MonkeyPatch) -> None:
    """What a rebalance kept from being handed on is gone: recovery goes on from where it was."""
    original: Any = BlockConsumer._go_on_from

    async def go_on(self: Any, offsets: Mapping[TP, int | None]) -> None:
        kept = {tp: at for tp, at in offsets.items() if not self.delivered.get(tp)}
        await original(self, kept)

    patch.setattr(BlockConsumer, "_go_on_from", go_on)


def flow_goes_on_where_nothing_was_assigned(patch: pytest.MonkeyPatch) -> None:
    """A worker without partitions that is given some fetches while it seeks, as Faust lets it."""
    original: Any = KpiApp._on_revoked

    async def revoked(self: Any, *places: Any) -> None:
        with pytest.MonkeyPatch.context() as flowing:
            flowing.setattr(self.consumer, "stop_flow", lambda: None)
            await original(self, *places)

    patch.setattr(KpiApp, "_on_revoked", revoked)


def checkpoint_lacks_the_last_offset(patch: pytest.MonkeyPatch) -> None:
    """The checkpoint is of before the last record."""
    original = PartitionStage._checkpoint

    def checkpoint(self: PartitionStage) -> bytes:
        included = self.included
        self.included = {topic: max(0, offset - 1) for topic, offset in included.items()}
        try:
            return original(self)
        finally:
            self.included = included

    patch.setattr(PartitionStage, "_checkpoint", checkpoint)


def evicted_rows_stay_stored(patch: pytest.MonkeyPatch) -> None:
    """Rows are forgotten, and no tombstone says so."""
    original = Engine.take_rows

    def take(self: Engine) -> Any:
        return original(self)[0], []

    patch.setattr(Engine, "take_rows", take)


def now_goes_back(patch: pytest.MonkeyPatch) -> None:
    """A restart goes by its own clock alone."""

    def sort(latest: dict[bytes, bytes]) -> Any:
        stored = sort_records(latest)
        if stored.checkpoint is not None:
            stored.checkpoint.now_ms = 0
        return stored

    patch.setattr(rowlane, "sort_records", sort)


def misplaced_counts_twice(patch: pytest.MonkeyPatch) -> None:
    """A record on the wrong partition is moved, and counted there, too."""
    original: Any = Intake._is_ours

    def is_ours(self: Intake, topic: str, kind: Any, event: Any, record: Any) -> bool:
        original(self, topic, kind, event, record)
        return isinstance(event, Interaction | Survey)

    patch.setattr(Intake, "_is_ours", is_ours)


def nobody_is_fenced(patch: pytest.MonkeyPatch) -> None:
    """Every producer has a transactional id of its own."""
    original: Any = ExactlyOnce._start
    numbers = itertools.count()

    async def start(self: ExactlyOnce, partition: int) -> Any:
        own = copy.copy(self)
        own._stage = f"{self._stage}-{next(numbers)}"
        return await original(own, partition)

    patch.setattr(ExactlyOnce, "_start", start)


def flushed_after_a_failure(patch: pytest.MonkeyPatch) -> None:
    """A last flush goes out though the one before it was lost (found by the simulation).

    It was lost since its second try took the state's own past for another worker's flush.
    """
    original: Any = Ownership._last_flush

    async def last(self: Ownership, owned: Any) -> None:
        owned.failed = False
        await original(self, owned)

    patch.setattr(Ownership, "_last_flush", last)
    patch.setattr(ExactlyOnce, "resume", lambda *_: None)


def dead_letters_repeated(patch: pytest.MonkeyPatch) -> None:
    """Refused records stay in line once they were written."""
    original = Intake.write

    def write(self: Intake, flush: Flush) -> None:
        dead = self._dead
        original(self, flush)
        self._dead = dead[:1]

    patch.setattr(Intake, "write", write)


def shares_add_up(patch: pytest.MonkeyPatch) -> None:
    """A partition's new sum of a minute is added to the one before."""
    original: Any = Rollup._replace

    def put(self: Rollup, source: int, places: list[Any], sums: Any) -> None:
        parts = [Part(source, *place.scope) for place in places]
        minutes = [np.array([place.minute]) for place in places]
        dims = [self.rows.numbers([part]) for part in parts]
        rows = [self.rows.rows_of(*place)[0] for place in zip(minutes, dims, strict=True)]
        original(self, source, places, sums + self.rows.measures(np.array(rows)))

    patch.setattr(Rollup, "_replace", put)


def tallies_of_the_past(patch: pytest.MonkeyPatch) -> None:
    """A partition tells the tally of its agents as it was when it first had one."""
    original: Any = Verdicts.tallies
    first: WeakKeyDictionary[Verdicts, Any] = WeakKeyDictionary()

    def tallies(self: Verdicts) -> Any:
        found = original(self)
        return first.setdefault(self, found) if found else found

    patch.setattr(Verdicts, "tallies", tallies)


MUTANTS: Final[tuple[Plant, ...]] = (
    offsets_before_rows,
    failed_future_ignored,
    rows_change_while_sent,
    restarted_without_reading,
    taken_for_committed,
    ids_not_restored,
    idle_windows_stand_still,
    alert_state_not_stored,
    alert_state_before_its_output,
    recovered_before_fencing,
    fetched_taken_for_applied,
    dropped_block_not_read_again,
    flow_goes_on_where_nothing_was_assigned,
    checkpoint_lacks_the_last_offset,
    evicted_rows_stay_stored,
    now_goes_back,
    misplaced_counts_twice,
    nobody_is_fenced,
    flushed_after_a_failure,
    dead_letters_repeated,
    shares_add_up,
    tallies_of_the_past,
    *JUDGING,
)
