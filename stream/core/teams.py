"""Each agent's team: that of its latest event; of two at once, the later name.

With it goes the site that event has named: where the team was last seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from stream.core.arrays import Ints, Narrow, roomy
from stream.core.numbers import Numbers

_NONE: Final = 0
_FIRST_CAPACITY: Final = 64


class Teams:
    """Teams by slot, as events name them by their dimensions."""

    def __init__(self) -> None:
        """Nobody has one."""
        self._numbers: Numbers[tuple[str, str]] = Numbers(reserved=1)
        self._by_dims: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._of: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._at_ms: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)

    def join(self, indices: Sequence[int], places: Sequence[tuple[str | None, str | None]]) -> None:
        """Makes known which team, and where, the dimensions with these indices name."""
        self._by_dims = roomy(self._by_dims, max(indices))
        seen = [None if team is None else (team, site or "") for team, site in places]
        self._by_dims[indices] = self._numbers.hold_all(seen)

    def leave(self, index: int) -> None:
        """Undoes `join`; nobody's latest event has these dimensions any more."""
        team = int(self._by_dims[index])
        if team != _NONE and self._numbers.let_go(team):
            self._numbers.free(team)
        self._by_dims[index] = _NONE

    def of(self, slot: int) -> str | None:
        """A slot's team."""
        return self._seen(slot)[0] or None

    def site_of(self, slot: int) -> str | None:
        """Where a slot's team was last seen; `None` where no event has said."""
        return self._seen(slot)[1] or None

    def note(self, slots: Ints, dims: Ints | Narrow, at_ms: Ints) -> list[int]:
        """Events of these slots, with these dimensions; returns whose team has changed."""
        if not len(slots):
            return []
        highest = int(slots.max())
        self._of, self._at_ms = roomy(self._of, highest), roomy(self._at_ms, highest)
        teams = self._by_dims[dims]
        is_same = (teams != _NONE) & (teams == self._of[slots])
        np.maximum.at(self._at_ms, slots[is_same], at_ms[is_same])
        is_other = (teams != _NONE) & ~is_same
        latest_ms = self._at_ms.copy()
        np.maximum.at(latest_ms, slots[is_other], at_ms[is_other])
        others = np.flatnonzero(is_other & (at_ms == latest_ms[slots]))
        others, changed = self._note_first(others, slots, teams, at_ms)
        columns = (column[others].tolist() for column in (slots, teams, at_ms))
        changed += [
            slot for slot, team, at in zip(*columns, strict=True) if self._is_later(slot, team, at)
        ]
        return list(dict.fromkeys(changed))

    def forget_before(self, at_ms: int) -> list[int]:
        """Forgets what earlier events told: a restart would not know. Returns whose."""
        slots: list[int] = np.flatnonzero((self._of != _NONE) & (self._at_ms < at_ms)).tolist()
        self.forget(slots)
        return slots

    def forget(self, slots: list[int]) -> None:
        """These have no team."""
        slots = [slot for slot in slots if slot < len(self._of)]
        self._of[slots] = _NONE
        self._at_ms[slots] = 0

    def _seen(self, slot: int) -> tuple[str, str]:
        seen = self._numbers.names[self._of[slot]] if slot < len(self._of) else None
        return seen or ("", "")

    def _note_first(
        self, others: Ints, slots: Ints, teams: Ints, at_ms: Ints
    ) -> tuple[Ints, list[int]]:
        """Notes the only event of each slot that has no team yet; which are left, and who has."""
        _, place, mentions = np.unique(slots[others], return_inverse=True, return_counts=True)
        is_first = (mentions[place] == 1) & (self._of[slots[others]] == _NONE)
        first = others[is_first]
        self._of[slots[first]], self._at_ms[slots[first]] = teams[first], at_ms[first]
        return others[~is_first], slots[first].tolist()

    def _is_later(self, slot: int, team: int, at_ms: int) -> bool:
        """Notes what an event says, if it is later than what is known; whether the team is new."""
        told, seen = self._numbers.names[team] or ("", ""), self._seen(slot)
        if (at_ms, told) <= (int(self._at_ms[slot]), seen):
            return False
        self._of[slot], self._at_ms[slot] = team, at_ms
        return told[0] != seen[0]
