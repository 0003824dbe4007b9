"""The auditor: recounts everything that became visible from the history of the logs.

It judges each transaction of a partition when it is committed, as a `read_committed` reader sees
it. What is right follows from the input logs, from the workload's own knowledge of each record,
and from the definitions in `counting.py`. What it takes from the system under test:

- the instant of a flush (`now_ms` of its checkpoint), which has to lie between that of the flush
  before and the furthest clock of any worker;
- how far a flush goes (its offsets), which have to be the group's, and never go back;
- which of the late and early records were refused (by their dead letters), since that depends on
  the worker's now when it applied them: that lay between the two flushes' instants, and a refusal
  or an acceptance that none of these instants allows is a breach.

By which clock a flush was frozen, and hence which parts of it are stale, the world has seen itself
(`witness.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
from faust.types import TP

from stream.kafka.partitioner import partition_of
from stream.kafka.topology import ROLLUPS, ROWS, Topology
from stream.sim.account import Account
from stream.sim.alertbook import AlertBook
from stream.sim.counting import MINUTE
from stream.sim.intakebook import IntakeBook
from stream.sim.log import Log, Record, Transaction
from stream.sim.plan import Plan
from stream.sim.readingbook import ReadingBook
from stream.sim.rollupbook import Report, RollupBook, iso, judge_now
from stream.sim.view import Breach, Place, View, expect, tallies
from stream.sim.witness import Frozen, Witness
from stream.sim.workload import Workload

CHECKPOINT_KEY = b"c"


class Auditor:
    """Judges each commit; the first breach ends the run."""

    def __init__(
        self,
        plan: Plan,
        topology: Topology,
        workload: Workload,
        witness: Witness,
        log: Callable[[TP], Log],
    ) -> None:
        """Nothing is visible yet."""
        self.breaches: list[str] = []
        self.counts: Counter[str] = Counter()
        self.accounts = {
            number: Account(number, plan.start_ms + min(plan.skews_ms))
            for number in range(plan.partitions)
        }
        self.readings = ReadingBook(plan, self.counts)
        self.alerts = AlertBook(plan, self.counts)
        self._plan = plan
        self._topology = topology
        self._witness = witness
        self._intake = IntakeBook(plan, topology, workload, log, self.counts)
        self._rollups = RollupBook(plan.partitions)
        self._rolled = {n: (account.now, 0) for n, account in self.accounts.items()}

    def judge(self, transaction: Transaction, elapsed_ms: int) -> None:
        """Judges what became visible just now."""
        by_topic: dict[str, list[Record]] = {}
        for record in transaction.records:
            by_topic.setdefault(record.topic, []).append(record)
        try:
            if self._topology.rollups_changelog in by_topic:
                self._judge_rollups(transaction, by_topic, elapsed_ms)
            else:
                self._judge_rows(transaction, by_topic, elapsed_ms)
        except Breach as breach:
            self.breaches.append(f"{transaction.owner}: {breach}")

    def judge_rest(self, place: Place, now: int) -> None:
        """Judges what stands at the end, when nothing happens any more.

        Raises:
            Breach: if it is not what it has to be.
        """
        accounts = (
            [self.accounts[place.number]] if place.lane == ROWS else [*self.accounts.values()]
        )
        events = [event for account in accounts for event in account.accepted.values()]
        held = False
        if place.lane == ROWS:
            account = self.accounts[place.number]
            account.rows.judge_rest(self._plan.definitions.oldest(account.now) // MINUTE)
        else:
            frozen = self._witness.latest[place]
            end = frozen.offsets[self._topology.rollups]
            held = self._rollups.combined(place.number, end, now, frozen).is_held
        view = View(self._plan.definitions, events, now, held=held)
        self.readings.judge_rest(place, view)
        self.alerts.judge_rest(place, view)

    def _judge_rows(
        self, transaction: Transaction, by_topic: dict[str, list[Record]], elapsed_ms: int
    ) -> None:
        number, point = self._checkpoint(transaction, by_topic.get(self._topology.changelog, []))
        account = self.accounts[number]
        self._check_now(account.now, point["now_ms"], elapsed_ms)
        before, account.now = account.now, point["now_ms"]
        self._intake.judge(account, before, point["offsets"], by_topic, self._frozen(point))
        account.rows.judge(by_topic[self._topology.changelog])
        view = View(self._plan.definitions, list(account.accepted.values()), account.now)
        for record in by_topic.get(self._topology.rollups, []):
            if (record.key or b"")[:1] == b"h":
                self._note_report(record, account, point, view)
        origin = {"as_of": iso(account.now), "offsets": point["offsets"]}
        self._judge_outputs(Place(ROWS, number), view, origin, point, by_topic)

    def _judge_rollups(
        self, transaction: Transaction, by_topic: dict[str, list[Record]], elapsed_ms: int
    ) -> None:
        """A rollup stage's flush: the sum of whole states of its sources."""
        stored = by_topic[self._topology.rollups_changelog]
        number, point = self._checkpoint(transaction, stored)
        before, start = self._rolled[number]
        end, now = point["offsets"].get(self._topology.rollups, 0), point["now_ms"] or before
        expect(end >= start, f"offsets went back from {start} to {end}")
        self._check_now(before, now, elapsed_ms)
        self._rolled[number] = (now, end)
        frozen = self._frozen(point)
        combined = self._rollups.combined(number, end, now, frozen)
        known = {str(report.source): report.sequence for report in combined.reports}
        expect(known == point["sources"], f"sources {point['sources']}, told were {known}")
        if combined.is_complete:
            judge_now(combined, before, now, frozen)
        events = combined.events([a.accepted.values() for a in self.accounts.values()])
        view = View(
            self._plan.definitions, events, now, told=combined.tallies, held=combined.is_held
        )
        self._judge_outputs(Place(ROLLUPS, number), view, combined.origin, point, by_topic)

    def _frozen(self, point: dict[str, Any]) -> Frozen:
        """What the world has seen of the flush that a checkpoint is of."""
        return self._witness.flushes[point["writer"], point["sequence"]]

    def _judge_outputs(
        self,
        place: Place,
        view: View,
        origin: dict[str, Any],
        point: dict[str, Any],
        by_topic: dict[str, list[Record]],
    ) -> None:
        readings = by_topic.get(self._topology.kpis, [])
        self.readings.judge(readings, place, view, origin, point["revision"])
        changelog = (
            self._topology.changelog if place.lane == ROWS else self._topology.rollups_changelog
        )
        states = {r.key: r.value for r in by_topic[changelog] if r.key and r.key[:1] == b"a"}
        self.alerts.judge(by_topic.get(self._topology.alerts, []), place, view, states)

    def _checkpoint(
        self, transaction: Transaction, stored: list[Record]
    ) -> tuple[int, dict[str, Any]]:
        """The one checkpoint of a transaction; the group's offsets in it are the same."""
        points = [record for record in stored if record.key == CHECKPOINT_KEY]
        expect(len(points) == 1, f"{len(points)} checkpoints in one transaction")
        expect(stored[-1] is points[0], "a checkpoint that is not the last of its records")
        number = points[0].partition
        expect(all(r.partition == number for r in stored), "state of another partition")
        point: dict[str, Any] = orjson.loads(points[0].value or b"{}")
        offsets = {TP(topic, number): at for topic, at in point["offsets"].items()}
        expect(transaction.offsets == offsets, f"offsets {transaction.offsets}, not {offsets}")
        return number, point

    def _note_report(
        self, record: Record, account: Account, point: dict[str, Any], view: View
    ) -> None:
        said = orjson.loads(record.value or b"{}")
        expect(said["source"] == account.number, f"a report of {said['source']}")
        expect(said["as_of_ms"] == account.now, f"a report of {said['as_of_ms']}")
        expect(said["offsets"] == point["offsets"], f"a report that includes {said['offsets']}")
        own = {
            team: by_kpi
            for team, by_kpi in tallies(view, self._plan.goals).items()
            if partition_of(f"team/{team}", self._plan.partitions) == record.partition
        }
        told = {
            t: {k: tuple(n) for k, n in by_kpi.items()} for t, by_kpi in said["tallies"].items()
        }
        expect(told == own, f"a report that tallies {told}, not {own}")
        self.counts["teams tallied"] += len(own)
        report = Report(
            *(record.offset, account.number, said["sequence"], account.now),
            *(point["offsets"], len(account.accepted), told),
        )
        self._rollups.note(record.partition, report)

    def _check_now(self, before: int, now: int, elapsed_ms: int) -> None:
        expect(now >= before, f"now went back from {before} to {now}")
        furthest = self._plan.start_ms + max(self._plan.skews_ms) + elapsed_ms
        expect(now <= furthest, f"now is {now}, ahead of every clock ({furthest})")
