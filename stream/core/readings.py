"""Readings: all KPIs of one scope and window at one instant, and when each is due.

10,000 agents × 5 windows at each minute's edge would be 50,000 readings at once. So: driven by
events, at most one per key in max(1 s, W/900); driven by time alone, one in max(1 min, W/60),
staggered by a hash of the key; a change of verdict at once; and a bounded number per flush,
changed verdicts first, then the longest-waiting. A key that empties gets one empty reading,
then a tombstone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.core.arrays import Ints, grown
from stream.core.buckets import Buckets
from stream.core.goals import Judgement
from stream.core.kpis import Form, Kpi, ScopeKind, kpis_of
from stream.core.ratios import ratios
from stream.core.scopes import EVERY_WINDOW, Masks, ScopeTable
from stream.core.verdicts import Verdicts
from stream.core.windows import MINUTE_MS, Window

READINGS_PER_FLUSH_MAX: Final = 2_000
_NEVER: Final = -(10**15)
Flags = npt.NDArray[np.bool_]


class Figure(NamedTuple):
    """One KPI's value, `None` where there is nothing to count from, and its samples."""

    kpi: Kpi
    value: float | int | None
    samples: int


class Reading(NamedTuple):
    """All KPIs of one scope and window. The window is [`from_minute`, `to_minute`).

    `complete_from` names the KPIs that a changed definition has left empty here, each with the
    minute from which on it is counted.
    """

    scope: ScopeKind
    scope_id: str
    window: str
    as_of_ms: int
    from_minute: int
    to_minute: int
    team: str | None
    figures: tuple[Figure, ...]
    judgements: tuple[tuple[str, Judgement], ...]
    empty: bool
    complete_from: tuple[tuple[str, int], ...] = ()


class ReadingKey(NamedTuple):
    """What a reading is of; the key of the `kpis` topic."""

    scope: ScopeKind
    scope_id: str
    window: str


@dataclass(slots=True)
class _Shown:
    """Per window and slot: when the last reading went out; and which keys readers now hold."""

    emitted_ms: Ints
    shown: Masks
    closing: Masks


class Readings:
    """What one partition has shown to readers of the `kpis` topic, and what is due next."""

    def __init__(
        self, windows: Sequence[Window], tables: Mapping[ScopeKind, ScopeTable], verdicts: Verdicts
    ) -> None:
        """Nothing was shown yet. While `settling`, all is due that is not of this instant."""
        self._windows = windows
        self._tables = tables
        self._verdicts = verdicts
        self._forms = {kind: [kpi.form(kind) for kpi in kpis_of(kind)] for kind in tables}
        self._shown = {kind: _new_shown(len(windows), t.capacity) for kind, t in tables.items()}
        self._gone: list[ReadingKey] = []
        self.settling = False
        self.complete_from: dict[str, int] = {}

    def assume_all_shown(self) -> None:
        """After a restart: readers may hold a reading of any window of any scope."""
        for kind, table in self._tables.items():
            shown = self._sized(kind)
            live = np.array([name is not None for name in table.ids], dtype=bool)
            slots = np.flatnonzero(live)
            shown.shown[slots] = EVERY_WINDOW & np.uint64((1 << len(self._windows)) - 1)
            table.rolled[slots] = shown.shown[slots]

    def forget(self, table: ScopeTable, slot: int) -> None:
        """A scope is gone for good: what readers hold of it gets its tombstones."""
        shown = self._sized(table.kind)
        scope_id = table.ids[slot]
        assert scope_id is not None, "only a named scope can go"
        held = int(shown.shown[slot] | shown.closing[slot])
        self._gone += [
            ReadingKey(table.kind, scope_id, window.name)
            for i, window in enumerate(self._windows)
            if held >> i & 1
        ]
        shown.shown[slot] = shown.closing[slot] = 0
        shown.emitted_ms[:, slot] = _NEVER

    def take(self, buckets: Buckets, now_ms: int) -> tuple[list[Reading], list[ReadingKey]]:
        """The readings due at `now_ms`, at most a flush, and the keys to delete *before* them."""
        tombstones = self._take_tombstones()
        due = self._due(now_ms)[:READINGS_PER_FLUSH_MAX]
        readings: list[Reading] = []
        for kind, window, slots in _grouped(due):
            readings += self._read(kind, window, slots, buckets, now_ms)
        return readings, tombstones

    def read(
        self, kind: ScopeKind, window: int, slots: Ints, buckets: Buckets, now_ms: int
    ) -> list[Reading]:
        """Readings of these scopes now, whatever is due; nothing is noted as shown."""
        table, span = self._tables[kind], self._windows[window].span(now_ms)
        sums = table.window_sums(buckets.of_window(window), slots)
        partial = {name: m for name, m in self.complete_from.items() if m > span[0]}
        figures = zip(
            *(self._figures(form, sums, partial) for form in self._forms[kind]), strict=True
        )
        places = [(table.ids[slot] or "", table.team(slot)) for slot in slots.tolist()]
        judgements = self._judgements(kind, window, sums, places, partial)
        complete_from, name = tuple(partial.items()), self._windows[window].name
        return [
            Reading(
                kind, scope_id, name, now_ms, *span, team, of_kpis, of_goals, empty, complete_from
            )
            for (scope_id, team), of_kpis, of_goals, empty in zip(
                places, figures, judgements, np.logical_not(sums.any(axis=1)).tolist(), strict=True
            )
        ]

    @staticmethod
    def _figures(form: Form, sums: Ints, partial: Collection[str]) -> list[Figure]:
        """One KPI of every scope, a column at a time: most of a reading's cost was here."""
        kpi = form.kpi
        if kpi.name in partial:
            return [Figure(kpi, None, 0)] * len(sums)
        numerators, denominators = form.columns_of(sums)
        samples = np.maximum(denominators, 0).tolist()
        columns = zip(repeat(kpi), ratios(numerators, denominators, kpi), samples)
        # As `Figure._make` does, without a step in Python: readings have a dozen of them.
        return list(map(tuple.__new__, repeat(Figure), columns))

    def _judgements(
        self,
        kind: ScopeKind,
        window: int,
        sums: Ints,
        places: Sequence[tuple[str, str | None]],
        partial: Collection[str],
    ) -> list[tuple[tuple[str, Judgement], ...]]:
        """Every scope's verdicts on the goals over this window."""
        columns = []
        for watched in self._verdicts.of_window(kind, window):
            if watched.goal.kpi.name not in partial:
                fractions = zip(*(c.tolist() for c in watched.form.columns_of(sums)), strict=True)
                columns.append(
                    [
                        (watched.goal.name, watched.judge(*place, *fraction))
                        for place, fraction in zip(places, fractions, strict=True)
                    ]
                )
        return list(zip(*columns, strict=True)) if columns else [()] * len(places)

    def _read(
        self, kind: ScopeKind, window: int, slots: Ints, buckets: Buckets, now_ms: int
    ) -> list[Reading]:
        table, shown, bit = self._tables[kind], self._sized(kind), np.uint64(1 << window)
        readings = self.read(kind, window, slots, buckets, now_ms)
        empty = np.array([reading.empty for reading in readings], dtype=bool)
        known = (shown.shown[slots] & bit) != 0
        shown.shown[slots[~empty]] |= bit
        shown.closing[slots[~empty]] &= ~bit
        shown.shown[slots[empty]] &= ~bit
        shown.closing[slots[empty & known]] |= bit
        shown.emitted_ms[window, slots] = now_ms
        for mask in (table.touched, table.rolled, table.urgent):
            mask[slots] &= ~bit
        return [r for r, skip in zip(readings, empty & ~known, strict=True) if not skip]

    def _take_tombstones(self) -> list[ReadingKey]:
        tombstones, self._gone = self._gone, []
        for kind, table in self._tables.items():
            shown, closing = self._sized(kind), self._sized(kind).closing
            # What has changed since it was empty keeps its key: its next reading waits its turn.
            changed = closing & (table.touched | table.rolled)
            shown.shown |= changed
            closing &= ~changed
            for slot in np.flatnonzero(closing).tolist():
                scope_id, bits = table.ids[slot], int(closing[slot])
                assert scope_id is not None, "a freed slot is not closing"
                tombstones += [
                    ReadingKey(kind, scope_id, window.name)
                    for i, window in enumerate(self._windows)
                    if bits >> i & 1
                ]
            closing[:] = 0
        return tombstones

    def _due(self, now_ms: int) -> list[tuple[int, ScopeKind, int, int]]:
        """(since, kind, window, slot) of all that is due: urgent, then the longest-waiting."""
        due: list[tuple[int, ScopeKind, int, int]] = []
        for kind, table in self._tables.items():
            shown = self._sized(kind)
            for i, window in enumerate(self._windows):
                urgent = (table.urgent & np.uint64(1 << i)) != 0
                since = np.where(urgent, _NEVER - 1, shown.emitted_ms[i])
                slots = np.flatnonzero(self._is_due(table, shown, i, window, now_ms))
                due += [
                    (at, kind, i, slot)
                    for at, slot in zip(since[slots].tolist(), slots.tolist(), strict=True)
                    if slot
                ]
        due.sort()
        return due

    def _is_due(
        self, table: ScopeTable, shown: _Shown, index: int, window: Window, now_ms: int
    ) -> Flags:
        bit, emitted = np.uint64(1 << index), shown.emitted_ms[index]
        touched, rolled = (table.touched & bit) != 0, (table.rolled & bit) != 0
        urgent = (table.urgent & bit) != 0
        if self.settling:
            stale = ((shown.shown & bit) != 0) & (emitted < now_ms)
            settled: Flags = touched | rolled | urgent | stale
            return settled
        length_ms = window.length_minutes * MINUTE_MS
        by_event = now_ms - emitted >= max(1_000, length_ms // 900)
        step_ms = max(MINUTE_MS, length_ms // 60)
        offset = table.stagger % step_ms
        by_time = (now_ms + offset) // step_ms != (emitted + offset) // step_ms
        due: Flags = urgent | (touched & by_event) | (rolled & by_time)
        return due

    def _sized(self, kind: ScopeKind) -> _Shown:
        shown, capacity = self._shown[kind], self._tables[kind].capacity
        if len(shown.shown) < capacity:
            bigger = _new_shown(len(self._windows), capacity)
            bigger.emitted_ms[:, : len(shown.shown)] = shown.emitted_ms
            bigger.shown = grown(shown.shown, capacity)
            bigger.closing = grown(shown.closing, capacity)
            shown = self._shown[kind] = bigger
        return shown


def _new_shown(windows: int, capacity: int) -> _Shown:
    return _Shown(
        np.full((windows, capacity), _NEVER, dtype=np.int64),
        np.zeros(capacity, dtype=np.uint64),
        np.zeros(capacity, dtype=np.uint64),
    )


def _grouped(
    due: Sequence[tuple[int, ScopeKind, int, int]],
) -> list[tuple[ScopeKind, int, Ints]]:
    groups: dict[tuple[ScopeKind, int], list[int]] = {}
    for _, kind, window, slot in due:
        groups.setdefault((kind, window), []).append(slot)
    return [(kind, window, np.array(s, dtype=np.int64)) for (kind, window), s in groups.items()]
