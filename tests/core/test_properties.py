"""Whatever comes, in whatever order: the engine equals a model that counts everything anew."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.core.engine import Engine
from stream.core.kpis import SCOPE_KINDS
from stream.core.measures import Threshold, Thresholds
from stream.core.rows import RowKey, StoredRows
from stream.core.rules import Rules
from stream.core.windows import parse_window
from tests.core.auditor import HOUR, KINDS, LENGTHS, MINUTE, QUEUE_TEAMS, ZONE, Auditor, Fields
from tests.core.build import from_mapping, goal, ms, stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.core.alerts import AlertState
    from stream.core.dims import Dims
    from stream.core.goals import Goal
    from stream.core.readings import Reading, ReadingKey
    from stream.core.verdicts import AlertKey, Announcement

# Half a day before Berlin's clocks go forward.
START: Final = ms("2024-03-30T12:00:00Z")
GOALS: Final = (
    goal("<= 5s", name="talk", kpi="talk_time"),
    goal(">= 80%", name="level", kpi="service_level", scope="queue", window="8h"),
    goal(">= 4", name="csat", kpi="csat_mean", scope="team", window="today"),
)
BOUNDS: Final = {"talk": (-1, 5.0), "level": (1, 0.8), "csat": (1, 4.0)}

# ---------------------------------------------------------------- what may come

_NAMES: Final = {
    "agent_id": st.sampled_from(["a1", "a2", None]),
    "team_id": st.sampled_from(["t1", "t2", None]),
    "queue": st.sampled_from(["q1", "q2", None]),
    "channel": st.sampled_from(["v", None]),
    "site_id": st.sampled_from(["s", None]),
}
_CALLS = st.fixed_dictionaries(
    {
        **_NAMES,
        "type": st.just("interaction"),
        "interaction_id": st.just("c"),
        "outcome": st.sampled_from(["handled", "handled", "abandoned", "callback", "other"]),
        "wait_ms": st.sampled_from([None, 0, 2_000, 2_001, 5_000, 20_000, 20_001, 30_001]),
    },
    optional={
        "campaign": st.just("c1"),
        "leg": st.sampled_from([1, 2, None]),
        "direction": st.sampled_from(["outbound", None]),
        "talk_ms": st.sampled_from([None, 0, 5_000, 7_001]),
        "hold_ms": st.sampled_from([None, 0, 7]),
        "wrap_ms": st.sampled_from([None, 0, 9]),
        "resolved": st.sampled_from([None, True, False]),
        "transferred_by": st.sampled_from(["agent", "queue"]),
    },
)
_SURVEYS = st.fixed_dictionaries(
    {**_NAMES, "type": st.just("survey")},
    optional={
        "csat": st.sampled_from([1, 3, 4, 5]),
        "nps": st.sampled_from([0, 6, 7, 9]),
        "ces": st.sampled_from([1, 7]),
    },
)
_EDGES: Final = (0, *LENGTHS.values(), LENGTHS["2d"] + HOUR, LENGTHS["2d"] + 2 * HOUR)
_AGES = st.one_of(
    st.integers(-6 * MINUTE, 2 * HOUR),
    st.integers(0, 50 * HOUR),
    st.builds(
        lambda edge, off: edge + off,
        st.sampled_from(_EDGES),
        st.sampled_from([-MINUTE - 1, -MINUTE, -1, 0, 1, MINUTE]),
    ),
)
_DRAFTS = st.tuples(_AGES, st.one_of(_CALLS, _CALLS, _SURVEYS))
_REPEATS = st.integers(0, 99)
_BLOCKS = st.lists(st.one_of(_DRAFTS, _DRAFTS, _DRAFTS, _REPEATS), min_size=1, max_size=12)
_JUMPS = st.one_of(
    st.sampled_from([0, 1, 200, MINUTE - 1, MINUTE, HOUR, 24 * HOUR, 49 * HOUR, 100 * HOUR]),
    st.integers(0, 3 * MINUTE),
    st.integers(0, 30 * HOUR),
)
_STEPS = st.lists(st.one_of(_BLOCKS, _BLOCKS, _JUMPS), min_size=3, max_size=14)


class Script:
    """Makes events of drafts: an age becomes a time, a number an earlier event again."""

    def __init__(self) -> None:
        """At the start, with nothing sent."""
        self.now = START
        self.sent: list[Fields] = []

    def block(self, drafts: Sequence[Any]) -> list[Fields]:
        """The events of one block."""
        block = []
        for draft in drafts:
            if isinstance(draft, int):
                block += [self.sent[draft % len(self.sent)]] if self.sent else []
                continue
            age, fields = draft
            block.append({**fields, "event_id": f"e{len(self.sent)}", "at": self.now - age})
            self.sent.append(block[-1])
        return block


def applied(made: Engine, block: Sequence[Fields]) -> tuple[int, int, list[tuple[int, str]]]:
    """What the engine makes of plain events."""
    events = []
    for event in block:
        time = "answered_at" if event["type"] == "survey" else "ended_at"
        named = {time if name == "at" else name: value for name, value in event.items()}
        events.append(from_mapping(named))
    return made.apply(events)


def fresh(goals: tuple[Goal, ...] = (), *, at: int | None = START) -> Engine:
    """An engine by the auditor's rules."""
    own = {"q2": Threshold(30_000, 2_000)}
    windows = tuple(parse_window(name, ZONE) for name in LENGTHS)
    rules = Rules(windows, SCOPE_KINDS, goals, Thresholds(by_queue=own), QUEUE_TEAMS)
    made = Engine(rules)
    if at is not None:
        made.tick(at)
    return made


def audited() -> Auditor:
    """An auditor at the start."""
    auditor = Auditor()
    auditor.tick(START)
    return auditor


def read(made: Engine) -> dict[tuple[str, str], list[Reading]]:
    """All readings of an engine, by kind and window, in the order of their ids."""
    return {
        (kind, window): sorted(made.read_all(kind, window), key=lambda r: r.scope_id)
        for kind in SCOPE_KINDS
        for window in LENGTHS
    }


def plain(readings: Sequence[Reading]) -> dict[str, dict[str, Any]]:
    """Values and samples by scope and KPI."""
    return {r.scope_id: {f.kpi.name: f[1:] for f in r.figures} for r in readings}


def agree(made: Engine, auditor: Auditor) -> None:
    """Every KPI of every scope in every window is what the auditor counts; so is every team."""
    for kind in KINDS:
        for window in LENGTHS:
            readings = made.read_all(kind, window)
            assert plain(readings) == auditor.figures(kind, window), (kind, window)
    teams = auditor.teams()
    for reading in made.read_all("agent", "2d"):
        assert reading.team == teams.get(reading.scope_id)


# ---------------------------------------------------------------- the properties


@given(steps=_STEPS)
@settings(max_examples=400, deadline=None)
def test_incremental_equals_counting_anew_at_every_step(steps: list[Any]) -> None:
    """What is accepted, refused and counted is the same after every block and every tick.

    Random times, disorder, repeats, jumps of days and a clock change are in it.
    """
    script, made, auditor = Script(), fresh(), audited()
    for step in steps:
        if isinstance(step, int):
            script.now += step
            made.tick(script.now)
            auditor.tick(script.now)
        else:
            block = script.block(step)
            assert applied(made, block) == auditor.apply(block)
        agree(made, auditor)


@given(drafts=st.lists(_DRAFTS, max_size=15), jumps=st.lists(_JUMPS, max_size=8))
@settings(max_examples=150, deadline=None)
def test_windows_roll_with_no_events(drafts: list[Any], jumps: list[int]) -> None:
    """After its last event a partition goes on letting go of what is past."""
    script, made, auditor = Script(), fresh(), audited()
    block = script.block(drafts)
    assert applied(made, block) == auditor.apply(block)
    for jump in jumps:
        script.now += jump
        made.tick(script.now)
        auditor.tick(script.now)
        agree(made, auditor)


@given(
    drafts=st.lists(_DRAFTS, max_size=20), jumps=st.lists(_JUMPS, max_size=3), seed=st.integers()
)
@settings(max_examples=150, deadline=None)
def test_order_within_the_retention_does_not_matter(
    drafts: list[Any], jumps: list[int], seed: int
) -> None:
    """The same events shuffled and cut into other blocks give the same readings, then and later."""
    block = Script().block(drafts)
    shuffled = random.Random(seed).sample(block, len(block))
    one, other = fresh(), fresh()
    applied(one, block)
    for start in range(0, len(shuffled), 3):
        applied(other, shuffled[start : start + 3])
    assert read(one) == read(other)
    now = START
    for jump in jumps:
        now += jump
        one.tick(now)
        other.tick(now)
        assert read(one) == read(other)


@given(steps=_STEPS, seed=st.integers())
@settings(max_examples=150, deadline=None)
def test_repeats_change_nothing(steps: list[Any], seed: int) -> None:
    """To get all that counted again and again, in any order, is the same as to get it once."""
    script, once, often = Script(), fresh(), fresh()
    counted: list[Fields] = []
    chance = random.Random(seed)
    for step in steps:
        if isinstance(step, int):
            script.now += step
            once.tick(script.now)
            often.tick(script.now)
        else:
            block = script.block(step)
            refused = {position for position, _ in applied(once, block)[2]}
            counted += [event for i, event in enumerate(block) if i not in refused]
            applied(often, block)
            again = chance.sample(counted, len(counted))
            assert applied(often, again)[0] == 0
        assert read(once) == read(often)
    assert len(once.rows) == len(often.rows)


class Changelog:
    """What is stored of an engine: rows and alerts as they were last taken."""

    def __init__(self) -> None:
        """Nothing stored."""
        self.rows: dict[RowKey[Dims], tuple[Any, ...]] = {}
        self.alerts: dict[AlertKey, AlertState] = {}

    def store(self, made: Engine) -> list[Announcement]:
        """Writes what changed since the last time, deletions last, as a flush does."""
        changed, evicted = made.take_rows()
        found = stored(made.rows, changed)
        for values in zip(*found._replace(dims_at=changed), strict=True):
            minute, segment, dims, *_ = values
            self.rows[RowKey(int(minute), int(segment), dims)] = values
        for key in evicted:
            self.rows.pop(key, None)
        announcements, states = made.take_alerts()
        for alert, state in states.items():
            if state is None:
                self.alerts.pop(alert, None)
            else:
                self.alerts[alert] = state
        return announcements

    def restored(self, goals: tuple[Goal, ...] = ()) -> Engine:
        """A new engine from what is stored."""
        made = fresh(goals, at=None)
        if self.rows:
            minute, segment, dims, _, latest_ms, ids, sums = zip(*self.rows.values(), strict=True)
            every = np.arange(len(dims))
            numbers = (np.array(column) for column in (minute, segment, latest_ms, sums))
            minutes, segments, latest, measures = numbers
            made.restore_rows(StoredRows(minutes, segments, dims, every, latest, ids, measures))
        for key, state in self.alerts.items():
            made.restore_alert(key, state)
        return made


@given(steps=_STEPS, restarts=st.lists(st.booleans(), min_size=14, max_size=14))
@settings(max_examples=150, deadline=None)
def test_a_restart_is_invisible(steps: list[Any], restarts: list[bool]) -> None:
    """An engine restored from the changed rows of each flush goes on as if nothing had been.

    Outcomes and readings are the same, however often it is restarted.
    """
    script, whole, broken, changelog = Script(), fresh(), fresh(), Changelog()
    for step, restart in zip(steps, restarts, strict=False):
        if isinstance(step, int):
            script.now += step
            whole.tick(script.now)
            broken.tick(script.now)
        else:
            block = script.block(step)
            assert applied(whole, block) == applied(broken, block)
        changelog.store(broken)
        if restart:
            broken = changelog.restored()
            broken.tick(script.now)
        assert read(whole) == read(broken)


@given(steps=_STEPS, restarts=st.lists(st.booleans(), min_size=14, max_size=14))
@settings(max_examples=150, deadline=None)
def test_what_fires_is_what_is_missed(steps: list[Any], restarts: list[bool]) -> None:
    """Under goals that need no patience and no proof, what misses its target has an alert.

    At every instant the announcements add up to them, and so do the stored states, restarts
    included.
    """
    script, auditor, changelog = Script(), audited(), Changelog()
    made = fresh(GOALS)
    made.begin_judging()
    announced: set[AlertKey] = set()
    for step, restart in zip(steps, restarts, strict=False):
        if isinstance(step, int):
            script.now += step
            auditor.tick(script.now)
        else:
            block = script.block(step)
            auditor.apply(block)
            applied(made, block)
        made.tick(script.now)
        for announcement in changelog.store(made):
            fired = announcement.transition.change == "firing"
            assert fired != (announcement.key in announced)
            (announced.add if fired else announced.remove)(announcement.key)
        assert announced == set(changelog.alerts) == missed(auditor)
        if restart:
            made = changelog.restored(GOALS)
            made.tick(script.now)
            made.begin_judging()


def missed(auditor: Auditor) -> set[tuple[str, str]]:
    """Goal and scope of every figure that is on the wrong side of its bound."""
    found = set()
    for each in GOALS:
        sign, bound = BOUNDS[each.name]
        for scope_id, kpis in auditor.figures(each.scope, each.window).items():
            value = kpis[each.kpi.name][0]
            if value is not None and sign * value < sign * bound:
                found.add((each.name, scope_id))
    return found


class Reader:
    """What a program that consumes the readings' topic holds."""

    def __init__(self) -> None:
        """Nothing read yet."""
        self.held: dict[tuple[str, str, str], Reading] = {}

    def consume(self, readings: Sequence[Reading], gone: Sequence[ReadingKey]) -> int:
        """Deletes what is gone, then keeps each key's last reading."""
        for key in gone:
            self.held.pop(key, None)
        for reading in readings:
            self.held[reading[:3]] = reading
        return len(readings) + len(gone)


@given(steps=_STEPS, restarts=st.lists(st.booleans(), min_size=14, max_size=14))
@settings(max_examples=150, deadline=None)
def test_a_reader_who_settles_holds_exactly_what_is_there(
    steps: list[Any], restarts: list[bool]
) -> None:
    """At the end each key holds the reading of that instant, and no key is left over.

    Whatever was shown on the way, emptied, evicted or forgotten by a restart.
    """
    script, made, reader, changelog = Script(), fresh(), Reader(), Changelog()
    for step, restart in zip(steps, restarts, strict=False):
        if isinstance(step, int):
            script.now += step
            made.tick(script.now)
        else:
            applied(made, script.block(step))
        reader.consume(*made.take_readings())
        changelog.store(made)
        if restart:
            made = changelog.restored()
            made.tick(script.now)
    made.settle()
    flushes = sum(reader.consume(*made.take_readings()) > 0 for _ in range(5))
    assert flushes < 5, "settling comes to an end"
    there = [reading for readings in read(made).values() for reading in readings]
    assert reader.held == {reading[:3]: reading for reading in there}
