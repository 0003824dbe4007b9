"""Scopes over several partitions: whatever the order of reports, the figures are those of SQL."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.core.engine import Engine
from stream.core.kpis import SCOPE_KINDS
from stream.core.measures import Threshold, Thresholds
from stream.core.rollup import STALE_AFTER_MS, Batch, Report, Rollup
from stream.core.rules import Rules
from stream.core.windows import parse_window
from tests.core.auditor import LENGTHS, MINUTE, QUEUE_TEAMS, ZONE, Auditor
from tests.core.build import goal
from tests.core.test_properties import _STEPS, START, Script, applied, audited, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.core.goals import Goal
    from stream.core.kpis import ScopeKind

SOURCES: Final = 3
SHARED: Final[tuple[ScopeKind, ...]] = SCOPE_KINDS[1:]


def rules(kinds: tuple[ScopeKind, ...], *goals: Goal, shared: bool = False) -> Rules:
    """The auditor's rules."""
    return Rules(
        tuple(parse_window(name, ZONE) for name in LENGTHS),
        kinds,
        goals,
        Thresholds(by_queue={"q2": Threshold(30_000, 2_000)}),
        QUEUE_TEAMS,
        shared_kinds=SHARED if shared else (),
    )


def sources() -> list[Engine]:
    """Partitions that share what they add to teams, queues and the like."""
    made = [Engine(rules(("agent",), shared=True)) for _ in range(SOURCES)]
    for engine in made:
        engine.tick(START)
    return made


def batch(number: int, engine: Engine, **report: Any) -> Batch:
    """What a partition has to tell since last time."""
    places, sums = engine.shares.take(None)
    assert engine.now_ms is not None
    said = {"source": number, "as_of_ms": engine.now_ms, "offsets": {}, "complete_from": {}}
    return Batch(Report(**{**said, **report}), places, sums)


def agree(rollup: Rollup, auditor: Auditor) -> None:
    """Every KPI of every scope in every window is what the auditor counts."""
    for kind in SHARED:
        for window in LENGTHS:
            found = plain(rollup.read_all(kind, window))
            assert found == auditor.figures(kind, window), (kind, window)


@given(steps=_STEPS, seed=st.integers(0, 999))
@settings(max_examples=250, deadline=None)
def test_parts_in_any_order_add_up_to_what_one_would_count(steps: list[Any], seed: int) -> None:
    """Events go to any partition, batches come in any interleaving, and some come again."""
    rng, script, auditor = random.Random(seed), Script(), audited()
    parts, rollup = sources(), Rollup(rules(SHARED), SOURCES)
    told: list[list[Batch]] = [[] for _ in parts]
    for step in steps:
        if isinstance(step, int):
            script.now += step
            auditor.tick(script.now)
            for engine in parts:
                engine.tick(script.now)
        else:
            block = script.block(step)
            auditor.apply(block)
            for number, engine in enumerate(parts):
                mine = [e for e in block if crc32(e["event_id"].encode()) % SOURCES == number]
                applied(engine, mine)
                if rng.random() < 0.7:  # else it tells this and the next block together
                    told[number].append(batch(number, engine))
        if rng.random() < 0.5:
            deliver(rollup, parts, told, rng)
            rollup.roll(script.now)
            agree(rollup, auditor)
    deliver(rollup, parts, told, rng)
    rollup.roll(script.now)
    agree(rollup, auditor)


def deliver(
    rollup: Rollup, parts: Sequence[Engine], told: list[list[Batch]], rng: random.Random
) -> None:
    """Brings all batches: each source's in order, one at times twice, sources in any order."""
    for number, engine in enumerate(parts):
        told[number].append(batch(number, engine))
    while any(told):
        queue = rng.choice([queue for queue in told if queue])
        rollup.absorb(queue[0])
        if rng.random() < 0.8:
            queue.pop(0)


def test_a_scope_leaves_with_the_last_of_its_minutes() -> None:
    """An idle source rolls out of the window all the same, and its scope gets its tombstones."""
    script, parts = Script(), sources()
    rollup = Rollup(rules(SHARED), SOURCES)
    event = {"type": "survey", "csat": 5, "queue": "q1", "team_id": "t1"}
    applied(parts[0], script.block([(MINUTE, event)]))
    for number, engine in enumerate(parts):
        rollup.absorb(batch(number, engine))
    rollup.begin_judging()
    rollup.roll(START + 1)
    assert {reading.scope for reading in rollup.take_readings()[0]} == {"team", "queue"}
    later = START + LENGTHS["2d"] + 3 * LENGTHS["1h"]
    rollup.roll(later + STALE_AFTER_MS)
    gone = set(rollup.take_readings()[1])
    assert {key.scope for key in gone} == {"team", "queue"}
    assert {key.window for key in gone} == set(LENGTHS)
    assert len(rollup.rows) == 0
    assert not rollup.tables["team"].slots


def test_a_stale_source_is_included_and_holds_verdicts() -> None:
    """Nobody is judged by half a team; once the source is back the miss is announced."""
    parts = sources()
    of_team = goal(">= 4", name="csat", kpi="csat_mean", scope="team", window="1h")
    rollup = Rollup(rules(SHARED, of_team), SOURCES)
    for number, engine in enumerate(parts):
        rollup.absorb(batch(number, engine))
    rollup.begin_judging()
    rollup.roll(START)
    assert rollup.stale == []
    bad = {"type": "survey", "csat": 1, "team_id": "t1"}
    now = START + MINUTE
    for number in (0, 1):
        parts[number].tick(now)
        applied(parts[number], Script().block([(MINUTE, {**bad, "agent_id": f"a{number}"})]))
        rollup.absorb(batch(number, parts[number]))
    rollup.roll(now)
    assert rollup.stale == [2]
    assert rollup.as_of_ms == START
    assert rollup.now_ms == now
    (reading,) = rollup.read_all("team", "1h")
    assert plain([reading])["t1"]["csat_mean"] == (1, 2)
    assert reading.judgements == ()
    assert rollup.take_alerts()[0] == []
    parts[2].tick(now + 1)
    rollup.absorb(batch(2, parts[2]))
    rollup.roll(now + 1)
    assert rollup.stale == []
    (fired,) = rollup.take_alerts()[0]
    assert (fired.key.scope_id, fired.transition.change) == ("t1", "firing")


def test_a_replay_goes_on_when_every_source_has_come_to_an_instant() -> None:
    """Whatever is read faster, goals are judged at the same instants on the same figures."""

    def instants(order: Sequence[int]) -> list[tuple[int, str]]:
        of_team = goal(">= 4", name="csat", kpi="csat_mean", scope="team", window="1h")
        rollup, parts = Rollup(rules(SHARED, of_team), SOURCES), sources()
        told: list[list[Batch]] = [[] for _ in parts]
        for step in range(4):
            for number, engine in enumerate(parts):
                score = 1 if (step, number) == (1, 0) else 5
                event = {"type": "survey", "csat": score, "team_id": f"t{step}"}
                drafts = Script()
                drafts.now = START + step * MINUTE
                drafts.sent = [{}] * (10 * step + number)
                applied(engine, drafts.block([(0, event)]))
                engine.tick(START + (step + 1) * MINUTE)
                told[number].append(batch(number, engine, settled=step == 3))
        rollup.begin_judging()
        for number in order:
            rollup.wait_for_others(told[number].pop(0))
        assert rollup.now_ms == START + 4 * MINUTE
        assert rollup.readings.settling
        return [(a.transition.at_ms, a.key.scope_id) for a in rollup.take_alerts()[0]]

    expected = [(START + 2 * MINUTE, "t1")]
    assert instants([0, 0, 0, 0, 1, 2, 2, 1, 2, 1, 1, 2]) == expected
    assert instants([0, 1, 2] * 4) == expected
    assert instants([0] * 4 + [1] * 4 + [2] * 4) == expected
    assert instants([2, 2, 1, 0, 0, 0, 2, 1, 1, 2, 0, 1]) == expected


def test_a_replay_does_not_wait_for_a_source_that_is_through() -> None:
    """After a restart its end stands in the topic, and it will say nothing more."""
    parts, rollup = sources(), Rollup(rules(SHARED), SOURCES)
    for engine in parts:
        engine.tick(START + 10 * MINUTE)
    rollup.absorb(batch(0, parts[0], settled=True))
    for number in (1, 2):
        for step in (1, 5, 10):
            at = START + step * MINUTE
            end = {"as_of_ms": at, "settled": step == 10}
            rollup.wait_for_others(batch(number, parts[number], **end))
    assert rollup.now_ms == START + 10 * MINUTE
    assert rollup.readings.settling


def test_a_replay_that_ends_while_it_waits_for_minutes_says_since_when_it_is_complete() -> None:
    """After a restart a slow source may never come as far as one that has forgotten them."""
    parts, rollup = sources(), Rollup(rules(SHARED), SOURCES)
    kept_from = START // MINUTE
    rollup.absorb(batch(0, parts[0], as_of_ms=START + 9**9, settled=True, kept_from=kept_from))
    rollup.absorb(batch(1, parts[1], as_of_ms=START + 1, settled=True))
    for settled in (False, True):
        rollup.wait_for_others(batch(2, parts[2], as_of_ms=START + settled, settled=settled))
        assert rollup.lacks_minutes is not settled
    rollup.begin_judging()
    assert rollup.readings.complete_from["handled"] == kept_from
