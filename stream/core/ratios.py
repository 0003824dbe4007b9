"""Values of KPIs from their two exact sums: the only place where integers become fractions."""

from __future__ import annotations

from itertools import repeat
from typing import Final

import numpy as np

from stream.core.arrays import Ints
from stream.core.kpis import Kpi

# Up to here int64 and float64 are the same numbers, and one division rounds as Python's does.
_EXACT_MAX: Final = 2**53
_FEW: Final = 16


def ratio(numerator: int, denominator: int, kpi: Kpi) -> float | int | None:
    """The KPI's value; `None` where the denominator is not positive."""
    if denominator <= 0:
        return None
    if kpi.shape == "count":
        return numerator
    return kpi.scale * numerator / (denominator * kpi.divisor)


def ratios(numerators: Ints, denominators: Ints, kpi: Kpi) -> list[float | int | None]:
    """The same of many at once, to the last bit."""
    if (
        kpi.shape == "count"
        or len(numerators) < _FEW
        or not _are_exact(numerators, denominators, kpi)
    ):
        return list(map(ratio, numerators.tolist(), denominators.tolist(), repeat(kpi)))
    is_there = denominators > 0
    found = np.full(len(numerators), None, dtype=object)
    found[is_there] = numerators[is_there] * kpi.scale / (denominators[is_there] * kpi.divisor)
    values: list[float | int | None] = found.tolist()
    return values


def _are_exact(numerators: Ints, denominators: Ints, kpi: Kpi) -> bool:
    """Whether all that is divided is the same number in floats."""
    both = (numerators, denominators)
    ends = [int(end) for sums in both for end in (sums.min(), sums.max())]
    return max(map(abs, ends)) * max(kpi.scale, kpi.divisor) <= _EXACT_MAX
