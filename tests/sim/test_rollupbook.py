"""By which parts nobody is judged: the auditor's own rules, at their edges."""

from __future__ import annotations

from collections import Counter

import pytest

from stream.sim.counting import MINUTE
from stream.sim.rollupbook import Combined, Report, RollupBook, judge_now
from stream.sim.view import Breach
from stream.sim.witness import Frozen

NOON = 28_500_000 * MINUTE


def combined_at(wall: int, now: int, *as_of: int, partitions: int = 2) -> Combined:
    """What a stage adds up whose sources have come to these instants."""
    book = RollupBook(partitions)
    for source, at in enumerate(as_of):
        book.note(0, Report(source, source, 1, at, {}, 0, {}))
    return book.combined(0, len(as_of), now, frozen_at(wall))


def frozen_at(wall: int) -> Frozen:
    """A flush of that instant by its worker's clock."""
    return Frozen(wall, 0, {}, Counter())


@pytest.mark.parametrize(
    ("wall", "now", "as_of", "stale"),
    [
        # Ten seconds of silence are allowed.
        (NOON + 10_000, NOON, (NOON, NOON + 9_000), []),
        (NOON + 10_001, NOON + 9_000, (NOON, NOON + 9_000), [0]),
        (NOON + 30_000, NOON + 20_000, (NOON, NOON + 9_000), [0, 1]),
        # Windows end with the minute of now; who has not come to it is not waited for.
        (NOON + 2_000, NOON + 1, (NOON, NOON + 1), [0]),
        (NOON + 2_000, NOON + 1_500, (NOON + 1, NOON + 1_500), []),
        # A clock that is behind finds nothing old.
        (NOON - 40_000, NOON, (NOON, NOON), []),
    ],
)
def test_a_part_is_stale_by_the_clock_of_who_adds_it_up(
    wall: int, now: int, as_of: tuple[int, int], stale: list[int]
) -> None:
    """After ten seconds without news, and until it has reached the end of the windows."""
    found = combined_at(wall, now, *as_of)
    assert (found.stale, found.is_held) == (stale, bool(stale))


def test_nobody_is_judged_before_every_source_has_reported() -> None:
    """The figure of a team of which a part is unknown is nobody's fault."""
    assert combined_at(NOON, NOON, NOON).is_held


@pytest.mark.parametrize(
    ("wall", "now", "as_of"),
    [
        (NOON + 2_000, NOON + 1_000, (NOON + 1_000, NOON + 1_500)),
        (NOON + 2_000, NOON + 1_200, (NOON + 1_000, NOON + 1_500)),
        (NOON + 30_000, NOON + 20_000, (NOON, NOON + 9_000)),
    ],
)
def test_now_is_where_the_slowest_live_source_has_come(
    wall: int, now: int, as_of: tuple[int, int]
) -> None:
    """Or ten seconds ago where none is live; within a minute it may have been further."""
    judge_now(combined_at(wall, now, *as_of), NOON - MINUTE, now, frozen_at(wall))


@pytest.mark.parametrize("now", [NOON + 999, NOON + MINUTE + 1])
def test_another_now_is_a_breach(now: int) -> None:
    """Neither before it nor in a later minute."""
    wall, as_of = NOON + MINUTE, (NOON + 1_000, NOON + 1_500)
    found = combined_at(wall - 55_000, NOON + 1_000, *as_of)
    with pytest.raises(Breach, match="live source"):
        judge_now(found, NOON - MINUTE, now, frozen_at(wall))
