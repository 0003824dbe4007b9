"""One partition: what is counted, refused, rolled, forgotten, taken and restored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from stream.core.alerts import AlertState
from stream.core.measures import Threshold, Thresholds
from stream.core.verdicts import AlertKey
from tests.core.build import (
    NOON,
    call,
    engine,
    figures,
    goal,
    handled,
    minute,
    ms,
    restarted,
    survey,
    with_events,
)

if TYPE_CHECKING:
    from stream.core.engine import Engine
    from stream.core.events import Event

AGENT: Final = ("agent",)


# ---------------------------------------------------------------- counting once


def test_an_event_counts_once_however_often_it_comes() -> None:
    """In one block, in a later one, and after more time."""
    event = call()
    made = engine()
    assert made.apply([event, event]) == (1, 1, [])
    assert made.apply([event]) == (0, 1, [])
    made.tick(ms("2024-06-03T12:30:00Z"))
    assert made.apply([event]) == (0, 1, [])
    assert handled(made) == 1


def test_of_two_events_with_one_id_the_first_wins() -> None:
    """An event's content never changes; what says otherwise is a repeat."""
    made = with_events(call(event_id="e", talk_ms=1_000))
    assert made.apply([call(event_id="e", talk_ms=9_000, agent_id="a2")]).duplicates == 1
    assert figures(made, "agent", "a1", "1h")["talk_time"] == 1.0
    assert handled(made, agent="a2") == 0


def test_ids_are_unique_within_their_kind() -> None:
    """A contact and its survey may share one."""
    made = with_events(call(event_id="e"), survey(event_id="e"))
    found = figures(made, "agent", "a1", "1h")
    assert (found["handled"], found["surveys"]) == (1, 1)


def test_a_repeat_is_a_repeat_before_it_is_early() -> None:
    """What was accepted before the clock was known is not refused when it comes again."""
    event = call("2024-06-03T13:00:00Z")
    made = with_events(event, at=None)
    made.tick(ms(NOON))
    assert made.apply([event, call("2024-06-03T13:00:00Z")]) == (0, 1, [(1, "early")])


def test_a_repeat_of_what_was_forgotten_is_late_and_counts_not_again() -> None:
    """Its id went with its row; its time still refuses it."""
    event = call()
    made = with_events(event)
    made.tick(ms("2024-06-03T14:00:00Z"))
    assert made.apply([event]).refused == [(0, "late")]


def test_an_empty_block_changes_nothing() -> None:
    """Nor does one of repeats only."""
    made = with_events(event := call())
    made.take_rows()
    assert made.apply([]) == (0, 0, [])
    assert made.apply([event]) == (0, 1, [])
    assert not made.is_dirty


def test_a_busy_minute_is_counted_across_segments() -> None:
    """Ten thousand contacts of one agent in one minute are three rows and one figure."""
    made = with_events(*(call(event_id=f"e{n}", talk_ms=2_000) for n in range(10_000)))
    found = figures(made, "agent", "a1", "15m")
    assert (found["handled"], found["talk_time"]) == (10_000, 2.0)
    assert len(made.rows) == 3
    made.tick(ms("2024-06-03T14:00:00Z"))
    assert len(made.rows) == 0


# ---------------------------------------------------------------- late and early


@pytest.mark.parametrize(
    ("ended_at", "reason"),
    [
        # With windows of 15m and 1h a minute is kept for two hours; ⌈now⌉ is noon.
        ("2024-06-03T09:59:59.999Z", "late"),
        ("2024-06-03T10:00:00.000Z", None),
        # Five minutes of skew are allowed, to the millisecond.
        ("2024-06-03T12:05:00.000Z", None),
        ("2024-06-03T12:05:00.001Z", "early"),
        ("2000-01-01T00:00:00Z", "late"),
        ("2099-01-01T00:00:00Z", "early"),
    ],
)
def test_events_beyond_retention_or_skew_are_refused(ended_at: str, reason: str | None) -> None:
    """By reason, with their place in the block, and their neighbours count."""
    made = engine()
    refused = [] if reason is None else [(1, reason)]
    applied = made.apply([call(), call(ended_at), call()])
    assert applied == (3 - len(refused), 0, refused)
    assert handled(made) == 2


def test_without_a_skew_nothing_is_early() -> None:
    """A replay counts what is yet to come."""
    made = with_events(call("2024-06-10T12:00:00Z"), skew_ms=None)
    assert handled(made) == 0
    made.tick(ms("2024-06-10T12:30:00Z"))
    assert handled(made) == 1


def test_an_audit_refuses_nothing_and_forgets_nothing() -> None:
    """With `keep_all` the past is complete, at the cost of memory."""
    made = engine(keep_all=True)
    events = [call("1970-01-01T00:00:00Z"), call("2099-01-01T00:00:00Z"), call()]
    assert made.apply(events) == (3, 0, [])
    made.tick(ms("2024-06-10T12:00:00Z"))
    assert made.take_rows()[1] == []
    assert len(made.rows) == 3


def test_before_the_first_tick_nothing_is_refused() -> None:
    """Without a now there is no late and no early; the first tick sorts it out."""
    made = with_events(call("2024-01-01T00:00:00Z"), call(), at=None)
    made.tick(ms(NOON))
    assert (handled(made), len(made.rows)) == (1, 1)


# ---------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("now", "quarter", "hour"),
    [
        # A call of 11:45:30 is in the minute 11:45.
        ("2024-06-03T11:45:00.000Z", 0, 0),
        ("2024-06-03T11:45:00.001Z", 1, 1),
        ("2024-06-03T12:00:00.000Z", 1, 1),
        ("2024-06-03T12:00:00.001Z", 0, 1),
        ("2024-06-03T12:45:00.000Z", 0, 1),
        ("2024-06-03T12:45:00.001Z", 0, 0),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_window_holds_an_event_from_its_minute_to_its_length(
    now: str, quarter: int, hour: int, at_once: bool
) -> None:
    """Whether now gets there in one jump or minute by minute, with no other event."""
    made = with_events(call("2024-06-03T11:45:30Z"), at="2024-06-03T11:44:00Z")
    if not at_once:
        for step in range(ms("2024-06-03T11:44:00Z"), ms(now), 20_000):
            made.tick(step)
    made.tick(ms(now))
    assert (handled(made, "15m"), handled(made, "1h")) == (quarter, hour)


def test_a_late_event_enters_only_the_windows_that_still_hold_it() -> None:
    """Half an hour old: in the hour, not in the quarter."""
    made = with_events(call("2024-06-03T11:30:00Z"))
    assert (handled(made, "15m"), handled(made, "1h")) == (0, 1)


def test_now_never_goes_back() -> None:
    """A clock that was set back moves nothing."""
    made = with_events(call("2024-06-03T11:45:00Z"))
    made.tick(ms("2024-06-03T12:00:01Z"))
    made.tick(ms("2024-06-03T11:50:00Z"))
    assert made.now_ms == ms("2024-06-03T12:00:01Z")
    assert handled(made, "15m") == 0


def test_a_window_of_days_steps_hourly() -> None:
    """Two days at 12:00:01 reach from 13:00 of the day before yesterday to 13:00."""
    events = [call("2024-06-01T12:59:59Z"), call("2024-06-01T13:00:00Z"), call()]
    made = with_events(*events, windows=["2d"])
    assert handled(made, "2d") == 3
    made.tick(ms(NOON) + 1_000)
    assert handled(made, "2d") == 2
    made.tick(ms("2024-06-03T13:00:00.000Z"))
    assert handled(made, "2d") == 2
    made.tick(ms("2024-06-03T13:00:00.001Z"))
    assert handled(made, "2d") == 1


@pytest.mark.parametrize(
    ("first", "last", "after"),
    [
        # The days on which Berlin's clocks go forward and back, and an ordinary one.
        ("2024-03-30T23:00:00Z", "2024-03-31T21:59:59Z", "2024-03-31T22:00:00Z"),
        ("2024-10-26T22:00:00Z", "2024-10-27T22:59:59Z", "2024-10-27T23:00:00Z"),
        ("2024-06-02T22:00:00Z", "2024-06-03T21:59:59Z", "2024-06-03T22:00:00Z"),
    ],
)
def test_today_holds_the_whole_local_day(first: str, last: str, after: str) -> None:
    """From its first event to its last, however many hours it has; at midnight it is empty."""
    made = engine(["today"], at=first)
    made.apply([call(ms(first) - 1), call(first)])
    made.tick(ms(last) + 1)
    made.apply([call(last), call(after)])
    assert handled(made, "today") == 2
    made.tick(ms(after))
    assert handled(made, "today") == 0
    made.tick(ms(after) + 1)
    assert handled(made, "today") == 1


# ---------------------------------------------------------------- whom it counts for


def test_one_event_counts_for_every_scope_it_names() -> None:
    """Work for all of them; what the caller met for queue and above."""
    event = call(
        team_id="t1", queue="q1", channel="voice", campaign="c1", site_id="s1", wait_ms=1_000
    )
    made = with_events(event, queue_teams={"q1": "t1"})
    scopes = {"team": "t1", "queue": "q1", "channel": "voice", "campaign": "c1", "site": "s1"}
    for kind, name in scopes.items():
        found = figures(made, kind, name, "1h")  # type: ignore[arg-type]  # they are kinds
        assert (found["handled"], found["offered"], found["answer_time"]) == (1, 1, 1.0)
    assert handled(made) == 1
    assert "offered" not in figures(made, "agent", "a1", "1h")


def test_a_transferred_caller_is_offered_to_each_queue_and_once_above() -> None:
    """First legs count for the channel, all legs for their queues."""
    legs = [call(queue="q1", channel="v", leg=1), call(queue="q2", channel="v", leg=2)]
    made = with_events(*legs)
    assert [figures(made, "queue", q, "1h")["offered"] for q in ("q1", "q2")] == [1, 1]
    assert figures(made, "channel", "v", "1h")["offered"] == 1
    assert figures(made, "channel", "v", "1h")["handled"] == 2


def test_an_abandoned_call_has_a_team_by_its_queue() -> None:
    """Nobody took it, and still the team's service level knows it."""
    gone: dict[str, Any] = {
        "outcome": "abandoned",
        "agent_id": None,
        "queue": "q1",
        "wait_ms": 30_000,
    }
    helped = call(queue="q1", team_id="t2", wait_ms=1_000)
    made = with_events(call(**gone), helped, queue_teams={"q1": "t1"})
    assert figures(made, "team", "t1", "1h")["service_level"] == 0.5
    assert figures(made, "team", "t1", "1h")["handled"] is None
    assert figures(made, "team", "t2", "1h")["service_level"] is None
    assert figures(made, "team", "t2", "1h")["handled"] == 1


def test_a_short_abandon_counts_in_no_rate() -> None:
    """One answered in time, one abandoned at 6 s, one at 5 s: the last is not counted."""
    waits = [("handled", 1_000), ("abandoned", 6_000), ("abandoned", 5_000)]
    made = with_events(*(call(queue="q1", outcome=o, wait_ms=w) for o, w in waits))
    found = figures(made, "queue", "q1", "1h")
    assert (found["service_level"], found["abandon_rate"], found["offered"]) == (0.5, 0.5, 3)


def test_each_queue_has_its_own_threshold() -> None:
    """Thirty seconds are in time for the slow queue alone."""
    thresholds = Thresholds(by_queue={"slow": Threshold(60_000, 5_000)})
    events = [call(queue=queue, wait_ms=30_000) for queue in ("q1", "slow")]
    made = with_events(*events, thresholds=thresholds)
    levels = [figures(made, "queue", q, "1h")["service_level"] for q in ("q1", "slow")]
    assert levels == [0.0, 1.0]


def team(made: Any) -> str | None:
    """The team in agent a1's reading over eight hours."""
    (reading,) = made.read_all("agent", "8h")
    named: str | None = reading.team
    return named


def test_an_agents_team_follows_the_latest_event() -> None:
    """Not the latest to arrive; an event that names none says nothing."""
    made = with_events(call("2024-06-03T11:00:00Z", team_id="t2"), windows=["8h"], kinds=AGENT)
    made.apply([call("2024-06-03T10:00:00Z", team_id="t1"), call("2024-06-03T11:30:00Z")])
    assert team(made) == "t2"
    made.apply([call("2024-06-03T11:00:00.001Z", team_id="t3")])
    assert team(made) == "t3"


def test_a_team_is_forgotten_with_the_event_that_named_it() -> None:
    """So that a restart, which reads rows alone, changes no reading."""
    made = with_events(call(team_id="t1"), windows=["8h"], kinds=AGENT)
    made.tick(ms("2024-06-03T20:30:00Z"))
    made.apply([call("2024-06-03T20:29:00Z")])
    assert team(made) == "t1"
    made.tick(ms("2024-06-03T21:01:00Z"))
    assert team(made) is None
    after = restarted(made)
    after.tick(ms("2024-06-03T21:01:00Z"))
    assert team(after) is None


# ---------------------------------------------------------------- what is taken


def test_changed_rows_are_taken_once() -> None:
    """The rows that a flush has to write, and none that it wrote before."""
    made = with_events(call(), call(agent_id="a2"))
    dirty = made.is_dirty
    changed, evicted = made.take_rows()
    assert sorted(made.rows.key(row).dims.agent or "" for row in changed) == ["a1", "a2"]
    assert evicted == []
    assert (dirty, made.is_dirty) == (True, False)
    assert made.take_rows()[0].tolist() == []
    made.apply([call(agent_id="a2")])
    assert [made.rows.key(row).dims.agent for row in made.take_rows()[0]] == ["a2"]


def test_forgotten_rows_are_taken_once_as_keys() -> None:
    """A row that changed and then went is only gone."""
    made = with_events(call(), call("2024-06-03T12:04:00Z", agent_id="a2"))
    keys = [made.rows.key(row) for row in made.take_rows()[0] if made.rows.minute[row]]
    made.apply([call()])
    made.tick(ms("2024-06-03T14:00:00Z"))
    changed, evicted = made.take_rows()
    assert (changed.tolist(), evicted) == ([], [key for key in keys if key.dims.agent == "a1"])
    assert made.take_rows()[1] == []


def test_a_row_is_kept_for_the_longest_window_and_an_hour() -> None:
    """A minute of 11:59 goes when ⌈now⌉ passes 13:59, not before."""
    made = with_events(call())
    made.tick(ms("2024-06-03T13:59:00.000Z"))
    assert len(made.rows) == 1
    made.tick(ms("2024-06-03T13:59:00.001Z"))
    assert len(made.rows) == 0


def test_what_is_forgotten_leaves_nothing_behind() -> None:
    """No pane, no scope, no sum: a year of coming and going needs no more room than a day."""
    made = with_events(call(team_id="t1", queue="q1", channel="v"), queue_teams={"q1": "t1"})
    made.tick(ms("2024-06-03T14:00:00Z"))
    assert (made.rows.panes, len(made.rows)) == ({}, 0)
    for table in made.tables.values():
        assert table.slots == {}
        assert not table.sums[:, 1:].any()


@pytest.mark.parametrize("shared", [(), ("team", "queue")])
def test_a_thousand_combinations_come_at_once_and_leave_together(shared: Any) -> None:
    """More than any array has room for at first, whether there are other partitions or not."""
    made = engine(["15m"], kinds=AGENT, shared_kinds=shared)
    start = ms(NOON)
    for step in range(2):
        made.tick(start + step * 7_200_000)
        at = start + step * 7_200_000 - 1
        made.apply([call(at, agent_id=f"b{n}", team_id=f"t{n}", talk_ms=n) for n in range(1_000)])
        assert figures(made, "agent", "b999", "15m")["talk_time"] == 0.999
    assert len(made.rows) == 1_000
    made.tick(start + 4 * 7_200_000)
    assert len(made.rows) == len(made.tables["agent"].slots) == 0


def test_places_are_used_again() -> None:
    """Two hundred agents that follow one another need the room of those of one retention."""
    made = engine(["15m"], kinds=AGENT)
    start = ms(NOON)
    for step in range(200):
        made.tick(start + step * 600_000)
        made.apply([call(start + step * 600_000 - 1, agent_id=f"b{step}", talk_ms=step)])
        assert figures(made, "agent", f"b{step}", "15m")["talk_time"] == step / 1_000
    assert len(made.tables["agent"].ids) < 15
    assert len(made.rows.dims) < 15


def test_transitions_make_an_engine_dirty() -> None:
    """A flush has to write them even where no row changed."""
    made = with_events(call())
    made.take_rows()
    state = AlertState("firing", ms(NOON), ms(NOON), "0123456789abcdef", "agent")
    made.restore_alert(AlertKey("gone", "a1"), state)
    made.begin_judging()
    made.tick(ms("2024-06-03T12:00:30Z"))
    dirty = made.is_dirty
    made.take_alerts()
    assert (dirty, made.is_dirty) == (True, False)


# ---------------------------------------------------------------- restarts


def test_a_restart_is_invisible() -> None:
    """Figures, teams and repeats are the same from stored rows."""
    events: list[Event] = [call(team_id="t1", talk_ms=1_000), survey(csat=5), call(agent_id="a2")]
    made = with_events(*events)
    after = restarted(made)
    after.tick(ms(NOON))
    for window in ("15m", "1h"):
        assert after.read_all("agent", window) == made.read_all("agent", window)
    assert after.apply(events) == (0, 3, [])
    assert not after.is_dirty


def test_a_restart_with_nothing_stored_is_a_start() -> None:
    """No rows, no measures, no harm."""
    after = restarted(engine())
    after.tick(ms(NOON))
    assert after.read_all("agent", "1h") == []


def test_rows_that_grew_old_while_the_worker_was_down_are_forgotten() -> None:
    """The first tick after a restart evicts them, and their keys are to be deleted."""
    made = with_events(call())
    keys = [made.rows.key(row) for row in made.take_rows()[0]]
    after = restarted(made)
    after.tick(ms("2024-06-10T12:00:00Z"))
    assert after.take_rows()[1] == keys
    assert after.read_all("agent", "1h") == []


def test_only_scopes_with_something_to_show_are_read() -> None:
    """One that has rows in another window only is not in this one."""
    made = with_events(call("2024-06-03T11:30:00Z"), call(agent_id="a2"))
    assert [r.scope_id for r in made.read_all("agent", "15m")] == ["a2"]
    assert [r.scope_id for r in made.read_all("agent", "1h")] == ["a1", "a2"]


# ---------------------------------------------------------------- changed definitions


def changed(*events: Event, **options: Any) -> Engine:
    """An engine at noon whose measure of talk time is counted since 11:35, skew included."""
    made = with_events(*events, windows=["15m", "1h"], **options)
    made.note_new_measures({"talk_ms": ms("2024-06-03T11:30:00Z")})
    return made


def test_a_kpi_whose_definition_changed_within_the_window_is_left_empty() -> None:
    """Half of it would be counted by one definition, half by another; others are not touched."""
    made = changed(call(talk_ms=600_000))
    (reading,) = made.read_all("agent", "1h")
    found = {figure.kpi.name: figure[1:] for figure in reading.figures}
    assert found["talk_time"] == (None, 0)
    assert found["handle_time"] == (600.0, 1)
    assert reading.complete_from == (("talk_time", minute("2024-06-03T11:35Z")),)
    assert figures(made, "agent", "a1", "15m")["talk_time"] == 600.0


@pytest.mark.parametrize(
    ("now", "value"), [("2024-06-03T12:34:00Z", None), ("2024-06-03T12:35:00Z", 600.0)]
)
def test_it_is_shown_again_when_the_window_has_left_the_change_behind(
    now: str, value: float | None
) -> None:
    """What was ahead of now by the skew when it changed was counted by the old definition."""
    made = changed(call(talk_ms=600_000))
    made.tick(ms(now))
    assert figures(made, "agent", "a1", "1h")["talk_time"] == value


def test_no_verdict_is_given_on_it_until_then_and_one_is_given_then() -> None:
    """Also where no event and no passing minute has touched the agent since."""
    goals = (goal("<= 5m", kpi="talk_time"),)
    made = changed(call(talk_ms=600_000), goals=goals)
    made.begin_judging()
    made.take_readings()
    for now, expected in [("2024-06-03T12:34:00Z", []), ("2024-06-03T12:35:00Z", ["firing"])]:
        made.tick(ms(now))
        assert [a.transition.change for a in made.take_alerts()[0]] == expected
        (reading,) = list(made.read_all("agent", "1h"))
        assert bool(reading.judgements) is bool(expected)


def test_a_reading_without_a_goal_is_renewed_then_too() -> None:
    """Readers of the last reading would otherwise take the figure for unknown."""
    made = changed(call(talk_ms=600_000), kinds=AGENT)
    made.take_readings()
    made.tick(ms("2024-06-03T12:34:00Z"))
    made.take_readings()
    made.tick(ms("2024-06-03T12:36:00Z"))
    readings = [r for r in made.take_readings()[0] if r.window == "1h"]
    assert [reading.complete_from for reading in readings] == [()]
