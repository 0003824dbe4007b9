"""Repeats, disorder and clocks that are off, over several partitions, their flushes and crashes.

No broker: a town of stages whose flushes are stored whole or not at all, as transactions make
them, and whose inputs are read again from the offsets in the last one that was stored.
"""

from __future__ import annotations

import json
from typing import Any, Final

from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.kafka.partition import PartitionStage
from stream.kafka.partitioner import partition_of
from stream.kafka.recovery import sort_records
from tests.core.auditor import Auditor
from tests.core.test_properties import plain
from tests.kafka.test_partition import MINUTE_MS, NOON_MS, Record, stage, store

PARTITIONS: Final = 3
WINDOWS: Final = ("15m", "1h", "8h", "today", "2d")
DAY_MS: Final = 24 * 60 * MINUTE_MS
TIMES: Final = {"interaction": "ended_at", "survey": "answered_at"}
TOPICS: Final = {"interaction": "interactions", "survey": "surveys"}


class Town:
    """Topics, stages and what is stored of them. Now is the same for all."""

    def __init__(self, **options: Any) -> None:
        """Empty, at noon."""
        self.now_ms = NOON_MS
        self.topics: dict[tuple[str, int], list[Record]] = {}
        self.changelogs: list[dict[bytes, bytes]] = [{} for _ in range(PARTITIONS)]
        self._options = {"windows": WINDOWS, "timezone": "Europe/Berlin", **options}
        self.stages = [self._recovered(number) for number in range(PARTITIONS)]

    def send(self, topic: str, place: int, value: bytes | None, headers: Any = ()) -> None:
        """Appends a record."""
        log = self.topics.setdefault((topic, place), [])
        log.append(Record(topic, place, len(log), b"k", value, tuple(headers)))

    def consume(self, number: int, most: int = 1_000) -> None:
        """The partition takes in up to so many records of each of its topics."""
        made = self.stages[number]
        for topic in ("agent-facts", "interactions", "surveys"):
            begin = made.included.get(topic, 0)
            block = self.topics.get((topic, number), [])[begin : begin + most]
            if block:
                made.apply(topic, block)

    def flush(self, number: int) -> None:
        """What has changed is stored and what was moved arrives, as one."""
        made = self.stages[number].freeze(self.now_ms)
        store(self.changelogs[made.partition], made)
        for place, records in made.outputs.items():
            if place.topic == "agent-facts":
                for record in records:
                    self.send(place.topic, place.partition, record.value, record.headers)

    def crash(self, number: int) -> None:
        """What was not stored is gone; the partition begins again from what was."""
        self.stages[number] = self._recovered(number)

    def settle(self) -> None:
        """Everything is read, moved and read again."""
        for _ in range(2):
            for number in range(PARTITIONS):
                self.consume(number)
                self.flush(number)

    def _recovered(self, number: int) -> PartitionStage:
        made = stage(number, PARTITIONS, **self._options)
        made.restore(sort_records(dict(self.changelogs[number])))
        made.engine.tick(self.now_ms)
        return made


def encoded(event: dict[str, Any]) -> bytes:
    """The record's value of an event."""
    named = {TIMES[event["type"]] if k == "at" else k: v for k, v in event.items() if k != "type"}
    return json.dumps(named).encode()


def agrees(town: Town, accepted: list[dict[str, Any]]) -> None:
    """Each agent's figures, on its own partition and no other, are the auditor's."""
    auditor = Auditor()
    auditor.tick(town.now_ms)
    auditor.apply(accepted)
    for window in WINDOWS:
        found: dict[str, Any] = {}
        for made in town.stages:
            shown = plain(made.engine.read_all("agent", window))
            assert all(partition_of(name, PARTITIONS) == made.number for name in shown)
            found |= shown
        assert found == auditor.figures("agent", window), window


EVENTS: Final = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["interaction", "interaction", "survey"]),
            "agent_id": st.sampled_from(["a", "b", "c", "d"]),
            "at": st.integers(NOON_MS - 20 * 60 * MINUTE_MS, NOON_MS + MINUTE_MS),
        },
        optional={"csat": st.integers(1, 5), "talk_ms": st.integers(0, 9_000)},
    ),
    min_size=1,
    max_size=8,
)
PLACES: Final = st.lists(st.integers(0, PARTITIONS - 1), min_size=1, max_size=3)
STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "consume", "consume", "flush", "crash", "later"]),
        st.integers(0, 99),
        PLACES,
    ),
    max_size=40,
)


def whole(number: int, event: dict[str, Any]) -> dict[str, Any]:
    """The event with what its kind demands."""
    own = {"interaction_id": "c", "outcome": "handled"} if event["type"] == "interaction" else {}
    if own:
        event.pop("csat", None)
    else:
        event.pop("talk_ms", None)
    return {"event_id": f"e{number}", **own, **event}


@given(drafts=EVENTS, steps=STEPS)
@settings(max_examples=100, deadline=None)
def test_an_event_counts_once_however_often_wherever_and_whenever_it_comes(
    drafts: list[dict[str, Any]], steps: list[tuple[str, int, list[int]]]
) -> None:
    """One to three times at once and again minutes later, on any partitions, over crashes.

    Holds that ids are kept in the rows and come back with them, also for what was moved, and that
    a moved record is sent on in the flush that commits its offset, not before and not after.
    """
    town, events = Town(), [whole(n, dict(draft)) for n, draft in enumerate(drafts)]
    for what, number, places in steps:
        event, place = events[number % len(events)], number % PARTITIONS
        if what == "send":
            for each in places:
                town.send(TOPICS[event["type"]], each, encoded(event))
        elif what == "consume":
            town.consume(place, most=len(places))
        elif what == "flush":
            town.flush(place)
        elif what == "crash":
            town.crash(place)
        else:
            town.now_ms += number * 1_000
    for event in events:
        town.send(TOPICS[event["type"]], 0, encoded(event))
    town.settle()
    agrees(town, events)
    for number in range(PARTITIONS):
        town.crash(number)
    agrees(town, events)


def test_a_repeat_after_a_restore_from_the_changelog_is_one() -> None:
    """The ids that the stored rows hold answer for it; without them it would count anew."""
    town = Town()
    event = whole(1, {"type": "interaction", "agent_id": "a", "at": NOON_MS - 1, "talk_ms": 5})
    home = partition_of("a", PARTITIONS)
    for _ in range(3):
        town.send("interactions", home, encoded(event))
        town.settle()
        town.crash(home)
        town.now_ms += 3 * MINUTE_MS
    agrees(town, [event])
    duplicates = town.stages[home].site.telemetry.duplicates.labels(kind="interaction")
    town.send("interactions", home, encoded(event))
    town.settle()
    assert duplicates._value.get() == 1


def test_a_clock_behind_the_stored_one_brings_nothing_back() -> None:
    """A worker whose clock lags starts at the checkpoint's now, not at its own.

    Else what was forgotten since would be accepted and counted a second time.
    """
    event = whole(1, {"type": "interaction", "agent_id": "a", "at": NOON_MS - 49 * 60 * MINUTE_MS})
    home = partition_of("a", PARTITIONS)
    town = Town(late_to_dead_letters=True)
    town.flush(home)
    town.send("interactions", home, encoded(event))
    town.settle()
    town.now_ms += 2 * MINUTE_MS
    town.flush(home)
    town.now_ms -= 60 * MINUTE_MS
    town.crash(home)
    town.send("interactions", home, encoded(event))
    town.consume(home)
    made = town.stages[home]
    assert made.engine.now_ms == NOON_MS + 2 * MINUTE_MS
    assert (len(made.engine.rows), made.site.telemetry.refused.labels("late")._value.get()) == (
        0,
        1,
    )
    (letter,) = made.freeze(town.now_ms).outputs[TP("dead-letters", home)]
    assert dict(letter.headers)["kpi-reason"] == b"late"


def test_producers_clocks_ahead_and_behind_are_told_apart_to_the_millisecond() -> None:
    """Up to the skew ahead and the retention behind counts; beyond it each has its reason.

    Late ones are counted only, unless asked for: the first start on an old topic has millions.
    """
    retention = 2 * DAY_MS + 60 * MINUTE_MS
    skew = 5 * MINUTE_MS
    instants = [NOON_MS - retention - 1, NOON_MS - retention, NOON_MS + skew, NOON_MS + skew + 1]
    town = Town()
    home = partition_of("a", PARTITIONS)
    town.flush(home)
    for number, at in enumerate(instants):
        event = whole(number, {"type": "interaction", "agent_id": "a", "at": at})
        town.send("interactions", home, encoded(event))
    town.consume(home)
    made = town.stages[home]
    refused = made.site.telemetry.refused
    assert [refused.labels(reason)._value.get() for reason in ("late", "early")] == [1, 1]
    assert len(made.engine.rows) == 2
    (letter,) = made.freeze(NOON_MS).outputs[TP("dead-letters", home)]
    assert dict(letter.headers)["kpi-reason"] == b"early"
