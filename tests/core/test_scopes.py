"""Whom a row counts for, and the sums of each scope over buckets."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from stream.core.buckets import OUTSIDE
from stream.core.dims import Dims
from stream.core.measures import COLUMN, COLUMNS
from stream.core.scopes import NOBODY, ScopeTable, scope_ids

if TYPE_CHECKING:
    from stream.core.kpis import ScopeKind

QUEUE_TEAMS: Final = {"q1": "t1"}


def dims(**named: str) -> Dims:
    """Dimensions of which only some are named."""
    return Dims(**{name: named.get(name) for name in Dims._fields})


@pytest.mark.parametrize(
    ("kind", "named", "work", "service"),
    [
        ("agent", {"agent": "a1", "queue": "q1"}, "a1", None),
        ("agent", {"queue": "q1"}, None, None),
        # A team's service level is its queue's, whoever took the call.
        ("team", {"team": "t2", "queue": "q1"}, "t2", "t1"),
        ("team", {"queue": "q1"}, "t1", "t1"),
        ("team", {"team": "t2", "queue": "q2"}, "t2", None),
        ("team", {"team": "t2"}, "t2", None),
        ("team", {"queue": "q2"}, None, None),
        ("queue", {"queue": "q1", "team": "t2"}, "q1", "q1"),
        ("channel", {"channel": "voice"}, "voice", "voice"),
        ("campaign", {"campaign": "c1"}, "c1", "c1"),
        ("site", {"site": "s1"}, "s1", "s1"),
        ("site", {}, None, None),
    ],
)
def test_whom_work_and_service_count_for(
    kind: ScopeKind, named: dict[str, str], work: str | None, service: str | None
) -> None:
    """Work counts for whom the event names; service for the queue, and above it by the queue."""
    assert scope_ids(kind, QUEUE_TEAMS, [dims(**named)]) == ([work], [service])


def table(kind: ScopeKind, *named: dict[str, str]) -> ScopeTable:
    """A table with two windows, three buckets and these dimensions, numbered from 0."""
    made = ScopeTable(kind, 2, partial(scope_ids, kind, QUEUE_TEAMS), QUEUE_TEAMS)
    made.need_buckets(3)
    for index, names in enumerate(named):
        made.join([index], [dims(**names)])
    return made


def add(made: ScopeTable, bucket: int, index: int, measure: str, value: int = 1) -> None:
    """Adds one contribution."""
    measures = np.zeros((1, len(COLUMN)), dtype=np.int64)
    measures[0, COLUMN[measure]] = value
    made.move(measures, np.array([index]), OUTSIDE, bucket, 0)


def seen(made: ScopeTable, index: int, team: str, at_ms: int) -> None:
    """An event with these dimensions, which name a team."""
    made.teams.join([index], [(team, None)])
    made.note_teams(np.array([index]), np.array([at_ms]))


def summed(made: ScopeTable, name: str, *buckets: int) -> dict[str, int]:
    """A scope's sums over buckets, zeros left out."""
    slots = np.array([made.slots[name]], dtype=np.int64)
    sums = made.window_sums(buckets, slots)[0].tolist()
    return {measure: sums[column] for measure, column in COLUMN.items() if sums[column]}


def test_a_contribution_counts_once_in_its_bucket() -> None:
    """A window's sum is the sum of its buckets."""
    made = table("agent", {"agent": "a1"}, {"agent": "a2"})
    add(made, 1, 0, "handled")
    add(made, 2, 0, "handled", 4)
    add(made, 2, 1, "handled", 16)
    assert summed(made, "a1", 1) == {"handled": 1}
    assert summed(made, "a1", 1, 2) == {"handled": 5}
    assert summed(made, "a2", 1, 2) == {"handled": 16}
    assert summed(made, "a1") == {}


def test_two_contributions_of_a_block_to_one_sum_both_count() -> None:
    """Adding a whole block at once loses none."""
    made = table("agent", {"agent": "a1"}, {"agent": "a1", "queue": "q1"})
    measures = np.zeros((4, len(COLUMN)), dtype=np.int64)
    measures[:, COLUMN["handled"]] = [1, 2, 4, 8]
    made.move(measures, np.array([0, 1, 0, 1]), OUTSIDE, 1, 0)
    assert summed(made, "a1", 1) == {"handled": 15}


@pytest.mark.parametrize(
    ("kind", "name", "counted"),
    [
        ("agent", "a1", {"legs"}),
        ("queue", "q1", {"legs", "offered:leg"}),
        ("channel", "voice", {"legs", "offered:first_leg"}),
        ("team", "t2", {"legs"}),
        ("team", "t1", {"offered:first_leg"}),
    ],
)
def test_each_kind_counts_its_own_groups_of_measures(
    kind: ScopeKind, name: str, counted: set[str]
) -> None:
    """Adding event by event and moving whole rows agree on whom a measure counts for."""
    named = {"agent": "a1", "team": "t2", "queue": "q1", "channel": "voice"}
    added, moved = table(kind, named), table(kind, named)
    row = np.zeros((1, COLUMNS), dtype=np.int64)
    for measure in ("legs", "offered:leg", "offered:first_leg"):
        add(added, 1, 0, measure)
        row[0, COLUMN[measure]] = 1
    moved.move(row, np.array([0]), 0, 1, 0b11)
    assert summed(added, name, 1) == summed(moved, name, 1) == dict.fromkeys(counted, 1)


def test_a_move_takes_from_one_bucket_what_it_gives_to_another() -> None:
    """Rows of one scope and of several; bucket 0 is outside and keeps no sums."""
    made = table("agent", {"agent": "a1"}, {"agent": "a2"}, {"agent": "a1", "queue": "q1"})
    for index, amount in ((0, 1), (1, 2), (2, 4)):
        add(made, 1, index, "handled", amount)
    rows = np.zeros((3, COLUMNS), dtype=np.int64)
    rows[:, COLUMN["handled"]] = [1, 2, 4]
    made.move(rows, np.array([0, 1, 2]), 1, 2, 0b01)
    assert [summed(made, "a1", bucket) for bucket in (1, 2)] == [{}, {"handled": 5}]
    made.move(rows, np.array([0, 1, 2]), 2, 0, 0b10)
    assert not made.sums.any()


def test_a_move_marks_what_time_changed() -> None:
    """The windows that let go of the rows are to be shown and judged again; others are not."""
    made = table("agent", {"agent": "a1"}, {"agent": "a2"})
    made.move(np.ones((1, COLUMNS), dtype=np.int64), np.array([0]), 0, 1, 0b10)
    a1, a2 = made.slots["a1"], made.slots["a2"]
    assert (made.rolled[a1], made.unjudged[a1], made.touched[a1]) == (0b10, 0b10, 0)
    assert (made.rolled[a2], made.unjudged[a2]) == (0, 0)


def test_an_event_marks_the_windows_that_hold_it() -> None:
    """For the scope it works for and the one it is served by."""
    made = table("team", {"team": "t2", "queue": "q1"})
    made.touch(np.array([0]), 0b10)
    for name in ("t1", "t2"):
        slot = made.slots[name]
        assert (made.touched[slot], made.unjudged[slot], made.rolled[slot]) == (0b10, 0b10, 0)


def test_a_scope_is_gone_when_its_last_dimensions_leave() -> None:
    """Not before: another combination may still name it."""
    made = table("agent", {"agent": "a1"}, {"agent": "a1", "queue": "q1"})
    slot = made.slots["a1"]
    assert made.leave(0) == []
    assert made.leave(1) == [slot]
    made.free(slot)
    assert made.slots == {}


def test_a_team_named_as_worker_and_by_its_queue_leaves_once() -> None:
    """One row may refer to one team in both ways."""
    made = table("team", {"team": "t1", "queue": "q1"})
    assert made.leave(0) == [made.slots["t1"]]


def test_a_freed_slot_is_used_again_without_a_trace() -> None:
    """Marks and team of the scope before are gone."""
    made = table("agent", {"agent": "a1", "team": "t1"})
    seen(made, 0, "t1", 5)
    made.touch(np.array([0]), 0b11)
    made.teams.leave(0)
    (slot,) = made.leave(0)
    made.free(slot)
    made.join([0], [dims(agent="a2")])
    assert made.slots == {"a2": slot}
    assert (made.team(slot), made.site(slot)) == (None, None)
    assert (made.touched[slot], made.unjudged[slot]) == (0, 0)


def test_a_teams_team_is_itself_and_nobody_is_noted() -> None:
    """A queue's is the one that answers for it; the others' scopes have none."""
    assert table("team", {"team": "t1"}).team(1) == "t1"
    assert table("queue", {"queue": "q1"}).team(1) == "t1"
    assert table("queue", {"queue": "q2"}).team(1) is None
    assert table("site", {"site": "q1", "team": "t2"}).team(1) is None
    made = table("agent", {"queue": "q1"})
    seen(made, 0, "t1", 5)
    assert made.team(NOBODY) is None


def test_sums_and_marks_survive_growth() -> None:
    """Two hundred agents and thirty buckets are more than a new table has room for."""
    made = table("agent", {"agent": "a0"})
    add(made, 1, 0, "handled", 9)
    made.touch(np.array([0]), 0b01)
    made.join(range(1, 200), [dims(agent=f"a{index}") for index in range(1, 200)])
    made.need_buckets(30)
    add(made, 29, 199, "handled", 3)
    assert summed(made, "a0", *range(30)) == {"handled": 9}
    assert summed(made, "a199", *range(30)) == {"handled": 3}
    assert made.touched[made.slots["a0"]] == 0b01
