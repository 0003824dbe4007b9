"""Shares and reports between stages, without a broker: what is told, kept, awaited and refused."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from faust.types import TP

from stream.core.goals import Goal
from stream.core.rollup import Rollup
from stream.core.tallies import Tally
from stream.kafka import publication
from stream.kafka.codec import CHECKPOINT_KEY
from stream.kafka.delivery import Flush
from stream.kafka.partition import PartitionStage
from stream.kafka.partitioner import partition_of
from stream.kafka.recovery import DisagreementError, sort_records
from stream.kafka.rollupcodec import REPORT, SHARE
from stream.kafka.rollups import RollupStage
from stream.kafka.site import Site
from tests.core.build import goal
from tests.kafka.test_partition import MINUTE_MS, NOON_MS, Record, call, stage, stored

PARTITIONS = 2
SECOND_MS = 1_000


class Word(NamedTuple):
    """A record of the `rollups` topic, as a consumer sees it."""

    key: bytes
    value: bytes | None
    offset: int


class Rollups:
    """The `rollups` topic: one log per partition."""

    def __init__(self) -> None:
        self.logs: list[list[Word]] = [[] for _ in range(PARTITIONS)]

    def take(self, flush: Flush) -> None:
        """Appends what a flush tells."""
        for place, records in flush.outputs.items():
            if place.topic == "rollups":
                log = self.logs[place.partition]
                for record in records:
                    assert record.key is not None
                    log.append(Word(record.key, record.value, len(log)))

    def latest(self, number: int) -> dict[bytes, bytes]:
        """What compaction leaves of a partition."""
        kept: dict[bytes, bytes] = {}
        for word in self.logs[number]:
            if word.value is None:
                kept.pop(word.key, None)
            else:
                kept[word.key] = word.value
        return kept


def sources(**settings: Any) -> list[PartitionStage]:
    """Both partitions' stages."""
    return [stage(number, PARTITIONS, **settings) for number in range(PARTITIONS)]


def rollup(number: int, **settings: Any) -> RollupStage:
    """A rollup stage that has caught up."""
    made = RollupStage(stage(partitions=PARTITIONS, **settings).site, number)
    made.catch_up()
    return made


def recovered(topic: Rollups, number: int, *flushes: Flush, **settings: Any) -> RollupStage:
    """A rollup stage after a restart."""
    made = RollupStage(stage(partitions=PARTITIONS, **settings).site, number)
    made.restore(
        stored(*flushes, changelog="rollups-changelog"),
        topic.latest(number),
        len(topic.logs[number]),
    )
    made.catch_up()
    return made


def readings(flush: Flush) -> dict[str, Mapping[str, Any]]:
    """A flush's readings by key."""
    found = [r for tp, records in flush.outputs.items() if tp.topic == "kpis" for r in records]
    return {r.key.decode(): json.loads(r.value) for r in found if r.key and r.value}


def contact(offset: int, agent: str, **fields: Any) -> Record:
    """A call of queue q on its agent's partition."""
    made = call(offset, agent_id=agent, event_id=f"{agent}-{offset}", **fields)
    return made._replace(partition=partition_of(agent, PARTITIONS), key=agent.encode())


def agents() -> dict[int, str]:
    """An agent of each partition."""
    return {partition_of(f"a{n}", PARTITIONS): f"a{n}" for n in range(9)}


def of_queue() -> int:
    """The rollups partition of queue q."""
    return partition_of("queue/q", PARTITIONS)


def told(parts: Iterable[PartitionStage], topic: Rollups, now_ms: int = NOON_MS) -> None:
    """Every partition flushes."""
    for part in parts:
        topic.take(part.freeze(now_ms))


def test_a_queue_on_two_partitions_is_one_and_says_what_it_includes() -> None:
    """Its parts carry their own instants and offsets; as-of is the oldest of them."""
    parts, topic, made = sources(), Rollups(), rollup(of_queue())
    for number, part in enumerate(parts):
        part.apply("interactions", [contact(4 + number, agents()[number])])
        topic.take(part.freeze(NOON_MS + number))
    made.apply("rollups", topic.logs[of_queue()])
    reading = readings(made.freeze(NOON_MS + 2))["queue/q/15m"]
    assert reading["kpis"]["handled"]["value"] == 2
    assert reading["as_of"] == "2024-03-15T12:00:00.000Z"
    assert reading["stale"] == []
    assert reading["parts"] == [
        {"partition": n, "as_of": f"2024-03-15T12:00:00.00{n}Z", "offsets": {"interactions": 5 + n}}
        for n in range(2)
    ]
    assert "offsets" not in reading


def test_nothing_is_shown_before_every_source_has_reported() -> None:
    """Half a queue is a wrong queue."""
    parts, topic, made = sources(), Rollups(), rollup(of_queue())
    parts[0].apply("interactions", [contact(1, agents()[0])])
    topic.take(parts[0].freeze(NOON_MS))
    made.apply("rollups", topic.logs[of_queue()])
    assert not made.is_complete
    assert readings(made.freeze(NOON_MS)) == {}
    before = len(topic.logs[of_queue()])
    topic.take(parts[1].freeze(NOON_MS))
    made.apply("rollups", topic.logs[of_queue()][before:])
    assert readings(made.freeze(NOON_MS))["queue/q/15m"]["kpis"]["handled"]["value"] == 1


def test_shares_count_with_their_report_and_not_before() -> None:
    """A reader may come upon the middle of another's transaction: it sees none of it."""
    parts, topic, made = sources(), Rollups(), rollup(of_queue())
    told(parts, topic)
    made.apply("rollups", topic.logs[of_queue()])
    seen = len(topic.logs[of_queue()])
    parts[0].apply("interactions", [contact(1, agents()[0]), contact(2, agents()[0])])
    topic.take(parts[0].freeze(NOON_MS + SECOND_MS))
    *shares, report = topic.logs[of_queue()][seen:]
    assert {word.key[:1] for word in shares} == {SHARE}
    assert report.key[:1] == REPORT
    made.apply("rollups", shares)
    assert readings(made.freeze(NOON_MS + SECOND_MS)) == {}
    made.apply("rollups", [report])
    assert readings(made.freeze(NOON_MS + SECOND_MS))["queue/q/1h"]["kpis"]["handled"]["value"] == 2


def test_an_agent_who_changes_team_counts_for_each_what_happened_there() -> None:
    """The event names the team; an agent's later team changes nothing about it."""
    parts, topic = sources(), Rollups()
    agent = agents()[1]
    parts[1].apply("interactions", [contact(n, agent, team_id="red") for n in range(3)])
    parts[1].apply("interactions", [contact(n, agent, team_id="blue") for n in range(3, 5)])
    told(parts, topic)
    counted = {}
    for team in ("red", "blue"):
        made = rollup(partition_of(f"team/{team}", PARTITIONS))
        made.apply("rollups", topic.logs[made.number])
        reading = readings(made.freeze(NOON_MS))[f"team/{team}/8h"]
        counted[team] = reading["kpis"]["handled"]["value"]
    assert counted == {"red": 3, "blue": 2}


def test_a_misplaced_contact_counts_once_for_its_queue() -> None:
    """It is moved to its agent's partition, which alone tells of it."""
    parts, topic, made = sources(), Rollups(), rollup(of_queue())
    agent = agents()[1]
    parts[0].apply("interactions", [contact(1, agent)])
    flush = parts[0].freeze(NOON_MS)
    topic.take(flush)
    moved = [
        Record("agent-facts", 1, n, r.key, r.value, tuple(r.headers))
        for n, r in enumerate(flush.outputs[TP("agent-facts", 1)])
    ]
    parts[1].apply("agent-facts", moved)
    topic.take(parts[1].freeze(NOON_MS))
    made.apply("rollups", topic.logs[of_queue()])
    assert readings(made.freeze(NOON_MS))["queue/q/15m"]["kpis"]["handled"]["value"] == 1


def test_an_idle_partition_reports_once_a_second() -> None:
    """Its part would go stale otherwise; nor does it write at every flush."""
    parts, topic = sources(), Rollups()
    for step in range(0, 3_000, 200):
        topic.take(parts[0].freeze(NOON_MS + step))
    assert [word.key[:1] for word in topic.logs[0]] == [REPORT] * 3


def test_a_restart_goes_on_where_it_was() -> None:
    """Figures, alert-free state and revision are those of a stage that was never stopped."""
    rng = random.Random(1)
    parts, topic, steady = sources(), Rollups(), rollup(of_queue())
    flushes: list[Flush] = []
    seen, offset = 0, 0
    for step in range(20):
        now = NOON_MS + step * 20 * SECOND_MS
        for number, part in enumerate(parts):
            block = [
                contact(offset := offset + 1, agents()[number], ended_at=now - rng.randrange(10**6))
                for _ in range(rng.randrange(4))
            ]
            if block:
                part.apply("interactions", block)
        told(parts, topic, now)
        steady.apply("rollups", topic.logs[of_queue()][seen:])
        seen = len(topic.logs[of_queue()])
        flushes.append(steady.freeze(now))
        again = recovered(topic, of_queue(), *flushes)
        again.freeze(now)
        assert again.included == steady.included
        for window in ("15m", "today"):
            assert again.engine.read_all("queue", window) == steady.engine.read_all("queue", window)


def test_a_partition_that_died_in_the_middle_of_telling_is_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some of its sums were replaced by newer ones: what they add up to holds at no instant."""
    monkeypatch.setattr(publication, "ROWS_PER_FLUSH_MAX", 1)
    parts, topic = sources(), Rollups()
    told(parts, topic)
    reported = len(topic.logs[of_queue()])
    earlier = contact(1, agents()[0], ended_at=NOON_MS - 3 * MINUTE_MS)
    parts[0].apply("interactions", [earlier, contact(2, agents()[0])])
    half = parts[0].freeze(NOON_MS + SECOND_MS)
    topic.take(half)
    assert [word.key[:1] for word in topic.logs[of_queue()][reported:]] == [SHARE]
    made = recovered(topic, of_queue())
    shown = [made.is_complete]
    assert readings(made.freeze(NOON_MS + SECOND_MS)) == {}
    again = stage(0, PARTITIONS)
    again.restore(stored(half))
    seen = len(topic.logs[of_queue()])
    for step in range(2, 8):
        topic.take(again.freeze(NOON_MS + step * SECOND_MS))
    made.apply("rollups", topic.logs[of_queue()][seen:])
    shown.append(made.is_complete)
    assert shown == [False, True]
    made.freeze(NOON_MS + 8 * SECOND_MS)
    found = {reading.scope_id: reading for reading in made.engine.read_all("queue", "1h")}
    assert {figure.kpi.name: figure.value for figure in found["q"].figures}["handled"] == 2


@pytest.mark.parametrize("time", ["live", "replay"])
def test_after_a_restart_no_reading_is_of_an_instant_beyond_its_window(time: str) -> None:
    """The sources went on while it was down: its windows do too before anything is shown."""
    parts, topic, before = sources(), Rollups(), rollup(of_queue())
    parts[0].apply("interactions", [contact(1, agents()[0])])
    told(parts, topic)
    before.apply("rollups", topic.logs[of_queue()])
    before.must_commit = True
    flush = before.freeze(NOON_MS)
    later_ms = NOON_MS + 10 * MINUTE_MS
    told(parts, topic, later_ms)
    again = recovered(topic, of_queue(), flush, time=time)
    reading = readings(again.freeze(later_ms if time == "live" else None))["queue/q/15m"]
    assert reading["as_of"] == reading["to"] == "2024-03-15T12:10:00.000Z"


def test_minutes_that_other_settings_have_replaced_are_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half told by other settings, what they replaced is gone: the rest is not the whole."""
    parts, topic = sources(), Rollups()
    earlier = contact(1, agents()[0], ended_at=NOON_MS - 3 * MINUTE_MS)
    parts[0].apply("interactions", [earlier, contact(2, agents()[0])])
    flushes = [part.freeze(NOON_MS) for part in parts]
    for flush in flushes:
        topic.take(flush)
    assert recovered(topic, of_queue()).is_complete
    monkeypatch.setattr(publication, "ROWS_PER_FLUSH_MAX", 1)
    other = stage(0, PARTITIONS, service_level="10s")
    other.restore(stored(flushes[0]))
    topic.take(other.freeze(NOON_MS + SECOND_MS))
    assert not recovered(topic, of_queue()).is_complete


def test_sources_with_other_windows_are_not_added_up() -> None:
    """By shorter ones they have forgotten minutes that longer ones still need."""
    parts, topic = sources(windows=["15m"]), Rollups()
    told(parts, topic)
    assert recovered(topic, of_queue(), windows=["15m"]).is_complete
    assert not recovered(topic, of_queue(), windows=["15m", "8h"]).is_complete


def test_a_source_that_comes_back_behind_the_windows_stays_stale() -> None:
    """They have rolled on without it and do not go back: both would be of no instant."""
    parts, topic, made = sources(), Rollups(), rollup(of_queue())
    before = NOON_MS + 49 * SECOND_MS
    for number, part in enumerate(parts):
        part.apply("interactions", [contact(1, agents()[number])])
    told(parts, topic, before)
    made.apply("rollups", topic.logs[of_queue()])
    made.freeze(before)
    stale = []
    for number, now_ms in ((0, before + 13 * SECOND_MS), (1, before + 6_000), (1, before + 14_000)):
        seen = len(topic.logs[of_queue()])
        topic.take(parts[number].freeze(now_ms))
        made.apply("rollups", topic.logs[of_queue()][seen:])
        shown = readings(made.freeze(before + 14 * SECOND_MS))
        stale.append(made.engine.stale)
        for reading in shown.values():
            assert reading["stale"] == made.engine.stale
    assert stale == [[1], [1], []]


def test_without_fencing_a_stale_owner_may_have_the_last_word() -> None:
    """A zombie's report of a lower sequence is no reason to refuse the start."""
    parts, topic, made = sources(), Rollups(), rollup(of_queue())
    zombie = stage(0, PARTITIONS)
    for step in range(9):
        told(parts, topic, NOON_MS + step * SECOND_MS)
    made.apply("rollups", topic.logs[of_queue()])
    made.must_commit = True
    flush = made.freeze(NOON_MS + 9 * SECOND_MS)
    topic.take(zombie.freeze(NOON_MS + 9 * SECOND_MS))
    assert recovered(topic, of_queue(), flush, delivery="at_least_once").is_complete
    with pytest.raises(DisagreementError, match="holds no report"):
        recovered(topic, of_queue(), flush)


def test_after_a_restart_only_what_was_not_told_is_told() -> None:
    """All of it where the queues' teams are others now, or a threshold: the sums are others."""
    parts = sources()
    parts[0].apply("interactions", [contact(1, agents()[0])])
    flush = parts[0].freeze(NOON_MS)

    def tells(**settings: Any) -> int:
        after = stage(0, PARTITIONS, **settings)
        after.restore(stored(flush))
        records = after.freeze(NOON_MS + SECOND_MS).outputs
        return sum(
            (r.key or b"")[:1] == SHARE
            for place, words in records.items()
            for r in words
            if place.topic == "rollups"
        )

    assert tells() == 0
    assert tells(queues={"q": {"team": "red"}}) == 2
    assert tells(service_level="10s") == 1


def test_a_source_run_by_other_rules_is_not_added_up() -> None:
    """Its sums mean something else; it goes stale until all workers have the same settings."""
    topic, made = Rollups(), rollup(of_queue())
    told(sources(), topic)
    made.apply("rollups", topic.logs[of_queue()])
    seen = len(topic.logs[of_queue()])
    other = sources(service_level="10s")
    other[0].apply("interactions", [contact(1, agents()[0])])
    topic.take(other[0].freeze(NOON_MS + SECOND_MS))
    made.apply("rollups", topic.logs[of_queue()][seen:])
    made.freeze(NOON_MS + 20 * SECOND_MS)
    assert made.engine.read_all("queue", "15m") == []
    assert made.engine.stale == [0, 1]
    assert not recovered(topic, of_queue()).is_complete


def test_a_topic_without_what_was_read_from_it_is_refused() -> None:
    """Recreated, it would be filled with today's changes only: a gap that nothing shows."""
    parts, topic, made = sources(), Rollups(), rollup(of_queue())
    parts[0].apply("interactions", [contact(1, agents()[0])])
    told(parts, topic)
    made.apply("rollups", topic.logs[of_queue()])
    flush = made.freeze(NOON_MS)
    assert [r.key for r in flush.states[TP("rollups-changelog", of_queue())]] == [CHECKPOINT_KEY]
    assert recovered(topic, of_queue(), flush).is_complete
    with pytest.raises(DisagreementError, match="holds no report 1 of partition 0"):
        recovered(Rollups(), of_queue(), flush)


def test_forgotten_minutes_get_their_tombstones() -> None:
    """Or the topic would grow for ever."""
    parts, topic = sources(windows=["15m"]), Rollups()
    parts[0].apply("interactions", [contact(1, agents()[0])])
    told(parts, topic)
    assert any(key[:1] == SHARE for key in topic.latest(of_queue()))
    told(parts, topic, NOON_MS + 3 * 60 * MINUTE_MS)
    assert not any(key[:1] == SHARE for key in topic.latest(of_queue()))


def test_an_alert_id_never_comes_twice_over_a_restart() -> None:
    """Misses that begin twice at one instant have ids of two; a restart knows of the later."""
    rules = [goal(">= 4", name="csat", kpi="csat_mean", scope="queue", window="1h")]
    parts, topic = sources(), Rollups()
    made = rollup(of_queue())
    made.engine = Rollup(replace(made.site.rollup_rules, goals=tuple(rules)), PARTITIONS)
    made.catch_up()
    fired, scores = [], [1, 5, 1]
    seen = 0
    flush = Flush(0)
    for step, score in enumerate(scores):
        answers = [answer(100 * step + n, agents()[0], csat=score) for n in range(10 ** (step + 1))]
        parts[0].apply("surveys", answers)
        topic.take(parts[0].freeze(NOON_MS + step * SECOND_MS))
        if not step:
            topic.take(parts[1].freeze(NOON_MS))
        made.apply("rollups", topic.logs[of_queue()][seen:])
        seen = len(topic.logs[of_queue()])
        flush = made.freeze(NOON_MS + step * SECOND_MS)
        fired += alerts(flush, "firing")
    assert len(fired) == 2
    again = RollupStage(made.site, of_queue())
    again.engine = Rollup(made.engine.rules, PARTITIONS)
    again.restore(stored(flush, changelog="rollups-changelog"), topic.latest(of_queue()), seen)
    assert again.engine.verdicts.after_ms == NOON_MS + 1


def answer(offset: int, agent: str, **fields: Any) -> Record:
    """An answered survey in queue q."""
    event = {"event_id": f"s-{offset}", "agent_id": agent, "queue": "q", **fields}
    event["answered_at"] = NOON_MS - MINUTE_MS
    number = partition_of(agent, PARTITIONS)
    return Record("surveys", number, offset, agent.encode(), json.dumps(event).encode())


def alerts(flush: Flush, state: str) -> list[str]:
    """The ids of a flush's transitions to a state."""
    found = [r for tp, records in flush.outputs.items() if tp.topic == "alerts" for r in records]
    told = [json.loads(r.value) for r in found if r.value]
    return [alert["alert_id"] for alert in told if alert["state"] == state]


def test_shares_of_forgotten_minutes_are_deleted_in_the_flush_that_deletes_their_rows() -> None:
    """Told later, a crash in between would leave them in the topic for ever."""
    parts = sources(windows=["15m"])
    parts[0].apply("interactions", [contact(1, agents()[0])])
    parts[0].freeze(NOON_MS)
    later = NOON_MS + 3 * 60 * MINUTE_MS
    parts[0].engine.tick(later - 100)
    parts[0]._publication._told_ms = later - 100  # type: ignore[union-attr]  # too soon to tell
    flush = parts[0].freeze(later)
    gone = [r for r in flush.rows[TP("rows", 0)] if r.value is None]
    deleted = [
        r.key
        for tp, records in flush.outputs.items()
        for r in records
        if tp.topic == "rollups" and r.value is None
    ]
    assert len(gone) == 1
    assert len(deleted) == len(set(deleted)) > 0


def far_apart(time: str) -> tuple[list[PartitionStage], Rollups, RollupStage]:
    """After a restart: one source has gone two hours on, and forgotten the other's minutes."""
    parts, topic = sources(windows=["15m"]), Rollups()
    for number, part in enumerate(parts):
        part.apply("interactions", [contact(1, agents()[number])])
    told(parts, topic)
    topic.take(parts[0].freeze(NOON_MS + 120 * MINUTE_MS))
    return parts, topic, recovered(topic, of_queue(), windows=["15m"], time=time)


def test_what_a_source_far_ahead_has_forgotten_is_not_taken_for_nothing() -> None:
    """The figures say since when they are complete."""
    _, _, made = far_apart("live")
    (reading,) = made.engine.read_all("queue", "15m")
    assert {figure.value for figure in reading.figures} == {None}
    assert dict(reading.complete_from)["handled"] == (NOON_MS // MINUTE_MS) + 120 - 75


def test_a_replay_shows_nothing_until_its_windows_are_whole_again() -> None:
    """Its partitions are read at different speeds; the slow one comes to where the other was."""
    parts, topic, made = far_apart("replay")
    shown = []
    for minute in (30, 59, 61, 120):
        seen = len(topic.logs[of_queue()])
        topic.take(parts[1].freeze(NOON_MS + minute * MINUTE_MS))
        made.apply("rollups", topic.logs[of_queue()][seen:])
        shown.append((made.is_complete, made.engine.verdicts.open))
    assert shown == [(False, False), (False, False), (True, True), (True, True)]
    assert made.engine.now_ms == NOON_MS + 120 * MINUTE_MS


def test_reports_tally_the_agents_of_the_teams_that_are_summed_there() -> None:
    """A partition of the scopes hears of its own teams only; a restart knows what it heard."""
    goals = (
        goal("<= 1m", name="of-teams", scope="team", window="15m"),
        goal("<= 1m", name="of-agents", window="15m"),
    )
    parts = [PartitionStage(replaced(part.site, goals), part.number) for part in sources()]
    topic, number = Rollups(), partition_of("team/red", PARTITIONS)
    for part in parts:
        part.restore(sort_records({}))
        part.engine.tick(NOON_MS)
        part.catch_up()
        slow = contact(1, agents()[part.number], team_id="red", talk_ms=600_000)
        part.apply("interactions", [slow])
    told(parts, topic)
    made = recovered(topic, number)
    tallies = [report.tallies for report in made.engine.reports.values()]
    assert tallies == [{"red": {"handle_time": Tally(1, 1)}}] * PARTITIONS
    others = recovered(topic, 1 - number)
    assert [report.tallies for report in others.engine.reports.values()] == [{}] * PARTITIONS


def replaced(site: Site, goals: tuple[Goal, ...]) -> Site:
    """A site with these goals."""
    return replace(site, rules=replace(site.rules, goals=goals))
