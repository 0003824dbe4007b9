"""One partition's stage, without a broker: what a block becomes, what a flush carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from faust.types import TP
from prometheus_client import CollectorRegistry

from stream.config import Settings, load_settings
from stream.core.kpis import SCOPE_KINDS
from stream.core.rules import Rules
from stream.kafka.clients import KafkaClients
from stream.kafka.clocks import CLOCK_KEY
from stream.kafka.deadletters import read_letter
from stream.kafka.delivery import Flush, fits
from stream.kafka.partition import PartitionStage
from stream.kafka.partitioner import partition_of
from stream.kafka.recovery import StoredState, sort_records
from stream.kafka.site import Site
from stream.kafka.telemetry import Telemetry
from stream.kafka.topicconfig import RECORD_BYTES_MAX
from stream.kafka.topology import Topology

NOON_MS = 1_710_504_000_000
MINUTE_MS = 60_000


class Record(NamedTuple):
    """What the stage looks at in a consumed record."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = 1_710_504_000_123


def topology(partitions: int = 1) -> Topology:
    """Topics under their default names."""
    return Topology(
        *("interactions", "surveys", "agent-facts", "rows", "kpis", "alerts", "dead-letters"),
        *("rollups", "rollups-changelog"),
        partitions=partitions,
    )


def stage(
    number: int = 0, partitions: int = 1, *, caught_up: bool = True, **settings: Any
) -> PartitionStage:
    """A stage of its own with its own registry."""
    loaded: Settings = load_settings(None, **settings)
    rules = Rules(
        windows=loaded.parsed_windows(),
        kinds=SCOPE_KINDS if partitions == 1 else ("agent",),
        shared_kinds=() if partitions == 1 else SCOPE_KINDS[1:],
        thresholds=loaded.thresholds(),
        queue_teams=loaded.queue_teams(),
        skew_ms=loaded.skew if loaded.time == "live" else None,
    )
    telemetry = Telemetry(CollectorRegistry())
    made = PartitionStage(
        Site(loaded, topology(partitions), rules, {}, telemetry, KafkaClients(loaded)), number
    )
    if caught_up:
        made.catch_up()
    return made


def call(offset: int, **fields: Any) -> Record:
    """A handled call in queue q, ended a minute before noon."""
    event = {
        "event_id": f"e-{offset}",
        "interaction_id": "i",
        "ended_at": NOON_MS - MINUTE_MS,
        "outcome": "handled",
        "queue": "q",
        "wait_ms": 15_000,
        **fields,
    }
    return Record("interactions", 0, offset, b"q", json.dumps(event).encode())


def store(latest: dict[bytes, bytes], flush: Flush, changelog: str = "rows") -> None:
    """Brings the last values of a changelog's keys up to a flush."""
    for part in (flush.rows, flush.states):
        for record in part.get(TP(changelog, flush.partition), []):
            assert record.key is not None
            if record.value is None:
                latest.pop(record.key, None)
            else:
                latest[record.key] = record.value


def stored(*flushes: Flush, changelog: str = "rows") -> StoredState:
    """What a reader of the changelog would find after these flushes."""
    latest: dict[bytes, bytes] = {}
    for flush in flushes:
        store(latest, flush, changelog)
    return sort_records(latest)


def readings(flush: Flush) -> dict[str, Mapping[str, Any]]:
    """The flush's readings by key."""
    found = flush.outputs.get(TP("kpis", 0), [])
    return {r.key.decode(): json.loads(r.value) for r in found if r.key and r.value}


def test_a_changed_threshold_leaves_its_kpi_empty_until_the_window_has_passed() -> None:
    """Service level says since when it is complete, the skew included; the rest stays."""
    before = stage()
    before.apply("interactions", [call(1), call(2)])
    first = before.freeze(NOON_MS)
    shown = readings(first)["queue/q/15m"]["kpis"]
    assert shown["service_level"] == {
        "value": 1.0,
        "samples": 2,
        "definition": "service_level/1:wait<=20000ms,short<=5000ms,by-end",
    }
    after = stage(service_level="10s")
    after.restore(stored(first))
    after.apply("interactions", [call(3)])
    changed = readings(after.freeze(NOON_MS + 1_000))["queue/q/15m"]
    assert changed["kpis"]["service_level"]["value"] is None
    assert changed["kpis"]["service_level"]["samples"] == 0
    assert changed["complete_since"] == {"service_level": "2024-03-15T12:05:00.000Z"}
    assert changed["kpis"]["answer_time"]["samples"] == 3
    late = NOON_MS + 19 * MINUTE_MS
    after.freeze(late)
    after.apply("interactions", [call(4, ended_at=late)])
    whole = readings(after.freeze(NOON_MS + 20 * MINUTE_MS))["queue/q/15m"]
    assert whole["kpis"]["service_level"]["value"] == 0.0
    assert "complete_since" not in whole


def test_a_restart_with_the_same_settings_keeps_every_kpi() -> None:
    """Only a change of definition empties a KPI."""
    before = stage()
    before.apply("interactions", [call(1)])
    first = before.freeze(NOON_MS)
    after = stage()
    after.restore(stored(first))
    again = readings(after.freeze(NOON_MS))
    assert again["queue/q/15m"]["kpis"] == readings(first)["queue/q/15m"]["kpis"]
    assert after.included == {"interactions": 2}


def test_what_is_frozen_does_not_change_with_the_next_block() -> None:
    """A flush on its way holds bytes of its instant; the next block is in the next one."""
    made = stage()
    made.apply("interactions", [call(1)])
    flush = made.freeze(NOON_MS)
    frozen = json.dumps(readings(flush)), list(flush.rows[TP("rows", 0)]), dict(flush.offsets)
    made.apply("interactions", [call(2)])
    now = json.dumps(readings(flush)), list(flush.rows[TP("rows", 0)]), dict(flush.offsets)
    assert now == frozen
    second = made.freeze(NOON_MS)
    assert second.offsets == {TP("interactions", 0): 3}
    assert len(second.rows[TP("rows", 0)]) == 1


def test_nothing_is_shown_before_the_partition_has_caught_up() -> None:
    """Rows and offsets are written while catching up; the first readings come after it."""
    behind = stage(caught_up=False)
    behind.apply("interactions", [call(1)])
    flush = behind.freeze(NOON_MS)
    assert flush.outputs == {}
    assert flush.offsets == {TP("interactions", 0): 2}
    behind.catch_up()
    assert readings(behind.freeze(NOON_MS))["queue/q/15m"]["kpis"]["handled"]["value"] == 1


def test_an_idle_partition_flushes_nothing_until_a_window_rolls() -> None:
    """No event, no minute passed: no record; when the window lets the call go, a reading."""
    made = stage()
    made.apply("interactions", [call(1)])
    made.freeze(NOON_MS)
    idle = made.freeze(NOON_MS + 200)
    assert [idle.rows, idle.outputs, idle.states, idle.offsets] == [{}, {}, {}, {}]
    gone = readings(made.freeze(NOON_MS + 16 * MINUTE_MS))
    assert gone["queue/q/15m"]["kpis"]["handled"] == {
        "value": None,
        "samples": 0,
        "definition": "handled/1",
    }


def test_a_replays_now_is_the_least_of_both_topics_clocks() -> None:
    """Only clocks move now; one topic's clock alone moves nothing; a bad one is refused."""
    made = stage(time="replay")
    instants: list[int | None] = []
    for topic, value in (
        ("interactions", b'{"now": 1710504000000}'),
        ("surveys", b'{"now": 1710503940000}'),
        ("surveys", b'{"now": 1e300}'),
        ("surveys", b'{"now": 10000000000000000000}'),
    ):
        made.apply(topic, [Record(topic, 0, len(instants), CLOCK_KEY, value)])
        instants.append(made.engine.now_ms)
    assert instants == [None, *[NOON_MS - MINUTE_MS] * 3]
    dead = made.freeze(None).outputs[TP("dead-letters", 0)]
    assert [dict(record.headers)["kpi-reason"] for record in dead] == [b"invalid", b"invalid"]


TOO_LARGE = RECORD_BYTES_MAX - 100


def test_a_refused_record_that_no_topic_takes_is_told_of_and_left_where_it_is() -> None:
    """One compresses to a thousandth; written whole, it would fail every flush for ever."""
    made = stage()
    bad = Record("interactions", 0, 1, b"k", b"{" + b"a" * TOO_LARGE)
    made.apply("interactions", [call(0), bad, call(2)])
    flush = made.freeze(NOON_MS)
    assert all(fits(record) for records in flush.outputs.values() for record in records)
    (dead,) = flush.outputs[TP("dead-letters", 0)]
    letter = read_letter(bad._replace(key=dead.key, value=dead.value, headers=tuple(dead.headers)))
    assert letter is not None
    assert (letter.is_left_out, letter.value, letter.origin.offset) == (True, None, 1)
    assert dead.headers[-1] == ("kpi-left-out", str(TOO_LARGE + 1).encode())
    (of_queue,) = made.engine.read_all("queue", "1h")
    assert of_queue.figures[0].samples == 2


def test_a_record_that_is_too_large_to_be_moved_is_moved_without_what_is_not_counted() -> None:
    """It counts where it should, and only there."""
    right = partition_of("a-1", 4)
    here, there = stage((right + 1) % 4, 4), stage(right, 4)
    record = call(7, agent_id="a-1", more="x" * TOO_LARGE)
    here.apply("interactions", [record._replace(headers=(("trace", b"t"),))])
    (moved,) = here.freeze(NOON_MS).outputs[TP("agent-facts", right)]
    assert len(moved.value or b"") < 1_000
    fact = Record("agent-facts", right, 0, moved.key, moved.value, tuple(moved.headers))
    plain = call(7, agent_id="a-1")
    for topic, found in (("agent-facts", fact), ("interactions", plain)):
        there.apply(topic, [found])
    there.freeze(NOON_MS)
    (of_agent,) = there.engine.read_all("agent", "1h")
    assert of_agent.figures[0].samples == 1


def test_a_record_on_a_wrong_partition_is_sent_on_unchanged_and_counted_there() -> None:
    """It goes to the agent's partition through agent-facts, with its kind, and counts once."""
    right = partition_of("a-1", 4)
    wrong = (right + 1) % 4
    record = call(7, agent_id="a-1")
    here = stage(wrong, 4)
    here.apply("interactions", [record])
    flush = here.freeze(NOON_MS)
    assert not readings(flush)
    (moved,) = flush.outputs[TP("agent-facts", right)]
    assert (moved.key, moved.value) == (b"a-1", record.value)
    there = stage(right, 4)
    fact = Record("agent-facts", right, 0, moved.key, moved.value, tuple(moved.headers))
    there.apply("agent-facts", [fact, fact._replace(offset=1)])
    (reading,) = [
        r
        for place, records in there.freeze(NOON_MS).outputs.items()
        if place.topic == "kpis"
        for r in (json.loads(record.value or b"{}") for record in records)
        if r.get("window") == "1h"
    ]
    assert reading["kpis"]["handled"]["value"] == 1


def test_a_window_longer_than_what_was_kept_says_since_when_it_is_complete() -> None:
    """After a restart with a longer window, forgotten minutes must not pass for quiet ones."""
    before = stage(windows=("15m",))
    before.apply("interactions", [call(1)])
    first = before.freeze(NOON_MS)
    second = before.freeze(NOON_MS + 3 * 60 * MINUTE_MS)
    after = stage(windows=("15m", "8h"))
    after.restore(stored(first, second))
    late = NOON_MS + 3 * 60 * MINUTE_MS
    after.apply("interactions", [call(2, ended_at=late)])
    shown = readings(after.freeze(late + MINUTE_MS))
    assert shown["queue/q/15m"]["kpis"]["handled"]["value"] == 1
    assert "complete_since" not in shown["queue/q/15m"]
    assert shown["queue/q/8h"]["kpis"]["handled"] == {
        "value": None,
        "samples": 0,
        "definition": "handled/1",
    }
    assert shown["queue/q/8h"]["complete_since"]["handled"] == "2024-03-15T13:45:00.000Z"


def test_what_waits_for_a_flush_is_bounded_in_bytes_too() -> None:
    """While the broker is away, ten thousand large records would be gigabytes."""
    made = stage()
    large = call(0)._replace(value=b"x" * 7 * 1024 * 1024)
    full = []
    for number in (9, 1):
        made.apply("interactions", [large._replace(offset=n) for n in range(number)])
        full.append(made.is_full)
    made.freeze(NOON_MS)
    assert [*full, made.is_full] == [False, True, False]
