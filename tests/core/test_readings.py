"""When a reading is due: by events, by time, at once; how many; and how a key ends."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest

from stream.core.readings import READINGS_PER_FLUSH_MAX, ReadingKey
from tests.core.build import NOON, call, engine, goal, minute, ms, restarted, shown, with_events

if TYPE_CHECKING:
    from stream.core.engine import Engine

HOUR: Final = ("1h",)
AGENT: Final = ("agent",)


def taken(made: Engine, at: str | int) -> tuple[list[tuple[str, str, str]], list[ReadingKey]]:
    """Whom readings are of at an instant, and which keys are deleted before them."""
    made.tick(ms(at) if isinstance(at, str) else at)
    readings, gone = made.take_readings()
    return shown(readings), gone


def test_nothing_is_due_before_the_first_tick() -> None:
    """A reading needs an instant."""
    made = with_events(call(), at=None)
    assert made.take_readings() == ([], [])


def test_a_reading_says_what_it_is_of() -> None:
    """Scope, window and its span, instant, team, and each KPI with its samples."""
    made = with_events(call(team_id="t1", talk_ms=3_000), windows=HOUR, kinds=AGENT)
    made.tick(ms("2024-06-03T12:00:30Z"))
    (reading,), _ = made.take_readings()
    assert reading[:3] == ("agent", "a1", "1h")
    assert reading.as_of_ms == ms("2024-06-03T12:00:30Z")
    assert reading.from_minute == minute("2024-06-03T11:01Z")
    assert reading.to_minute == minute("2024-06-03T12:01Z")
    assert reading.team == "t1"
    assert (reading.judgements, reading.empty) == ((), False)
    figures = {figure.kpi.name: figure[1:] for figure in reading.figures}
    assert figures["talk_time"] == (3.0, 1)
    assert figures["handled"] == (1, 1)
    assert figures["csat"] == (None, 0)
    assert "offered" not in figures


def test_a_reading_carries_its_verdicts() -> None:
    """Those of the goals on its own scope and window."""
    goals = (goal(), goal(name="other", window="15m"), goal(name="team", scope="team"))
    made = with_events(call(talk_ms=1_000), goals=goals, kinds=AGENT)
    made.begin_judging()
    made.tick(ms(NOON))
    readings, _ = made.take_readings()
    words = {r.window: [(n, j.verdict.word) for n, j in r.judgements] for r in readings}
    assert words == {"1h": [("g", "met")], "15m": [("other", "met")]}


def test_only_windows_that_hold_something_have_a_reading() -> None:
    """A call of half an hour ago is in the hour, and in no quarter."""
    made = with_events(call("2024-06-03T11:30:00Z"), kinds=AGENT)
    assert taken(made, NOON) == ([("agent", "a1", "1h")], [])


def test_without_a_change_nothing_is_due() -> None:
    """What readers hold is still right, but for its instant."""
    made = with_events(call(), kinds=AGENT)
    taken(made, NOON)
    assert taken(made, NOON) == taken(made, "2024-06-03T12:00:59Z") == ([], [])


@pytest.mark.parametrize(
    ("window", "gap_ms"),
    [("5m", 1_000), ("15m", 1_000), ("16m", 1_066), ("1h", 4_000), ("8h", 32_000), ("7d", 672_000)],
)
def test_events_drive_a_reading_at_most_once_in_a_part_of_its_window(
    window: str, gap_ms: int
) -> None:
    """At most one per key in max(1 s, W/900), at whatever phase of the minute."""
    for agent in ("a1", "a2", "a3", "a4", "a5"):
        made = engine([window], at="2024-06-03T12:00:00.001Z", kinds=AGENT)
        start = made.now_ms or 0
        made.apply([call(agent_id=agent)])
        assert taken(made, start)[0] == [("agent", agent, window)]
        made.apply([call(agent_id=agent)])
        assert taken(made, start + gap_ms - 1) == ([], [])
        assert taken(made, start + gap_ms)[0] == [("agent", agent, window)]


def test_each_window_and_each_scope_waits_for_itself() -> None:
    """A second after the first readings another event is shown in 15m, and in 1h not yet."""
    made = with_events(call(), kinds=AGENT)
    taken(made, NOON)
    made.apply([call(), call(agent_id="a2")])
    at = ms(NOON) + 1_000
    new = [("agent", "a2", "15m"), ("agent", "a2", "1h")]
    assert taken(made, at)[0] == [("agent", "a1", "15m"), *new]
    assert taken(made, at + 3_000)[0] == [("agent", "a1", "1h")]


@pytest.mark.parametrize(("window", "step_s"), [("30m", 60), ("1h", 60), ("2h", 120), ("4h", 240)])
def test_time_drives_a_reading_once_in_a_part_of_its_window(window: str, step_s: int) -> None:
    """One per key in max(1 min, W/60), and the keys are spread over it by their hash."""
    length = {"30m": 30, "1h": 60, "2h": 120, "4h": 240}[window]
    start, agents = ms(NOON), [f"a{n}" for n in range(40)]
    made = engine([window], kinds=AGENT)
    made.apply([call(start - m * 60_000, agent_id=a) for m in range(1, length + 1) for a in agents])
    taken(made, start)
    times: dict[str, list[int]] = {agent: [] for agent in agents}
    for second in range(5, 4 * step_s + 5, 5):
        for _, agent, _ in taken(made, start + second * 1_000)[0]:
            times[agent].append(second)
    assert all(len(seconds) == 4 for seconds in times.values())
    assert all(b - a == step_s for s in times.values() for a, b in pairwise(s))
    together = Counter(second for seconds in times.values() for second in seconds)
    assert max(together.values()) <= 12


def test_a_minute_that_leaves_is_shown_although_no_event_comes() -> None:
    """The hour lets go of 11:30 after 12:30: within a minute its reading says so."""
    made = with_events(call("2024-06-03T11:30:00Z"), call(), windows=HOUR, kinds=AGENT)
    taken(made, NOON)
    assert taken(made, "2024-06-03T12:30:00Z") == ([], [])
    assert taken(made, "2024-06-03T12:31:00Z")[0] == [("agent", "a1", "1h")]


def test_a_change_of_verdict_goes_at_once() -> None:
    """Well before the hour's four seconds are over."""
    made = with_events(call(talk_ms=1_000), windows=HOUR, kinds=AGENT, goals=(goal(),))
    made.begin_judging()
    taken(made, NOON)
    made.apply([call(talk_ms=2_000)])
    assert taken(made, ms(NOON) + 1) == ([], [])
    made.apply([call(talk_ms=3_000_000)])
    assert taken(made, ms(NOON) + 2)[0] == [("agent", "a1", "1h")]
    assert taken(made, ms(NOON) + 3) == ([], [])


def test_a_change_of_verdict_without_an_alert_goes_at_once_too() -> None:
    """From met to a miss of too few samples: nobody is alerted, and the colour changes."""
    goals = (goal(min_samples=10),)
    made = with_events(call(talk_ms=1_000), windows=HOUR, kinds=AGENT, goals=goals)
    made.begin_judging()
    taken(made, NOON)
    made.apply([call(talk_ms=3_000_000)])
    assert taken(made, ms(NOON) + 1)[0] == [("agent", "a1", "1h")]
    assert made.take_alerts() == ([], {})


def test_an_alert_that_fires_by_time_shows_its_reading_at_once() -> None:
    """Alert and reading say the same."""
    slow = goal(for_ms=30_000)
    made = with_events(call(talk_ms=600_000), windows=HOUR, kinds=AGENT, goals=(slow,))
    made.begin_judging()
    taken(made, "2024-06-03T12:00:01Z")
    assert taken(made, "2024-06-03T12:00:30Z") == ([], [])
    assert taken(made, "2024-06-03T12:00:31Z")[0] == [("agent", "a1", "1h")]


def many(count: int, **fields: Any) -> list[Any]:
    """A call of each of so many agents."""
    return [call(agent_id=f"a{n}", **fields) for n in range(count)]


def test_a_flush_is_bounded_and_the_longest_waiting_go_first() -> None:
    """2,500 readings are two flushes, and nobody starves behind others that are shown often."""
    made = with_events(*many(2_500), windows=HOUR, kinds=AGENT)
    first, _ = taken(made, ms(NOON))
    second, _ = taken(made, ms(NOON) + 1)
    assert (len(first), len(second)) == (READINGS_PER_FLUSH_MAX, 500)
    assert taken(made, ms(NOON) + 2) == ([], [])
    made.apply([call(agent_id=agent) for _, agent, _ in first])
    assert taken(made, ms(NOON) + 4_000)[0] == first
    made.apply(many(2_500))
    third, _ = taken(made, ms(NOON) + 10_000)
    assert len(third) == READINGS_PER_FLUSH_MAX
    assert set(second) < set(third)


def test_a_change_of_verdict_is_not_held_up_by_a_backlog() -> None:
    """2,500 readings wait longer, and still the missed goal is in the next flush."""
    made = with_events(*many(1), windows=HOUR, kinds=AGENT, goals=(goal(),))
    made.begin_judging()
    taken(made, NOON)
    made.apply([call(agent_id=f"b{n}", talk_ms=None) for n in range(2_500)])
    made.apply([call(agent_id="a0", talk_ms=600_000)])
    flush, _ = taken(made, ms(NOON) + 1)
    assert len(flush) == READINGS_PER_FLUSH_MAX
    assert ("agent", "a0", "1h") in flush


def test_settling_shows_everything_as_of_this_instant() -> None:
    """At the end of a replay each key's last reading is of the end, and of nothing later."""
    made = with_events(*many(3), windows=HOUR, kinds=AGENT)
    everybody = [("agent", f"a{n}", "1h") for n in range(3)]
    taken(made, NOON)
    made.tick(ms(NOON) + 500)
    made.settle()
    readings, _ = made.take_readings()
    assert shown(readings) == everybody
    assert {reading.as_of_ms for reading in readings} == {ms(NOON) + 500}
    assert made.take_readings() == ([], [])


def test_settling_goes_on_over_several_flushes() -> None:
    """The bound holds here too."""
    made = with_events(*many(2_500), windows=HOUR, kinds=AGENT)
    taken(made, NOON)
    taken(made, NOON)
    made.tick(ms(NOON) + 500)
    made.settle()
    assert [len(made.take_readings()[0]) for _ in range(3)] == [READINGS_PER_FLUSH_MAX, 500, 0]


def test_settling_shows_an_event_that_still_comes() -> None:
    """Of the same instant, and without any wait."""
    made = with_events(call(), windows=HOUR, kinds=AGENT)
    made.settle()
    made.take_readings()
    made.apply([call()])
    assert shown(made.take_readings()[0]) == [("agent", "a1", "1h")]


def test_settling_ends_when_time_goes_on() -> None:
    """The usual policy holds again."""
    made = with_events(call(), windows=HOUR, kinds=AGENT)
    made.settle()
    made.take_readings()
    assert taken(made, ms(NOON) + 1) == ([], [])


def test_an_emptied_key_gets_an_empty_reading_and_then_a_tombstone() -> None:
    """The call of 11:59 leaves the hour after 12:59: once empty, once gone, then silence."""
    made = with_events(call(), windows=HOUR, kinds=AGENT)
    taken(made, NOON)
    made.tick(ms("2024-06-03T13:00:00Z"))
    (reading,), gone = made.take_readings()
    assert (reading.empty, gone) == (True, [])
    assert {figure[1:] for figure in reading.figures} == {(None, 0)}
    assert made.take_readings() == ([], [ReadingKey("agent", "a1", "1h")])
    assert taken(made, "2024-06-03T13:30:00Z") == ([], [])


def test_a_key_that_comes_back_gets_no_tombstone() -> None:
    """It would be deleted while its window has events, until its next reading's turn."""
    made = with_events(call(), windows=HOUR, kinds=AGENT)
    taken(made, NOON)
    taken(made, "2024-06-03T13:00:00Z")
    made.apply([call("2024-06-03T12:59:30Z")])
    assert taken(made, "2024-06-03T13:00:04Z") == ([("agent", "a1", "1h")], [])
    assert taken(made, "2024-06-03T13:00:05Z") == ([], [])


def test_what_nobody_saw_needs_no_empty_reading() -> None:
    """A call that left the window before its reading was due leaves no trace."""
    made = with_events(call(), windows=HOUR, kinds=AGENT)
    assert taken(made, "2024-06-03T13:00:00Z") == ([], [])
    assert taken(made, "2024-06-03T13:01:00Z") == ([], [])


def test_an_evicted_scope_leaves_tombstones_for_what_was_shown() -> None:
    """The agent was shown in 1h and 8h, never in 15m, and a week later is gone."""
    made = with_events(call("2024-06-03T11:30:00Z"), windows=("15m", "1h", "8h"), kinds=AGENT)
    taken(made, NOON)
    keys = [ReadingKey("agent", "a1", "1h"), ReadingKey("agent", "a1", "8h")]
    assert taken(made, "2024-06-10T12:00:00Z") == ([], keys)
    assert taken(made, "2024-06-10T12:01:00Z") == ([], [])


def test_an_evicted_scope_whose_tombstone_was_due_gets_one() -> None:
    """An empty reading went out, then a week went by."""
    made = with_events(call(), windows=("1h", "8h"), kinds=AGENT)
    taken(made, NOON)
    assert taken(made, "2024-06-03T13:00:00Z")[0] == [("agent", "a1", "1h")]
    _, gone = taken(made, "2024-06-10T12:00:00Z")
    assert sorted(gone) == [ReadingKey("agent", "a1", "1h"), ReadingKey("agent", "a1", "8h")]


def test_who_takes_an_evicted_place_is_shown_at_once() -> None:
    """It waits for nothing that was shown in that place before: here an empty reading 90 min ago.

    A window of 60 days is shown once in 96 minutes.
    """
    made = with_events(call(), windows=["60d"], kinds=AGENT)
    taken(made, NOON)
    made.tick(ms("2024-08-02T11:30:00Z"))
    made.settle()
    assert shown(made.take_readings()[0]) == [("agent", "a1", "60d")]
    assert taken(made, "2024-08-02T13:00:00Z") == ([], [ReadingKey("agent", "a1", "60d")])
    made.apply([call("2024-08-02T12:59:00Z", agent_id="a2")])
    assert made.tables["agent"].slots == {"a2": 1}
    assert taken(made, "2024-08-02T13:00:00Z") == ([("agent", "a2", "60d")], [])


def test_after_a_restart_every_key_is_shown_again() -> None:
    """What readers hold is not known: figures go out again, and emptied windows end."""
    made = with_events(call("2024-06-03T11:30:00Z"), kinds=AGENT)
    after = restarted(made)
    after.tick(ms(NOON))
    readings, gone = after.take_readings()
    assert {(r.window, r.empty) for r in readings} == {("1h", False), ("15m", True)}
    assert gone == []
    assert after.take_readings() == ([], [ReadingKey("agent", "a1", "15m")])


def test_a_scope_gone_while_the_worker_was_down_leaves_tombstones() -> None:
    """Of every window, since any may have been shown."""
    after = restarted(with_events(call(), kinds=AGENT))
    readings, gone = taken(after, "2024-06-10T12:00:00Z")
    assert readings == []
    assert gone == [ReadingKey("agent", "a1", "15m"), ReadingKey("agent", "a1", "1h")]


def test_a_team_that_only_its_queue_names_is_shown_where_it_was_served() -> None:
    """Outbound work of another team on its queue gives it nothing to show."""
    fields = {"team_id": "t2", "queue": "q1"}
    made = with_events(
        call(direction="outbound", **fields),
        windows=HOUR,
        kinds=["team"],
        queue_teams={"q1": "t1"},
    )
    assert taken(made, NOON)[0] == [("team", "t2", "1h")]
    made.apply([call(**fields)])
    assert taken(made, ms(NOON) + 4_000)[0] == [("team", "t1", "1h"), ("team", "t2", "1h")]
