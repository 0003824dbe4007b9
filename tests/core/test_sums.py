"""The sums of rows: exact, however wide each measure's are and whenever they become so."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.core.measures import COLUMNS
from stream.core.sums import Sums

ROWS = 8
EDGES = [0, 127, 128, -128, -129, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, -(2**63)]
SUM = st.sampled_from(EDGES) | st.integers(-(2**40), 2**40)
PUTS = st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(0, COLUMNS - 1), SUM))


@given(PUTS, st.integers(0, COLUMNS), st.integers(0, COLUMNS))
def test_what_was_put_is_found(puts: list[tuple[int, int, int]], start: int, stop: int) -> None:
    """Of any rows and columns, through every widening, growth and clearing."""
    sums, expected = Sums(2), np.zeros((ROWS, COLUMNS), dtype=np.int64)
    sums.extend(ROWS)
    for row, column, value in puts:
        expected[row, column] = value
        sums.put(np.array([row]), expected[[row]])
    rows = np.arange(ROWS)[::-1]
    assert np.array_equal(sums.of(rows), expected[::-1])
    assert np.array_equal(sums.of(rows, slice(start, stop)), expected[::-1, start:stop])
    sums.clear(rows[:3])
    assert not sums.of(rows[:3]).any()
    assert np.array_equal(sums.of(rows[3:]), expected[: ROWS - 3][::-1])


def test_a_column_that_needs_more_than_a_byte_leaves_the_others_narrow() -> None:
    """Or one long call would cost every count of every row."""
    sums, given_sums = Sums(ROWS), np.ones((1, COLUMNS), dtype=np.int64)
    given_sums[0, 3] = 200_000
    sums.put(np.array([5]), given_sums)
    assert np.array_equal(sums.of(np.array([5])), given_sums)
    assert sums.nbytes == ROWS * (COLUMNS + 4)


def test_nothing_is_put_into_no_rows() -> None:
    """A block of repeats changes none."""
    sums = Sums(ROWS)
    sums.put(np.zeros(0, dtype=np.int64), np.zeros((0, COLUMNS), dtype=np.int64))
    assert not sums.of(np.arange(ROWS)).any()
