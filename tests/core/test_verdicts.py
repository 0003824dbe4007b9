"""Goals held against every scope of a partition, and the alerts that come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from stream.core.goals import Target, Terms, Verdict
from stream.core.verdicts import AlertKey
from tests.core.build import NOON, call, engine, goal, ms, restarted, with_events

if TYPE_CHECKING:
    from stream.core.engine import Engine
    from stream.core.events import Event
    from stream.core.goals import Goal
    from stream.core.kpis import ScopeKind

SLOW: Final[dict[str, Any]] = {"talk_ms": 600_000}
QUICK: Final[dict[str, Any]] = {"talk_ms": 1_000}
MAPPED: Final[dict[str, Any]] = {"queue_teams": {"n1": "t1"}}
KEY: Final = AlertKey("g", "a1")


def judged(*events: Event, goals: tuple[Goal, ...] = (goal(),), **options: Any) -> Engine:
    """An engine at noon that has counted these events and judges from its next tick on."""
    made = with_events(*events, goals=goals, **options)
    made.begin_judging()
    return made


def ticked(made: Engine, at: str = NOON) -> list[tuple[str, str, str]]:
    """Goal, scope and change of each transition at an instant."""
    made.tick(ms(at))
    return [(a.key.goal, a.key.scope_id, a.transition.change) for a in made.take_alerts()[0]]


def teams_told(made: Engine, at: str = NOON) -> dict[str, tuple[str, str | None]]:
    """The change and the team of each transition at an instant, by scope."""
    made.tick(ms(at))
    return {a.key.scope_id: (a.transition.change, a.team) for a in made.take_alerts()[0]}


def word(made: Engine, agent: str = "a1") -> dict[str, str]:
    """The verdicts in an agent's reading, by goal."""
    (reading,) = [r for r in made.read_all("agent", "1h") if r.scope_id == agent]
    return {name: judgement.verdict.word for name, judgement in reading.judgements}


def test_no_verdict_is_given_before_the_partition_has_caught_up() -> None:
    """Half of the events prove nothing: no alert and no judgement in a reading."""
    made = with_events(call(**SLOW), goals=(goal(),))
    assert ticked(made, "2024-06-03T12:00:30Z") == []
    assert word(made) == {}
    made.begin_judging()
    assert ticked(made, "2024-06-03T12:00:30Z") == [("g", "a1", "firing")]
    assert word(made) == {"g": "missed"}


def test_a_proven_miss_fires_once() -> None:
    """Further ticks, events and a standing still say nothing new."""
    made = judged(call(**SLOW))
    assert ticked(made) == [("g", "a1", "firing")]
    made.apply([call(**SLOW)])
    assert ticked(made) == ticked(made, "2024-06-03T12:05:00Z") == []


def test_an_announcement_says_all_that_a_reader_needs() -> None:
    """Goal, whom, the team at the time, and the judgement with its samples."""
    made = judged(call(**SLOW, team_id="t1"))
    made.tick(ms(NOON))
    (announcement,), states = made.take_alerts()
    assert announcement.goal is made.rules.goals[0]
    assert (announcement.key, announcement.team) == (KEY, "t1")
    judgement = announcement.judgement
    assert judgement is not None
    assert (judgement.verdict, judgement.value, judgement.samples) == (Verdict.MISSED, 600.0, 1)
    assert states == {KEY: announcement.transition.alert}
    assert made.take_alerts() == ([], {})


def test_an_ended_alert_is_deleted_from_what_is_stored() -> None:
    """Its state to store is none."""
    made = judged(call(**SLOW))
    ticked(made)
    made.apply([call(**QUICK) for _ in range(9)])
    made.tick(ms(NOON))
    announcements, states = made.take_alerts()
    assert [a.transition.change for a in announcements] == ["resolved"]
    assert states == {KEY: None}


def test_time_alone_makes_a_pending_alert_fire() -> None:
    """A miss of five minutes fires although no further event comes and no minute rolls."""
    made = judged(call(**SLOW), goals=(goal(for_ms=30_000),))
    assert ticked(made, "2024-06-03T12:00:10Z") == [("g", "a1", "pending")]
    assert ticked(made, "2024-06-03T12:00:39.999Z") == []
    assert ticked(made, "2024-06-03T12:00:40Z") == [("g", "a1", "firing")]


def test_a_window_that_empties_ends_its_alert() -> None:
    """The call of 11:59 leaves the hour when ⌈now⌉ passes 12:59."""
    made = judged(call(**SLOW))
    ticked(made)
    assert ticked(made, "2024-06-03T12:59:00Z") == []
    assert ticked(made, "2024-06-03T12:59:00.001Z") == [("g", "a1", "ended_no_data")]


def test_a_minute_that_leaves_can_end_a_miss() -> None:
    """The slow call of 11:10 leaves the hour, the quick one of 11:50 stays."""
    made = judged(call("2024-06-03T11:10:00Z", **SLOW), call("2024-06-03T11:50:00Z", **QUICK))
    assert ticked(made) == [("g", "a1", "firing")]
    assert ticked(made, "2024-06-03T12:10:00Z") == []
    assert ticked(made, "2024-06-03T12:10:01Z") == [("g", "a1", "resolved")]


def test_between_target_and_clear_an_alert_stands() -> None:
    """600 s fires over 300 s; a mean of 280 s is met but not clear, one of 200 s is."""
    made = judged(call(talk_ms=600_000), goals=(goal(clear="<= 4m"),))
    ticked(made)
    made.apply([call(talk_ms=120_000), call(talk_ms=120_000)])
    assert ticked(made) == []
    assert word(made) == {"g": "met"}
    made.apply([call(talk_ms=0)])
    assert ticked(made) == [("g", "a1", "resolved")]


def test_a_scope_that_is_gone_ends_its_alert() -> None:
    """After a jump of a week not even the agent's rows are left."""
    made = judged(call(**SLOW))
    ticked(made)
    assert ticked(made, "2024-06-10T12:00:00Z") == [("g", "a1", "ended_no_data")]
    assert made.tables["agent"].slots == {}


def test_who_takes_a_departed_agents_place_inherits_nothing() -> None:
    """Neither verdict nor alert: the first event of a2 is judged by itself."""
    made = judged(call(**SLOW))
    ticked(made)
    made.tick(ms("2024-06-10T12:00:00Z"))
    made.take_alerts()
    made.apply([call("2024-06-10T11:59:00Z", agent_id="a2", **QUICK)])
    assert ticked(made, "2024-06-10T12:00:00Z") == []
    assert word(made, "a2") == {"g": "met"}
    made.apply([call("2024-06-10T11:59:00Z", agent_id="a2", **SLOW)])
    assert ticked(made, "2024-06-10T12:00:00Z") == [("g", "a2", "firing")]


def test_a_restart_neither_fires_again_nor_forgets() -> None:
    """The stored alert goes on where it was, with its id."""
    before = judged(call(**SLOW), call(agent_id="a2", **QUICK))
    ticked(before)
    state = before.verdicts.state(KEY)
    after = restarted(before)
    after.begin_judging()
    assert ticked(after) == []
    assert after.verdicts.state(KEY) == state
    assert ticked(after, "2024-06-03T12:59:00.001Z") == [("g", "a1", "ended_no_data")]


def test_a_restart_does_not_restart_the_clock_of_a_pending_alert() -> None:
    """The miss has lasted since it began, whatever process has seen it."""
    before = judged(call(**SLOW), goals=(goal(for_ms=60_000),))
    assert ticked(before, "2024-06-03T12:00:01Z") == [("g", "a1", "pending")]
    after = restarted(before)
    after.begin_judging()
    assert ticked(after, "2024-06-03T12:01:00.999Z") == []
    assert ticked(after, "2024-06-03T12:01:01Z") == [("g", "a1", "firing")]


@pytest.mark.parametrize("tick_first", [True, False])
def test_an_alert_whose_window_emptied_while_the_worker_was_down_ends(tick_first: bool) -> None:
    """Its rows are in another window still, and in the goal's no event ever moves again."""
    before = judged(call(**SLOW), windows=("1h", "8h"))
    ticked(before)
    after = restarted(before)
    if tick_first:
        after.tick(ms("2024-06-03T14:00:00Z"))
    after.begin_judging()
    assert ticked(after, "2024-06-03T14:00:00Z") == [("g", "a1", "ended_no_data")]


def test_an_alert_of_a_scope_without_rows_ends_after_a_restart() -> None:
    """What is stored of it is all there is."""
    before = judged(call(**SLOW))
    ticked(before)
    after = engine(goals=(goal(),))
    state = before.verdicts.state(KEY)
    assert state is not None
    after.restore_alert(KEY, state)
    after.begin_judging()
    assert ticked(after) == [("g", "a1", "ended_no_data")]


def test_an_alert_of_a_removed_goal_is_withdrawn_once() -> None:
    """As soon as verdicts are given; its goal can no longer be named."""
    before = judged(call(**SLOW))
    ticked(before)
    after = restarted(before, goals=())
    assert ticked(after) == []
    after.begin_judging()
    after.tick(ms(NOON))
    (announcement,), states = after.take_alerts()
    assert (announcement.goal, announcement.judgement) == (None, None)
    assert announcement.transition.change == "withdrawn"
    assert states == {KEY: None}
    assert ticked(after, "2024-06-03T12:01:00Z") == []


@pytest.mark.parametrize(
    ("fields", "watched"),
    [({}, True), ({"window": "7d"}, False), ({"scope": "team"}, False)],
)
def test_goals_that_another_partition_keeps_are_not_judged(
    fields: dict[str, Any], watched: bool
) -> None:
    """Where the scope's table or the window is missing there is nothing to judge."""
    made = judged(call(**SLOW, team_id="t1"), goals=(goal(**fields),), kinds=["agent"])
    assert bool(ticked(made)) is watched


def test_a_teams_own_terms_hold_for_its_agents() -> None:
    """600 s misses everybody's five minutes, and meets the eleven of team t1."""
    eleven = Terms(Target(at_least=False, bound=660.0))
    made = judged(
        call(agent_id="a1", team_id="t1", **SLOW),
        call(agent_id="a2", team_id="t2", **SLOW),
        goals=(goal(by_team={"t1": eleven}),),
    )
    assert ticked(made) == [("g", "a2", "firing")]


def test_a_queue_wide_figure_is_judged_where_the_goal_says() -> None:
    """A goal on a queue's service level concerns the queue, and no agent."""
    level = goal(">= 80%", kpi="service_level", scope="queue", name="sl")
    waits = [call(queue="q1", wait_ms=wait) for wait in (1_000, 30_000)]
    made = judged(*waits, goals=(level,))
    assert ticked(made) == [("sl", "q1", "firing")]


def test_a_queues_alert_concerns_the_team_that_answers_for_it() -> None:
    """By whose own terms it is judged; also at its end, when no row names the queue any more."""
    easy = Terms(Target(at_least=True, bound=0.0))
    level = goal(">= 80%", kpi="service_level", scope="queue", name="sl", by_team={"t2": easy})
    waits = [call(queue=queue, wait_ms=30_000) for queue in ("q1", "q2", "q3")]
    made = judged(*waits, goals=(level,), queue_teams={"q1": "t1", "q2": "t2"})
    assert teams_told(made) == {"q1": ("firing", "t1"), "q3": ("firing", None)}
    later = "2024-06-05T12:00:00Z"
    assert teams_told(made, later) == {
        "q1": ("ended_no_data", "t1"),
        "q3": ("ended_no_data", None),
    }


@pytest.mark.parametrize(("scope", "team"), [("campaign", "t9"), ("site", "t9"), ("queue", "t1")])
def test_a_goal_names_the_team_of_what_has_none(scope: ScopeKind, team: str) -> None:
    """A campaign's and a site's alert is for the goal's team; a queue's own comes first."""
    slow = goal(scope=scope, team="t9")
    made = judged(call(queue="n1", campaign="n1", site_id="n1", **SLOW), goals=(slow,), **MAPPED)
    assert teams_told(made) == {"n1": ("firing", team)}
    made = judged(call(queue="n1", campaign="n1", site_id="n1", **SLOW), goals=(goal(scope=scope),))
    assert teams_told(made) == {"n1": ("firing", None)}


def test_several_goals_are_judged_each_for_itself() -> None:
    """Two on one table and window, one on another window."""
    goals = (goal(name="g1"), goal("<= 20m", name="g2"), goal(name="g3", window="15m"))
    made = judged(call("2024-06-03T11:30:00Z", **SLOW), goals=goals)
    assert ticked(made) == [("g1", "a1", "firing")]
    assert word(made) == {"g1": "missed", "g2": "met"}


def test_what_was_judged_is_not_judged_again() -> None:
    """Ten thousand agents at rest cost nothing: only what changed is looked at."""
    made = judged(call(**SLOW), call(agent_id="a2", **QUICK))
    table = made.tables["agent"]
    assert table.unjudged[[table.slots["a1"], table.slots["a2"]]].all()
    made.tick(ms(NOON))
    assert not table.unjudged.any()
    made.apply([call(agent_id="a2", **QUICK)])
    assert table.unjudged[table.slots["a1"]] == 0
    assert table.unjudged[table.slots["a2"]] == 0b11


def test_the_last_verdicts_can_be_read_by_slot() -> None:
    """As the gauges need them; a scope that is gone has none."""
    made = judged(call(**SLOW), call(agent_id="a2", **QUICK))
    made.tick(ms(NOON))
    slots = made.tables["agent"].slots
    codes = made.verdicts.codes("g")
    assert codes[[slots["a1"], slots["a2"]]].tolist() == [Verdict.MISSED, Verdict.MET]
    made.tick(ms("2024-06-10T12:00:00Z"))
    assert not made.verdicts.codes("g").any()


def test_verdicts_keep_up_with_more_agents_than_there_was_room_for() -> None:
    """Three hundred agents, of whom every third is slow."""
    made = judged()
    made.tick(ms(NOON))
    events = [call(agent_id=f"a{n}", **(QUICK if n % 3 else SLOW)) for n in range(300)]
    made.apply(events)
    fired = ticked(made)
    assert sorted(fired) == sorted(("g", f"a{n}", "firing") for n in range(0, 300, 3))
