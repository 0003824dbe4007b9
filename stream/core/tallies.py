"""How many of a team's agents are judged on a KPI, and how many of them miss it.

It tells a fault of the whole team from one agent who drags it down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.core.goals import Verdict
from stream.core.scopes import ScopeTable

Tallies = Mapping[str, Mapping[str, "Tally"]]
"""By team, then by KPI."""


class Tally(NamedTuple):
    """Agents with a verdict on the KPI, unproven ones included, and those of them who miss it.

    Unproven counts as judged, or where few have enough contacts the one who misses it would be
    all of them.
    """

    judged: int
    missing: int

    def __add__(self, other: object) -> Tally:
        """Of two sets of agents, both together."""
        assert isinstance(other, Tally), "tallies add to tallies"
        return Tally(self.judged + other.judged, self.missing + other.missing)


NOBODY: Final = Tally(0, 0)


def added_up(parts: Iterable[Tallies]) -> Tallies:
    """The tallies of all of some sets of agents."""
    total: dict[str, dict[str, Tally]] = {}
    for part in parts:
        for team, by_kpi in part.items():
            of_team = total.setdefault(team, {})
            for kpi, tally in by_kpi.items():
                of_team[kpi] = of_team.get(kpi, NOBODY) + tally
    return total


def tally_agents(
    agents: ScopeTable, codes_by_kpi: Mapping[str, Iterable[npt.NDArray[np.int8]]]
) -> dict[str, dict[str, Tally]]:
    """The tallies of the agents in a table, by their goals' last verdicts on each KPI.

    Of several goals on one KPI it takes one to judge and one to miss. Agents without a team count
    for none.
    """
    found: dict[str, dict[str, Tally]] = {}
    for kpi, codes in codes_by_kpi.items():
        worst = np.max(np.vstack(list(codes)), axis=0)
        judged = Counter(map(agents.team, np.flatnonzero(worst != Verdict.NO_DATA).tolist()))
        missing = Counter(map(agents.team, np.flatnonzero(worst == Verdict.MISSED).tolist()))
        for team, count in judged.items():
            if team is not None:
                found.setdefault(team, {})[kpi] = Tally(count, missing[team])
    return found
