"""Many values at once are, to the last bit, what each of them is alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.core.kpis import CATALOGUE, Kpi
from stream.core.ratios import ratio, ratios

_SUMS = st.builds(lambda n, bits: n << bits, st.integers(-1_000, 1_000), st.integers(0, 52))


@given(st.sampled_from([*CATALOGUE.values()]), st.lists(st.tuples(_SUMS, _SUMS), max_size=4))
def test_many_values_are_those_of_each(kpi: Kpi, sums: list[tuple[int, int]]) -> None:
    """Python divides integers of any size and rounds once: the measure, types included."""
    sums *= 16  # of few, each is divided by itself
    columns = np.array(sums, dtype=np.int64).reshape(len(sums), 2)
    expected = [ratio(numerator, denominator, kpi) for numerator, denominator in sums]
    found = ratios(columns[:, 0], columns[:, 1], kpi)
    assert [(type(value), value) for value in found] == [(type(v), v) for v in expected]
