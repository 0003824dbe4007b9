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
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from faust.types import TP

from stream.kafka.partitioner import partition_of
from stream.kafka.topology import ROLLUPS, ROWS, Topology
from stream.sim.account import Account, Report
from stream.sim.alertbook import AlertBook
from stream.sim.counting import MINUTE, Fields
from stream.sim.log import Log, Record, Transaction
from stream.sim.plan import Plan
from stream.sim.readingbook import ReadingBook
from stream.sim.view import Breach, Place, View, added_up, expect, tallies
from stream.sim.workload import Workload, routing_key

CHECKPOINT_KEY = b"c"


class Auditor:
    """Judges each commit; the first breach ends the run."""

    def __init__(
        self, plan: Plan, topology: Topology, workload: Workload, log: Callable[[TP], Log]
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
        self._workload = workload
        self._log = log
        self._dead: set[tuple[str, int, int]] = set()
        self._told: dict[int, list[Report]] = {number: [] for number in range(plan.partitions)}
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

    def judge_rest(self, place: Place, now: int, *, held: bool) -> None:
        """Judges what stands at the end, when nothing happens any more.

        Raises:
            Breach: if it is not what it has to be.
        """
        events = (
            list(self.accounts[place.number].accepted.values())
            if place.lane == ROWS
            else [e for account in self.accounts.values() for e in account.accepted.values()]
        )
        view = View(self._plan.definitions, events, now)
        if place.lane == ROWS:
            account = self.accounts[place.number]
            account.rows.judge_rest(self._plan.definitions.oldest(account.now) // MINUTE)
        self.readings.judge_rest(place, view)
        if not held:
            self.alerts.judge_rest(place, view)

    def _judge_rows(
        self, transaction: Transaction, by_topic: dict[str, list[Record]], elapsed_ms: int
    ) -> None:
        number, point = self._checkpoint(transaction, by_topic.get(self._topology.changelog, []))
        account = self.accounts[number]
        self._check_now(account.now, point["now_ms"], elapsed_ms)
        before, account.now = account.now, point["now_ms"]
        self._account(account, before, point["offsets"], by_topic)
        account.rows.judge(by_topic[self._topology.changelog])
        view = View(self._plan.definitions, list(account.accepted.values()), account.now)
        for record in by_topic.get(self._topology.rollups, []):
            if (record.key or b"")[:1] == b"h":
                self._note_report(record, account, point, view)
        origin = {"as_of": _iso(account.now), "offsets": point["offsets"]}
        self._judge_outputs(Place(ROWS, number), view, origin, point, by_topic)

    def _judge_rollups(
        self, transaction: Transaction, by_topic: dict[str, list[Record]], elapsed_ms: int
    ) -> None:
        """A rollup stage's flush: the sum of whole states of its sources."""
        stored = by_topic[self._topology.rollups_changelog]
        number, point = self._checkpoint(transaction, stored)
        before, start = self._rolled[number]
        end = point["offsets"].get(self._topology.rollups, 0)
        expect(end >= start, f"offsets went back from {start} to {end}")
        self._check_now(before or 0, point["now_ms"] or before, elapsed_ms)
        self._rolled[number] = (point["now_ms"] or before, end)
        latest: dict[int, Report] = {}
        for report in self._told[number]:
            if report.offset < end:
                latest[report.source] = report
        known = {str(source): report.sequence for source, report in sorted(latest.items())}
        expect(known == point["sources"], f"sources {point['sources']}, told were {known}")
        events: list[Fields] = []
        for source, report in latest.items():
            events += list(self.accounts[source].accepted.values())[: report.count]
        parts = [latest[source].part for source in sorted(latest)]
        origin = {"parts": parts, "as_of": min((p["as_of"] for p in parts), default=None)}
        tallied = added_up(report.tallies for report in latest.values())
        view = View(self._plan.definitions, events, point["now_ms"], tallied)
        self._judge_outputs(Place(ROLLUPS, number), view, origin, point, by_topic)

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
        part = {
            "partition": account.number,
            "as_of": _iso(account.now),
            "offsets": point["offsets"],
        }
        self._told[record.partition].append(
            Report(
                *(record.offset, account.number, said["sequence"], part, len(account.accepted)),
                told,
            )
        )

    def _check_now(self, before: int, now: int, elapsed_ms: int) -> None:
        expect(now >= before, f"now went back from {before} to {now}")
        furthest = self._plan.start_ms + max(self._plan.skews_ms) + elapsed_ms
        expect(now <= furthest, f"now is {now}, ahead of every clock ({furthest})")

    def _account(
        self,
        account: Account,
        before: int,
        offsets: dict[str, int],
        by_topic: dict[str, list[Record]],
    ) -> None:
        """Takes in the records that this flush includes and the one before did not."""
        dead = self._dead_letters(by_topic.get(self._topology.dead_letters, []))
        moved = Counter(
            (r.partition, r.value) for r in by_topic.get(self._topology.agent_facts, [])
        )
        for topic in self._topology.inputs:
            start, end = account.offsets.get(topic, 0), offsets.get(topic, 0)
            log = self._log(TP(topic, account.number))
            expect(start <= end <= log.stable, f"{topic} from {start} to {end} of {log.stable}")
            for record in log.between(start, end):
                self._account_one(account, before, record, dead, moved)
            account.offsets[topic] = end
        expect(not dead, f"dead letters of records that are not in this flush: {dead}")
        expect(not +moved, f"records moved that are not in this flush: {moved}")

    def _account_one(
        self,
        account: Account,
        before: int,
        record: Record,
        dead: dict[tuple[str, int, int], str],
        moved: Counter[tuple[int, bytes | None]],
    ) -> None:
        place = (record.topic, record.partition, record.offset)
        truth = self._workload.truth(record.topic, record.key, record.value)
        refused = dead.pop(place, None)
        if truth.event is None:
            expect(refused == truth.refused, f"{place} was refused as {refused}, not {truth}")
            return
        target = partition_of(routing_key(truth.event), self._plan.partitions)
        if record.topic != self._topology.agent_facts and target != account.number:
            expect(refused is None, f"{place} was refused, it had to be moved")
            expect(moved[target, record.value] > 0, f"{place} was not moved to {target}")
            moved[target, record.value] -= 1
            self.counts["records moved"] += 1
            return
        self._accept(account, before, place, truth.event, refused)

    def _accept(
        self,
        account: Account,
        before: int,
        place: tuple[str, int, int],
        event: Fields,
        refused: str | None,
    ) -> None:
        oldest, skew = self._plan.definitions.oldest, self._plan.settings.skew
        name = (event["type"], event["event_id"])
        known, at = name in account.accepted, event["at"]
        self.counts[f"events {refused or ('repeated' if known else 'accepted')}"] += 1
        if known and at >= oldest(account.now):
            expect(refused is None, f"{place} repeats {name} and was refused as {refused}")
        elif refused == "late":
            expect(at < oldest(account.now), f"{place} at {at} was refused as late")
        elif refused == "early":
            expect(at > before + skew, f"{place} at {at} was refused as early")
        else:
            expect(refused is None, f"{place} was refused as {refused}, it is {name}")
            expect(at >= oldest(before), f"{place} at {at} is late and was not refused")
            expect(at <= account.now + skew, f"{place} at {at} is early and was not refused")
            if not known:
                account.accepted[name] = event
                account.rows.accept(event)

    def _dead_letters(self, records: list[Record]) -> dict[tuple[str, int, int], str]:
        """Where from, and why; each once ever, unchanged."""
        found: dict[tuple[str, int, int], str] = {}
        for record in records:
            headers: dict[str, Any] = dict(record.headers)
            place = (
                headers["kpi-topic"].decode(),
                int(headers["kpi-partition"]),
                int(headers["kpi-offset"]),
            )
            expect(place not in self._dead, f"a second dead letter of {place}")
            self._dead.add(place)
            (origin,) = self._log(TP(*place[:2])).between(place[2], place[2] + 1)
            same = (origin.key, origin.value) == (record.key, record.value)
            expect(same, f"the dead letter of {place} was changed")
            kept = origin.headers == record.headers[: len(origin.headers)]
            expect(kept, f"the dead letter of {place} lost headers")
            found[place] = headers["kpi-reason"].decode()
            self.counts["dead letters"] += 1
        return found


def _iso(at_ms: int) -> str:
    """An instant as readings write it."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
