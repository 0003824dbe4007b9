"""What a workload is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol, Self

from tests.bench.systems.base import System

Say = Callable[[str], None]
Spread = dict[str, float]
"""Median, min and max over the rounds."""
Summary = dict[str, dict[str, Spread]]
"""System (or variant of ours) → metric → spread."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmark: a broker, the systems that take turns, and how often."""

    bootstrap: str
    rounds: int
    systems: Sequence[type[System]]
    say: Say


@dataclass(frozen=True, slots=True)
class Result:
    """One workload's figures, what its lines are called, and why a system is missing."""

    summary: Summary
    labels: Mapping[str, str]
    failed: Mapping[str, str] = field(default_factory=dict)


class Workload(Protocol):
    """Something to measure."""

    @property
    def name(self) -> str:
        """By which it is chosen."""

    @property
    def about(self) -> str:
        """In a line."""

    def sized(self, records: int) -> Self:
        """The same with so many records."""

    async def run(self, run: Run) -> Result:
        """Measures it, with the broker all to itself."""


@dataclass(slots=True)
class Collected:
    """Gathers the figures of each round."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, system: str, metrics: Mapping[str, float | None]) -> None:
        """One round's figures of one system; those that are not known are left out."""
        mine = self.values.setdefault(system, {})
        for metric, value in metrics.items():
            if value is not None:
                mine.setdefault(metric, []).append(value)

    def summary(self) -> Summary:
        """Their spreads."""
        return {
            system: {metric: spread(values) for metric, values in metrics.items()}
            for system, metrics in self.values.items()
        }


def spread(values: Sequence[float]) -> Spread:
    """Median, least and greatest."""
    return {"median": median(values), "min": min(values), "max": max(values)}
