"""What becomes of each record of an input partition: counted, a repeat, moved on, or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from faust.types import TP

from stream.kafka.partitioner import partition_of
from stream.kafka.topology import Topology
from stream.sim.account import Account
from stream.sim.counting import Fields
from stream.sim.log import Log, Record
from stream.sim.plan import Plan
from stream.sim.view import expect
from stream.sim.witness import Frozen
from stream.sim.workload import Workload, routing_key

Where = tuple[str, int, int]
"""A record's topic, partition and offset."""


class IntakeBook:
    """Every record that a flush includes, each with the one outcome that the rules allow.

    A repeat of an event that was counted is one, however early it is by now. One that is late by
    now is late: with its minute, what was counted in it is forgotten.
    """

    def __init__(
        self,
        plan: Plan,
        topology: Topology,
        workload: Workload,
        log: Callable[[TP], Log],
        counts: Counter[str],
    ) -> None:
        """Nothing was refused yet."""
        self._plan = plan
        self._topology = topology
        self._workload = workload
        self._log = log
        self._counts = counts
        self._dead: set[Where] = set()

    def judge(
        self,
        account: Account,
        before: int,
        offsets: dict[str, int],
        by_topic: dict[str, list[Record]],
        frozen: Frozen,
    ) -> None:
        """Takes in the records that this flush includes and the one before did not."""
        dead = self._dead_letters(by_topic.get(self._topology.dead_letters, []))
        moved = Counter(
            (r.partition, r.value) for r in by_topic.get(self._topology.agent_facts, [])
        )
        outcomes: Counter[str] = Counter()
        for topic in self._topology.inputs:
            start, end = account.offsets.get(topic, 0), offsets.get(topic, 0)
            log = self._log(TP(topic, account.number))
            expect(start <= end <= log.stable, f"{topic} from {start} to {end} of {log.stable}")
            for record in log.between(start, end):
                outcomes[self._outcome(account, before, record, dead, moved, frozen.skew_ms)] += 1
            account.offsets[topic] = end
        expect(not dead, f"dead letters of records that are not in this flush: {dead}")
        expect(not +moved, f"records moved that are not in this flush: {moved}")
        del outcomes["ignored"]
        told = frozen.outcomes
        expect(told == outcomes, f"metrics count {told}, the records are {outcomes}")
        for outcome, count in outcomes.items():
            self._counts[f"records {outcome}"] += count

    def _outcome(
        self,
        account: Account,
        before: int,
        record: Record,
        dead: dict[Where, str],
        moved: Counter[tuple[int, bytes | None]],
        skew: int,
    ) -> str:
        place = (record.topic, record.partition, record.offset)
        truth = self._workload.truth(record.topic, record.key, record.value)
        refused = dead.pop(place, None)
        if truth.event is None:
            expect(refused == truth.refused, f"{place} was refused as {refused}, not {truth}")
            return refused or "ignored"
        target = partition_of(routing_key(truth.event), self._plan.partitions)
        if record.topic != self._topology.agent_facts and target != account.number:
            expect(refused is None, f"{place} was refused, it had to be moved")
            expect(moved[target, record.value] > 0, f"{place} was not moved to {target}")
            moved[target, record.value] -= 1
            return "moved"
        self._judge_event(account, before, place, truth.event, refused, skew)
        return refused or self._accept(account, truth.event)

    def _judge_event(
        self,
        account: Account,
        before: int,
        place: Where,
        event: Fields,
        refused: str | None,
        skew: int,
    ) -> None:
        """Late and early are judged at the worker's now: between the two flushes' instants."""
        oldest, at = self._plan.definitions.oldest, event["at"]
        name = (event["type"], event["event_id"])
        if name in account.accepted and at >= oldest(account.now):
            expect(refused is None, f"{place} repeats {name} and was refused as {refused}")
        elif refused == "late":
            expect(at < oldest(account.now), f"{place} at {at} was refused as late")
        elif refused == "early":
            expect(at > before + skew, f"{place} at {at} was refused as early")
        else:
            expect(refused is None, f"{place} was refused as {refused}, it is {name}")
            expect(at >= oldest(before), f"{place} at {at} is late and was not refused")
            expect(at <= account.now + skew, f"{place} at {at} is early and was not refused")

    @staticmethod
    def _accept(account: Account, event: Fields) -> str:
        name = (event["type"], event["event_id"])
        if name in account.accepted:
            return "repeated"
        account.accepted[name] = event
        account.rows.accept(event)
        return "accepted"

    def _dead_letters(self, records: list[Record]) -> dict[Where, str]:
        """Where from, and why; each once ever, unchanged."""
        found: dict[Where, str] = {}
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
            self._counts["dead letters"] += 1
        return found
