"""Tells the rollups what a partition adds to the scopes that lie on many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from faust.types import TP

from stream.core.engine import Engine
from stream.core.rollup import Report
from stream.core.rules import Rules
from stream.core.shares import SharePlace
from stream.kafka.delivery import Outgoing
from stream.kafka.rollupcodec import cut_of, encode_report, encode_shares, share_key
from stream.kafka.topology import Topology, partition_of

SHARES_PER_FLUSH_MAX: Final = 10_000
REPORT_EVERY_MS: Final = 1_000


class Publication:
    """One source's shares and reports on their way to the `rollups` topic.

    A report goes to every partition of the scopes, behind its shares and in their transaction;
    so nobody there sees half of a change. Where nothing changed, one a second says so.
    """

    def __init__(self, topology: Topology, number: int, rules: Rules) -> None:
        """The source `number`, which has told nothing yet."""
        self._topology = topology
        self._number = number
        self._cut = cut_of(rules)
        self._sequence = 0
        self._is_complete = False
        self._reported_ms: dict[int, int] = {}
        self._waiting: dict[TP, list[Outgoing]] = {}

    @property
    def state(self) -> dict[str, int]:
        """What the checkpoint keeps: the cut, the last sequence, whether all has been told."""
        complete = int(self._is_complete)
        return {"cut": self._cut, "sequence": self._sequence, "complete": complete}

    def restore(self, state: Mapping[str, int], engine: Engine) -> None:
        """Goes on from the checkpoint; all is told again where not all had been, or otherwise."""
        self._sequence = state.get("sequence", 0)
        if state.get("complete") and state.get("cut") == self._cut:
            engine.shares.assume_told()
            self._is_complete = True

    def publish(
        self,
        engine: Engine,
        offsets: Mapping[str, int],
        *,
        settled: bool = False,
        at_most: int | None = None,
        every_ms: int = 0,
    ) -> None:
        """Has what changed written with the next flush, and a report unless more is left.

        A partition of the scopes that nothing changed for gets one every `every_ms` only.
        """
        assert engine.now_ms is not None, "a state without an instant is of no use to anybody"
        self._sequence += 1
        told = self._tell_shares(engine, at_most)
        everybody = set(range(self._topology.partitions))
        if not self._is_complete:
            told = everybody  # may have shares from before that wait for this report
        self._is_complete = not engine.shares.has_changed
        if not self._is_complete:
            return
        now_ms = engine.now_ms
        report = Report(self._number, now_ms, dict(offsets), engine.readings.complete_from, settled)
        record = Outgoing(*encode_report(report, self._cut, self._sequence))
        for number in everybody:
            due_ms = self._reported_ms.get(number, now_ms - every_ms) + every_ms
            if number in told or settled or now_ms >= due_ms:
                self._put(number, record)
                self._reported_ms[number] = now_ms

    def take(self) -> dict[TP, list[Outgoing]]:
        """What is to be written."""
        waiting, self._waiting = self._waiting, {}
        return waiting

    def _tell_shares(self, engine: Engine, at_most: int | None) -> set[int]:
        """Returns the partitions of the scopes that something is told now."""
        places, sums, gone = engine.shares.take(at_most)
        records = encode_shares(self._number, self._cut, self._sequence, places, sums)
        told = set()
        for place, record in zip(places, records, strict=True):
            number = self._number_of(place)
            self._put(number, Outgoing(*record))
            told.add(number)
        for place in gone:
            self._put(self._number_of(place), Outgoing(share_key(self._number, place), None))
        return told

    def _number_of(self, place: SharePlace) -> int:
        name = f"{place.scope.kind}/{place.scope.scope_id}"
        return partition_of(name, self._topology.partitions)

    def _put(self, number: int, record: Outgoing) -> None:
        self._waiting.setdefault(TP(self._topology.rollups, number), []).append(record)
