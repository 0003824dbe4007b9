"""Minutes held by the same windows share a bucket, and move when an edge passes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream.core.buckets import OUTSIDE, WINDOWS_MAX, Buckets
from stream.core.rows import Pane
from stream.core.windows import parse_window
from tests.core.build import NOON, minute, ms

if TYPE_CHECKING:
    from collections.abc import Sequence


def placed(*instants: str, names: Sequence[str] = ("15m", "1h")) -> tuple[Buckets, dict[int, Pane]]:
    """Buckets at noon, with a pane for each instant's minute."""
    buckets = Buckets(tuple(parse_window(name) for name in names))
    buckets.advance(ms(NOON), {})
    panes = {minute(text): Pane(minute(text)) for text in instants}
    for pane in panes.values():
        buckets.place(pane)
    return buckets, panes


@pytest.mark.parametrize(
    ("instant", "mask"),
    [
        ("2024-06-03T10:59Z", 0b00),
        ("2024-06-03T11:00Z", 0b10),
        ("2024-06-03T11:44Z", 0b10),
        ("2024-06-03T11:45Z", 0b11),
        ("2024-06-03T11:59Z", 0b11),
        ("2024-06-03T12:00Z", 0b00),
    ],
)
def test_a_minute_is_in_the_windows_whose_span_holds_it(instant: str, mask: int) -> None:
    """At noon 15m is [11:45, 12:00) and 1h is [11:00, 12:00); bit 0 is 15m."""
    buckets, _ = placed()
    assert buckets.mask(minute(instant)) == mask


def test_before_the_first_instant_every_minute_is_outside() -> None:
    """Buckets that were not told the time hold nothing."""
    buckets = Buckets((parse_window("1h"),))
    pane = Pane(minute("2024-06-03T11:59Z"))
    buckets.place(pane)
    assert pane.bucket == OUTSIDE


def test_minutes_of_the_same_windows_share_a_bucket() -> None:
    """11:50 and 11:55 are in both windows, 11:30 in one, 9:00 in none."""
    _, panes = placed("2024-06-03T11:50Z", "2024-06-03T11:55Z", "2024-06-03T11:30Z")
    both, same, one = (pane.bucket for pane in panes.values())
    assert both == same
    assert len({both, one, OUTSIDE}) == 3


def test_a_minute_that_an_edge_passed_moves_to_another_bucket() -> None:
    """11:45 leaves 15m when ⌈now⌉ becomes 12:01 and keeps its place in 1h."""
    buckets, panes = placed("2024-06-03T11:45Z", "2024-06-03T11:46Z")
    pane = panes[minute("2024-06-03T11:45Z")]
    before = pane.bucket
    (move,) = buckets.advance(ms(NOON) + 1, panes)
    assert (move.source, move.target, move.panes) == (before, pane.bucket, [pane])
    assert (buckets.masks[move.source], buckets.masks[move.target]) == (0b11, 0b10)


def test_nothing_moves_within_a_minute() -> None:
    """From 12:00:00.001 to 12:01:00.000 ⌈now⌉ is the same."""
    buckets, panes = placed("2024-06-03T11:45Z", "2024-06-03T11:50Z")
    buckets.advance(ms(NOON) + 1, panes)
    assert buckets.advance(ms(NOON) + 60_000, panes) == []


@pytest.mark.parametrize("step_minutes", [1, 7, 45, 61, 1_440, 100_000])
def test_any_jump_leaves_each_minute_where_its_windows_say(step_minutes: int) -> None:
    """Whichever walk finds the passed minutes, short or long, none is missed."""
    start = minute("2024-06-03T10:00Z")
    texts = [f"2024-06-03T{(start + i) // 60 % 24:02}:{(start + i) % 60:02}Z" for i in range(200)]
    buckets, panes = placed(*texts)
    now = ms(NOON)
    for _ in range(5):
        now += step_minutes * 60_000
        buckets.advance(now, panes)
        buckets.tidy()
        masks = {m: buckets.masks[pane.bucket] for m, pane in panes.items()}
        assert masks == {m: buckets.mask(m) for m in panes}


def test_a_window_is_the_buckets_that_have_its_bit() -> None:
    """1h is made of the bucket of both and the bucket of 1h alone; 15m of the first."""
    buckets, panes = placed("2024-06-03T11:50Z", "2024-06-03T11:30Z", "2024-06-03T09:00Z")
    both, one, _ = (pane.bucket for pane in panes.values())
    assert sorted(buckets.of_window(1)) == sorted([both, one])
    assert buckets.of_window(0) == [both]


def test_a_bucket_without_minutes_is_used_again() -> None:
    """However long windows roll, there are no more buckets than sets of windows at once."""
    buckets, panes = placed("2024-06-03T11:59Z", names=("1m", "2m", "3m"))
    for step in range(1, 10):
        buckets.advance(ms(NOON) + step * 60_000, panes)
        buckets.tidy()
    assert panes[minute("2024-06-03T11:59Z")].bucket == OUTSIDE
    assert buckets.masks[1:] == [0] * (len(buckets.masks) - 1)
    assert len(buckets.masks) <= 3


def test_a_forgotten_minute_frees_its_bucket() -> None:
    """A pane that is taken out no longer keeps its bucket in any window."""
    buckets, panes = placed("2024-06-03T11:50Z")
    buckets.forget(panes.popitem()[1])
    assert buckets.of_window(1) == []


def test_there_is_room_for_sixty_windows_and_no_more() -> None:
    """Masks of windows are kept in 64 bits."""
    windows = tuple(parse_window(f"{n}m") for n in range(1, WINDOWS_MAX + 2))
    Buckets(windows[:-1])
    with pytest.raises(ValueError, match="61 windows: at most 60 are possible"):
        Buckets(windows)
