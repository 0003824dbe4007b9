"""An agent's team is that of the latest event, however events come in blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.teams import Teams

NAMES = ("t0", "t1", "t2")


def teams() -> Teams:
    """Dimensions 1 to 3 name a team each; 0 names none."""
    made = Teams()
    made.join([0], [(None, None)])
    for index, name in enumerate(NAMES, 1):
        made.join([index], [(name, None)])
    return made


def note(made: Teams, *events: tuple[int, int, int]) -> list[int]:
    """A block of events: slot, dimensions, time."""
    slots, dims, at_ms = (np.array(column) for column in zip(*events, strict=True))
    return made.note(slots, dims, at_ms)


@pytest.mark.parametrize(
    ("events", "team"),
    [
        ([(5, 1)], "t0"),
        ([(5, 1), (6, 2)], "t1"),
        ([(6, 2), (5, 1)], "t1"),
        ([(5, 1), (5, 2)], "t1"),
        ([(5, 2), (5, 1)], "t1"),
        ([(5, 2), (6, 0)], "t1"),
    ],
)
def test_the_latest_event_that_names_one_decides(events: list[tuple[int, int]], team: str) -> None:
    """Whatever order they come in; of two at one instant, the later name."""
    made = teams()
    for at_ms, dims in events:
        note(made, (7, dims, at_ms))
    assert made.of(7) == team


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 3), st.integers(1, 5)), min_size=1, max_size=30
    ),
    st.integers(1, 10),
)
def test_blocks_are_the_same_as_one_by_one(events: list[tuple[int, int, int]], size: int) -> None:
    """And who has changed is said."""
    made = teams()
    expected: dict[int, tuple[int, str]] = {}
    for start in range(0, len(events), size):
        block = events[start : start + size]
        before = {slot: name for slot, (_, name) in expected.items()}
        for slot, dims, at_ms in block:
            if dims:
                expected[slot] = max(expected.get(slot, (0, "")), (at_ms, NAMES[dims - 1]))
        changed = note(made, *block)
        after = {slot: name for slot, (_, name) in expected.items()}
        assert {slot for slot in after if after[slot] != before.get(slot)} <= set(changed)
        assert {slot: made.of(slot) for slot in after} == after


def test_what_is_older_than_a_horizon_is_forgotten() -> None:
    """Who had it is said, and later events tell anew."""
    made = teams()
    note(made, (1, 1, 5), (2, 2, 9))
    assert made.forget_before(9) == [1]
    assert (made.of(1), made.of(2)) == (None, "t1")
    assert note(made, (1, 3, 2)) == [1]
    assert made.of(1) == "t2"
    assert made.of(10**6) is None


def test_a_name_that_nothing_refers_to_makes_room() -> None:
    """Names come and go with the dimensions that name them."""
    made = teams()
    for step in range(100):
        made.join([9], [(f"new{step}", None)])
        made.leave(9)
    assert len(made._numbers.names) == len(NAMES) + 2


def test_a_site_is_where_the_team_was_last_seen() -> None:
    """It moves with the team, and only forward; an event without a site leaves none."""
    made = teams()
    made.join([4, 5], [("t0", "north"), ("t0", "south")])
    assert made.site_of(7) is None
    assert [note(made, event) for event in ((7, 4, 5), (7, 5, 7), (7, 4, 6))] == [[7], [], []]
    assert (made.of(7), made.site_of(7)) == ("t0", "south")
    note(made, (7, 1, 8))
    assert (made.of(7), made.site_of(7)) == ("t0", None)
    assert made.forget_before(9) == [7]
    assert (made.of(7), made.site_of(7)) == (None, None)
