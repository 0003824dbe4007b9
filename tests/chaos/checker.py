"""Judges a history: what was sent, what was seen, and what SQL says. Counts, and gives examples."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from stream.config import Settings
from stream.kafka.partitioner import partition_of
from tests.chaos.alerting import check_open_alerts, check_transitions
from tests.chaos.findings import Findings
from tests.chaos.history import History
from tests.chaos.load import Planned
from tests.chaos.state import Stored
from tests.kafka.board import differences, instant_ms
from tests.kafka.test_exact import BANK
from tests.oracle.sql import Expected, Included, Oracle

MINUTE_MS: Final = 60_000
IN_FLIGHT_CHECKED: Final = 500
# In SQL, records that were moved to a partition are a partition of their own.
_FACTS: Final = 1_000
_NOWHERE: Final = -1


class Checker:
    """Holds one run's history against what was planned."""

    def __init__(
        self, settings: Settings, goals: Mapping[str, Any], planned: Sequence[Planned]
    ) -> None:
        self.findings = Findings()
        self._settings = settings
        self._goals = goals["goals"]
        self._planned = {record.serial: record for record in planned}

    def check(
        self,
        history: History,
        acknowledged: Mapping[int, Any],
        stored: Stored,
        oracle: Oracle,
        rest: range,
    ) -> None:
        """All checks but those of `AtRest`. `rest`: its instants, in which no event came.

        `oracle`: SQL over this very history.
        """
        findings = self.findings
        lost = [serial for serial in acknowledged if not history.stands(serial)]
        findings.set("acknowledged records that are not in the topic", lost)
        self._check_records(history)
        self._check_rows(history, stored)
        self._check_in_flight(oracle, history)
        check_transitions(findings, history.alerts)
        check_open_alerts(findings, oracle, history.alerts, stored.alerts, self._goals, rest)

    # ------------------------------------------------------------ records

    def _check_records(self, history: History) -> None:
        """Each record has had its fate once: counted, moved or refused."""
        moved = Counter(self._with_fate(history.places, "moved"))
        facts = Counter(self._serials(history.facts))
        refused = Counter(self._with_fate(history.places, "refused"))
        letters = Counter(self._serials(history.letters))
        renew = self.findings.set
        renew("misplaced records not moved", (moved - facts).elements())
        renew("records moved twice, or in vain", (facts - moved).elements())
        renew("dead letters lost", (refused - letters).elements())
        renew("dead letters seen twice, or in vain", (letters - refused).elements())
        for what, number in (
            ("records sent", sum(map(len, history.places.values()))),
            ("of them moved to their partition", facts.total()),
            ("of them dead letters", letters.total()),
        ):
            self.findings.seen[what] = number

    def _with_fate(self, places: Mapping[int, list[Any]], fate: str) -> Iterable[int]:
        return (s for s in self._serials(places) if self._planned[s].fate == fate)

    @staticmethod
    def _serials(places: Mapping[int, list[Any]]) -> Iterable[int]:
        return (serial for serial, found in places.items() for _ in found)

    # ------------------------------------------------------------ state

    def _check_rows(self, history: History, stored: Stored) -> None:
        """The stored rows hold the id of every accepted event once, and no other."""
        accepted: set[tuple[int, bytes]] = set()
        for serial in history.places:
            record = self._planned[serial]
            if record.fate != "refused" and record.value is not None:
                assert record.key is not None
                home = partition_of(record.key, self._settings.partitions)
                event = orjson.loads(record.value)
                at_ms = event["ended_at" if record.kind == "interaction" else "answered_at"]
                if at_ms // MINUTE_MS >= stored.kept_from[home]:
                    accepted.add((home, stored.digest(record.kind, event["event_id"])))
        rows = Counter(stored.ids)
        self.findings.seen["events in the rows"] = len(rows)
        self.findings.count("events lost", accepted - rows.keys())
        self.findings.count("events counted that nobody sent", rows.keys() - accepted)
        self.findings.count("events counted twice", (rows - Counter(rows.keys())).elements())

    # ------------------------------------------------------------ figures

    def oracle(self, history: History) -> Oracle:
        """SQL over what stands in the topics; misplaced records count where they were moved to."""
        events: list[dict[str, Any]] = []
        for serial, places in [*history.places.items(), *history.facts.items()]:
            record = self._planned[serial]
            if record.fate == "refused" or record.value is None:
                continue
            event = {**orjson.loads(record.value), "type": record.kind}
            for topic, partition, offset in places:
                here = partition + (_FACTS if topic == "agent_facts" else 0)
                if record.fate == "moved" and topic != "agent_facts":
                    here = _NOWHERE
                events.append({**event, "_partition": here, "_offset": offset})
        return Oracle(
            events,
            queue_teams=BANK.queue_teams,
            queue_thresholds=BANK.thresholds,
            timezone=BANK.timezone,
        )

    def _check_in_flight(self, oracle: Oracle, history: History) -> None:
        """Kept readings equal SQL over their own window and their own offsets.

        A scope of many partitions says the oldest of its parts' instants as its own; its window
        may end later, so its end is asked for.
        """
        asked: dict[tuple[Any, ...], Expected] = {}
        wrong: list[str] = []
        beyond: list[str] = []
        later = 0
        sample = random.Random(3).sample(history.kept, min(len(history.kept), IN_FLIGHT_CHECKED))
        for reading in sample:
            included = self._included(reading)
            scope, window, to_ms = reading["scope"], reading["window"], instant_ms(reading["to"])
            # The window's last instant; at midnight sharp `today` has none.
            at_ms = to_ms - (reading["from"] < reading["to"])
            question = (at_ms, scope, window, *sorted(included.items()))
            if question not in asked:
                asked[question] = oracle.expected(at_ms, scope, [window], included)
            claimed_ms = oracle.bounds(reading["as_of_ms"], window)[1]
            later += claimed_ms < to_ms
            if claimed_ms > to_ms:
                beyond.append(f"{scope} {reading['id']} {reading['as_of']} to {reading['to']}")
            wrong += wrong_in_flight(reading, asked[question])
        # Another sample each time, so that nothing found before is found again.
        self.findings.count("readings in flight that are not SQL's", wrong)
        self.findings.count("readings that claim an instant beyond their window", beyond)
        self.findings.seen["readings in flight compared"] = len(sample)
        self.findings.seen["of them with a window beyond their oldest part"] = later
        self.findings.seen["readings seen"] = history.readings
        for what, number in (
            ("readings seen twice for one change", history.readings_twice),
            ("readings out of order", history.readings_out_of_order),
        ):
            self.findings.wrong[what] = number

    def _included(self, reading: Mapping[str, Any]) -> Included:
        """Up to where the reading says that it goes, in each partition that it is made of."""
        home = partition_of(reading["id"], self._settings.partitions)
        parts = reading.get("parts") or [{"partition": home, "offsets": reading["offsets"]}]
        topics = self._settings.topics
        included: dict[tuple[str, int], int] = {}
        for part in parts:
            offsets, number = part["offsets"], part["partition"]
            included["interaction", number] = offsets.get(topics.interactions, 0)
            included["survey", number] = offsets.get(topics.surveys, 0)
            for kind in ("interaction", "survey"):
                included[kind, _FACTS + number] = offsets.get(topics.agent_facts, 0)
        return included


def wrong_in_flight(reading: Mapping[str, Any], expected: Expected) -> list[str]:
    """What is wrong with one reading, where SQL gives `expected`."""
    key = (reading["id"], reading["window"])
    parts = [(part["partition"], part["as_of"][11:16]) for part in reading.get("parts", ())]
    where = f"{reading['scope']} {key} as of {reading['as_of']} to {reading['to']} {parts}"
    where += f" {reading.get('offsets', '')} revision {reading['revision']}"
    if key in expected:
        return [f"{where}: {what}" for what in differences(expected[key], reading["kpis"])]
    return [f"{where} should be empty"] if reading["has_samples"] else []
