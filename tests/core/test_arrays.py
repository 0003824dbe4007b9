"""Arrays that grow, and runs of equal values in them."""

from __future__ import annotations

import numpy as np

from stream.core.arrays import grown, roomy, run_bounds, run_sums, runs


def test_a_grown_array_has_zeros_where_it_is_new() -> None:
    """Along the axis that was asked for."""
    array = np.ones((2, 2), dtype=np.int64)
    assert grown(array, 3).tolist() == [[1, 1], [1, 1], [0, 0]]
    assert grown(array, 3, axis=1).tolist() == [[1, 1, 0], [1, 1, 0]]


def test_an_array_with_room_is_the_same_one() -> None:
    """Else it is twice as long as the place that was asked for, and holds what it held."""
    array = np.ones(3, dtype=np.int64)
    assert roomy(array, 2) is array
    assert roomy(array, 3).tolist() == [1, 1, 1, 0, 0, 0]


def test_runs_are_bounded_and_added_up() -> None:
    """Also where each is of one value."""
    ordered, rows = np.array([4, 4, 7, 9, 9]), np.arange(10).reshape(5, 2)
    assert run_bounds(ordered) == [(0, 2), (2, 3), (3, 5)]
    assert run_sums(rows, runs(ordered)).tolist() == [[2, 4], [4, 5], [14, 16]]
    assert run_sums(rows, runs(np.arange(5))).tolist() == rows.tolist()
