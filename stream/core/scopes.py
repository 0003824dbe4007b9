"""The figures of every agent, team, queue, channel, campaign and site: sums over buckets.

A scope's sums are a cache over the rows, derived by what the row's dimensions name. Work counts
for the scope the event names; service (what callers met) counts for the queue, and above it by
the queue, so that a team's service level is its queue's and an abandoned call has a team too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from stream.core.arrays import Ints, Narrow, grown, roomy, summed
from stream.core.dims import Dims
from stream.core.kpis import ScopeKind
from stream.core.measures import COLUMNS, SERVICE, WORK_COLUMNS
from stream.core.numbers import Numbers
from stream.core.teams import Teams

# Whom rows' work and whom their service counts for, by whatever stands for their dimensions.
IdsOf = Callable[[Sequence[Any]], tuple[Sequence[str | None], Sequence[str | None]]]

NOBODY: Final = 0
_FIRST_CAPACITY: Final = 64
_LEG_COLUMNS: Final = slice(WORK_COLUMNS, WORK_COLUMNS + len(SERVICE))
_FIRST_LEG_COLUMNS: Final = slice(WORK_COLUMNS + len(SERVICE), COLUMNS)
_WORK: Final = slice(0, WORK_COLUMNS)
_SERVICE_GROUPS: Final[Mapping[ScopeKind, list[tuple[int, slice]]]] = {
    "agent": [],
    "queue": [(1, _LEG_COLUMNS)],
    "team": [(1, _FIRST_LEG_COLUMNS)],
    "channel": [(1, _FIRST_LEG_COLUMNS)],
    "campaign": [(1, _FIRST_LEG_COLUMNS)],
    "site": [(1, _FIRST_LEG_COLUMNS)],
}
_MASKS: Final = ("touched", "rolled", "unjudged", "urgent")
EVERY_WINDOW: Final = np.uint64(2**60 - 1)
Masks = npt.NDArray[np.uint64]
_NONE_MAPPED: Final[Mapping[str, str]] = MappingProxyType({})


def scope_ids(
    kind: ScopeKind, queue_teams: Mapping[str, str], dims: Sequence[Dims]
) -> tuple[Sequence[str | None], Sequence[str | None]]:
    """Whom rows' work and whom their service counts for, among scopes of `kind`."""
    named: list[str | None] = list(map(attrgetter(kind), dims))
    if kind == "agent":
        return named, [None] * len(dims)
    if kind == "team":
        mapped = [None if of.queue is None else queue_teams.get(of.queue) for of in dims]
        return [team or by_queue for team, by_queue in zip(named, mapped, strict=True)], mapped
    return named, named


def column_groups(kind: ScopeKind) -> list[tuple[int, slice]]:
    """Which columns count for scopes of `kind`: by what a row's work (0) or service (1) names."""
    return [(0, _WORK), *_SERVICE_GROUPS[kind]]


class ScopeTable:
    """All scopes of one kind in one partition; what a row counts for is told by `ids_of`.

    `sums` is [bucket, slot, column]; slot 0 is nobody and collects what counts for no one.
    `touched` and `rolled` are bits per window: changed by an event, or by a minute's passing,
    since the last reading. `unjudged`: the same since the goals were last looked at. `urgent`:
    a verdict changed, the reading waits for nothing.
    """

    def __init__(
        self,
        kind: ScopeKind,
        windows: int,
        ids_of: IdsOf,
        queue_teams: Mapping[str, str] = _NONE_MAPPED,
    ) -> None:
        """No scopes yet. `ids_of` tells whom a row's work and whom its service counts for.

        `queue_teams`: which team answers for which queue.
        """
        self.kind = kind
        self.windows = windows
        self._numbers: Numbers[str] = Numbers(reserved=1)
        self.ids, self.slots = self._numbers.names, self._numbers.of
        self.sums: Ints = np.zeros((1, _FIRST_CAPACITY, COLUMNS), dtype=np.int64)
        self.touched: Masks = np.zeros(_FIRST_CAPACITY, dtype=np.uint64)
        self.rolled: Masks = np.zeros(_FIRST_CAPACITY, dtype=np.uint64)
        self.unjudged: Masks = np.zeros(_FIRST_CAPACITY, dtype=np.uint64)
        self.urgent: Masks = np.zeros(_FIRST_CAPACITY, dtype=np.uint64)
        self.stagger: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self.teams = Teams()
        self._ids_of = ids_of
        self._queue_teams = queue_teams
        self._by_dims: Ints = np.zeros((_FIRST_CAPACITY, 2), dtype=np.int64)
        self._groups = column_groups(kind)

    @property
    def capacity(self) -> int:
        """How many slots the arrays hold; parallel arrays elsewhere follow it."""
        return len(self.touched)

    def join(self, indices: Sequence[int], dims: Sequence[Any]) -> None:
        """Makes known whom the dimensions with these indices count for."""
        self._by_dims = roomy(self._by_dims, max(indices))
        for group, names in enumerate(self._ids_of(dims)):
            new = {name for name in names if name is not None and name not in self.slots}
            self._by_dims[indices, group] = self._numbers.hold_all(names)
            self._introduce(new)

    def leave(self, index: int) -> list[int]:
        """Undoes `join`; returns the slots that nothing refers to any more, not yet freed."""
        held = [slot for slot in self._by_dims[index].tolist() if slot != NOBODY]
        self._by_dims[index] = NOBODY
        return [slot for slot in held if self._numbers.let_go(slot)]

    def free(self, slot: int) -> None:
        """Makes a slot that nothing refers to available for another scope."""
        assert not self.sums[:, slot].any(), "a scope without rows has no sums"
        self._numbers.free(slot)
        self.teams.forget([slot])
        for name in _MASKS:
            getattr(self, name)[slot] = 0

    def touch(self, dims: Ints | Narrow, mask: int) -> None:
        """Notes that an event changed the windows in `mask` for the scopes of these dims."""
        for group, _ in self._groups:
            slots = self._by_dims[dims, group]
            self.touched[slots] |= np.uint64(mask)
            self.unjudged[slots] |= np.uint64(mask)

    def move(
        self, measures: Ints, dims: Ints | Narrow, source: int, target: int, changed: int
    ) -> None:
        """Moves whole rows from bucket `source` to `target` (0 is outside and keeps no sums)."""
        for group, columns in self._groups:
            slots, sums = summed(self._by_dims[dims, group], measures[:, columns])
            if source:
                self.sums[source, slots, columns] -= sums
            if target:
                self.sums[target, slots, columns] += sums
            if changed:
                self.rolled[slots] |= np.uint64(changed)
                self.unjudged[slots] |= np.uint64(changed)

    def need_buckets(self, count: int) -> None:
        """Makes room for `count` buckets."""
        if count > len(self.sums):
            self.sums = grown(self.sums, count + 2)

    def window_sums(self, buckets: Sequence[int], slots: Ints) -> Ints:
        """The measures' sums of each slot over `buckets`: [slot, column]."""
        total = np.zeros((len(slots), COLUMNS), dtype=np.int64)
        for bucket in buckets:
            total += self.sums[bucket, slots]
        return total

    def note_teams(self, dims: Ints | Narrow, at_ms: Ints) -> None:
        """What events with these dimensions say of their agents' teams."""
        slots = self._by_dims[dims, 0]
        is_somebody = slots != NOBODY
        changed = self.teams.note(slots[is_somebody], dims[is_somebody], at_ms[is_somebody])
        self.renew(changed)

    def forget_teams(self, before_ms: int) -> None:
        """Forgets what events before that told of teams: a restart would not know."""
        self.renew(self.teams.forget_before(before_ms))

    def renew(self, slots: list[int], windows: np.uint64 = EVERY_WINDOW) -> None:
        """Has windows of these scopes read and judged again: how they are counted has changed."""
        for mask in (self.rolled, self.unjudged):
            mask[slots] |= windows

    def team(self, slot: int) -> str | None:
        """The team of an agent, the one that answers for a queue, or a team itself."""
        return self.teams.of(slot) if self.kind == "agent" else self.team_by_name(self.ids[slot])

    def team_by_name(self, scope_id: str | None) -> str | None:
        """The team that follows from a scope's name alone, also of one that has no rows left."""
        if self.kind == "team":
            return scope_id
        return self._queue_teams.get(scope_id or "") if self.kind == "queue" else None

    def site(self, slot: int) -> str | None:
        """Where an agent's team was last seen; `None` where no event has said."""
        return self.teams.site_of(slot)

    def _introduce(self, names: Iterable[str]) -> None:
        """Makes room for scopes that have just got their slots."""
        slots = {self.slots[name]: name for name in names}
        if max(slots, default=0) >= self.capacity:
            capacity = 2 * max(slots)
            self.sums = grown(self.sums, capacity, axis=1)
            for array in (*_MASKS, "stagger"):
                setattr(self, array, grown(getattr(self, array), capacity))
        self.stagger[list(slots)] = [crc32(name.encode()) for name in slots.values()]
