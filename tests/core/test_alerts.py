"""Every arrow of an alert's life cycle, and that each is taken once."""

from __future__ import annotations

from typing import Final

import pytest

from stream.core.alerts import AlertState, alert_id, step, withdraw
from stream.core.goals import Judgement, Verdict
from tests.core.build import NOON, goal, ms

T: Final = ms(NOON)
MINUTE: Final = 60_000
WAITS: Final = goal(for_ms=2 * MINUTE)
AT_ONCE: Final = goal(clear="<= 4m")
PENDING: Final = AlertState("pending", T, None, "0123456789abcdef", "agent")
FIRING: Final = AlertState("firing", T, T, "0123456789abcdef", "agent")


def verdict(word: str) -> Judgement:
    """A judgement against a handle time goal of five minutes, cleared below four."""
    values = {"met": 200.0, "not_yet_clear": 250.0, "unproven": 400.0, "missed": 400.0}
    name = {"not_yet_clear": "met"}.get(word, word)
    return Judgement(Verdict[name.upper()], values.get(word), 9, AT_ONCE.terms)


@pytest.mark.parametrize("word", ["met", "not_yet_clear", "unproven", "no_data"])
def test_what_is_not_missed_begins_no_alert(word: str) -> None:
    """Without a proven miss there is nothing to tell."""
    assert step(None, verdict(word), AT_ONCE, "a1", T) == (None, None)


def test_a_miss_is_pending_first_where_it_has_to_last() -> None:
    """A goal with `for` waits, and says so."""
    state, transition = step(None, verdict("missed"), WAITS, "a1", T)
    assert state is not None
    assert (state.status, state.since_ms, state.fired_ms) == ("pending", T, None)
    assert transition is not None
    assert (transition.change, transition.reason) == ("pending", "goal_missed")
    assert (transition.alert, transition.at_ms) == (state, T)


def test_a_miss_fires_at_once_where_it_need_not_last() -> None:
    """A goal without `for` fires with the first proven miss."""
    state, transition = step(None, verdict("missed"), AT_ONCE, "a1", T)
    assert state is not None
    assert (state.status, state.since_ms, state.fired_ms) == ("firing", T, T)
    assert transition is not None
    assert (transition.change, transition.reason) == ("firing", "goal_missed")


@pytest.mark.parametrize(("lasted_ms", "fires"), [(0, False), (119_999, False), (120_000, True)])
def test_a_pending_miss_fires_when_it_has_lasted(lasted_ms: int, fires: bool) -> None:
    """`for` is over at its last millisecond, not after it; the alert keeps its start and id."""
    state, transition = step(PENDING, verdict("missed"), WAITS, "a1", T + lasted_ms)
    if fires:
        assert state == AlertState("firing", T, T + lasted_ms, PENDING.alert_id, "agent")
        assert transition is not None
        assert (transition.change, transition.reason) == ("firing", "missed_long_enough")
    else:
        assert (state, transition) == (PENDING, None)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("met", "goal_met"),
        ("not_yet_clear", "goal_met"),
        ("unproven", "miss_unproven"),
        ("no_data", "no_data"),
    ],
)
def test_a_pending_miss_that_ends_is_cancelled(word: str, reason: str) -> None:
    """Nobody was told of it, so hysteresis does not hold it."""
    state, transition = step(PENDING, verdict(word), WAITS, "a1", T + 9 * MINUTE)
    assert state is None
    assert transition is not None
    assert (transition.change, transition.reason) == ("cancelled", reason)


@pytest.mark.parametrize(
    ("word", "change", "reason"),
    [("met", "resolved", "cleared"), ("no_data", "ended_no_data", "window_empty")],
)
def test_a_firing_alert_ends(word: str, change: str, reason: str) -> None:
    """Beyond the hysteresis it is resolved; without data it ends, and does not pretend."""
    state, transition = step(FIRING, verdict(word), AT_ONCE, "a1", T + MINUTE)
    assert state is None
    assert transition is not None
    assert (transition.change, transition.reason) == (change, reason)
    assert (transition.alert, transition.at_ms) == (FIRING, T + MINUTE)


@pytest.mark.parametrize("word", ["missed", "not_yet_clear", "unproven"])
def test_a_firing_alert_stays(word: str) -> None:
    """A figure between target and `clear`, or a miss no longer proven, changes nothing."""
    assert step(FIRING, verdict(word), AT_ONCE, "a1", T + MINUTE) == (FIRING, None)


@pytest.mark.parametrize("word", ["met", "not_yet_clear", "unproven", "missed", "no_data"])
@pytest.mark.parametrize("state", [None, PENDING, FIRING])
def test_a_step_taken_again_changes_nothing_more(state: AlertState | None, word: str) -> None:
    """The same judgement at the same instant, after the step, has no second transition."""
    after, _ = step(state, verdict(word), WAITS, "a1", T + 2 * MINUTE)
    assert step(after, verdict(word), WAITS, "a1", T + 2 * MINUTE) == (after, None)


def test_an_alert_of_a_removed_goal_is_withdrawn() -> None:
    """It neither was resolved nor ended: the goal is gone."""
    transition = withdraw(FIRING, T + MINUTE)
    assert (transition.change, transition.reason) == ("withdrawn", "goal_removed")
    assert (transition.alert, transition.at_ms) == (FIRING, T + MINUTE)


def test_an_alert_id_follows_from_what_it_is_about() -> None:
    """The same on every machine and in every run: literal digits, computed with b2sum."""
    name = alert_id("aht", "agent", "a1", "1h", 1_717_416_000_000)
    assert name == "6f16252035d1931d"


@pytest.mark.parametrize(
    "other",
    [
        ("aht2", "agent", "a1", "1h", T),
        ("aht", "team", "a1", "1h", T),
        ("aht", "agent", "a2", "1h", T),
        ("aht", "agent", "a1", "8h", T),
        ("aht", "agent", "a1", "1h", T + 1),
        ("ah", "tagent", "a1", "1h", T),
    ],
)
def test_every_part_of_an_alert_id_counts(other: tuple[str, str, str, str, int]) -> None:
    """Another goal, scope, id, window or start is another alert."""
    assert alert_id(*other) != alert_id("aht", "agent", "a1", "1h", T)
