"""Tells the rollups what a partition adds to the scopes that lie on many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from faust.types import TP

from stream.core.engine import Engine
from stream.core.rollup import Report
from stream.core.shares import ScopeName
from stream.core.tallies import Tally
from stream.kafka.codec import Told
from stream.kafka.delivery import Outgoing
from stream.kafka.partitioner import partitions_of
from stream.kafka.rollupcodec import cut_of, encode_report, encode_shares, share_key
from stream.kafka.topology import Topology

ROWS_PER_FLUSH_MAX: Final = 50_000
REPORT_EVERY_MS: Final = 1_000
TELL_EVERY_MS: Final = 500
UNTOLD_MAX: Final = 1_000


class Publication:
    """One source's shares and reports on their way to the `rollups` topic.

    A report goes to every partition of the scopes, behind its shares and in their transaction;
    so nobody there sees half of a change. Where nothing changed, one a second says so.
    """

    def __init__(self, topology: Topology, number: int, engine: Engine) -> None:
        """The source `number`, whose state `engine` is; it has told nothing yet."""
        self._topology = topology
        self._number = number
        self._engine = engine
        self._cut = cut_of(engine.rules)
        self._sequence = 0
        self._told_ms = 0
        self._has_told_all_once = False
        self._is_in_the_middle = False
        self._reported_ms: dict[int, int] = {}
        self._waiting: dict[TP, list[Outgoing]] = {}

    def told(self) -> Told:
        """What the checkpoint keeps, as of now."""
        shares = self._engine.shares
        minutes = shares.untold_minutes(UNTOLD_MAX) if self._has_told_all_once else None
        return Told(self._cut, self._sequence, minutes)

    def restore(self, told: Told | None) -> None:
        """Goes on from the checkpoint: what had not been told is; all, if the cut is another."""
        if told is None:
            return
        self._sequence = told.sequence
        if told.untold_minutes is not None and told.cut == self._cut:
            self._engine.shares.assume_told_except(told.untold_minutes)
            self._has_told_all_once = True

    def publish_at_clock(self, offsets: Mapping[str, int], *, settled: bool) -> None:
        """In a replay: what held at a clock, not what a flush comes upon."""
        self._publish(offsets, settled=settled, rows_max=None, silence_ms=0)

    def publish_live(self, offsets: Mapping[str, int]) -> None:
        """What has changed since last time, if that was long enough ago or is not all told."""
        now_ms = self._engine.now_ms
        assert now_ms is not None, "live, now is known before anything is shown"
        if self._is_in_the_middle or now_ms - self._told_ms >= TELL_EVERY_MS:
            rows_max, silence_ms = ROWS_PER_FLUSH_MAX, REPORT_EVERY_MS
            self._publish(offsets, settled=False, rows_max=rows_max, silence_ms=silence_ms)

    def _publish(
        self,
        offsets: Mapping[str, int],
        *,
        settled: bool,
        rows_max: int | None,
        silence_ms: int,
    ) -> None:
        """Has what changed written with the next flush, and a report unless more is left.

        A partition of the scopes that nothing changed for gets one every `silence_ms` only.
        """
        engine = self._engine
        assert engine.now_ms is not None, "a state without an instant is of no use to anybody"
        now_ms = self._told_ms = engine.now_ms
        self._sequence += 1
        told = self._tell_shares(rows_max)
        everybody = set(range(self._topology.partitions))
        if self._is_in_the_middle:
            told = everybody  # may have shares from before that wait for this report
        self._is_in_the_middle = engine.shares.has_changed
        if self._is_in_the_middle:
            return
        self._has_told_all_once = True
        known_from = engine.readings.complete_from
        report = Report(self._number, now_ms, dict(offsets), known_from, settled, engine.kept_from)
        tallies = self._tallies()
        for number in everybody:
            due_ms = self._reported_ms.get(number, now_ms - silence_ms) + silence_ms
            if number in told or settled or now_ms >= due_ms:
                own = report._replace(tallies=tallies.get(number, {}))
                self._put(number, Outgoing(*encode_report(own, self._cut, self._sequence)))
                self._reported_ms[number] = now_ms

    def take(self) -> dict[TP, list[Outgoing]]:
        """What is to be written: also, with the rows' own, the tombstones of forgotten shares."""
        gone = self._engine.shares.take_gone()
        if self._sequence:  # else nobody was ever told
            numbers = self._numbers_of([place.scope for place in gone])
            for number, place in zip(numbers, gone, strict=True):
                self._put(number, Outgoing(share_key(self._number, place), None))
        waiting, self._waiting = self._waiting, {}
        return waiting

    def _tell_shares(self, rows_max: int | None) -> set[int]:
        """Returns the partitions of the scopes that something is told now."""
        places, sums = self._engine.shares.take(rows_max)
        records = encode_shares(self._number, self._cut, self._sequence, places, sums)
        numbers = self._numbers_of([place.scope for place in places])
        for number, record in zip(numbers, records, strict=True):
            self._put(number, Outgoing(*record))
        return set(numbers)

    def _tallies(self) -> dict[int, dict[str, dict[str, Tally]]]:
        """Each partition of the scopes hears of its own teams' agents only."""
        found: dict[int, dict[str, dict[str, Tally]]] = {}
        tallies = self._engine.verdicts.tallies()
        numbers = self._numbers_of([ScopeName("team", team) for team in tallies])
        for number, (team, by_kpi) in zip(numbers, tallies.items(), strict=True):
            found.setdefault(number, {})[team] = by_kpi
        return found

    def _numbers_of(self, scopes: Sequence[ScopeName]) -> list[int]:
        """The partition of each of these scopes."""
        keys = [f"{scope.kind}/{scope.scope_id}".encode() for scope in scopes]
        return partitions_of(keys, self._topology.partitions)

    def _put(self, number: int, record: Outgoing) -> None:
        self._waiting.setdefault(TP(self._topology.rollups, number), []).append(record)
