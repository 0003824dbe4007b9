"""KPI gauges in Prometheus's text format, rendered at scrape from the engines' tables.

Nothing is kept between scrapes but label text, so an agent that left, or whose partition moved,
is gone from the next scrape, and an empty KPI has no sample. prometheus-client's own exposition
makes 190,000 samples/s; here the labels of a scope are joined once and values come as columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from stream.config import Shown
from stream.core.arrays import Ints
from stream.core.board import Board
from stream.core.goals import Goal
from stream.core.kpis import CATALOGUE, Kpi
from stream.core.scopes import ScopeTable
from stream.core.verdicts import Watched

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LABELS_CACHED_MAX = 500_000


class _Cut(NamedTuple):
    """The scopes of one kind in one engine that have something in one window, with their sums."""

    table: ScopeTable
    slots: list[int]
    labels: list[str]
    sums: Ints
    partial: frozenset[str]


class Exposition:
    """Renders gauges of an allow-list of scopes, windows and KPIs."""

    def __init__(self, shown: Shown) -> None:
        """`shown` is the allow-list."""
        self._shown = shown
        self._labels: dict[tuple[str, str, str | None, str], str] = {}

    def render(self, engines: Iterable[Board[Any]]) -> bytes:
        """All gauges of these engines. Samples of a metric stand together, as the format asks."""
        engines = list(engines)
        cuts = [cut for engine in engines for cut in self._cuts(engine)]
        lines: list[str] = []
        for name in self._shown.kpis:
            lines += self._values(CATALOGUE[name], cuts)
        lines += self._samples(cuts)
        lines += self._goals(engines)
        return ("\n".join(lines) + "\n").encode() if lines else b""

    def _cuts(self, engine: Board[Any]) -> Iterator[_Cut]:
        if engine.now_ms is None:
            return
        names = [window.name for window in engine.rules.windows]
        for kind, table in engine.tables.items():
            if kind not in self._shown.scopes:
                continue
            slots = np.array(sorted(table.slots.values()), dtype=np.int64)
            for window in self._shown.windows:
                if window in names and len(slots):
                    buckets = engine.buckets.of_window(names.index(window))
                    sums = table.window_sums(buckets, slots)
                    filled = sums.any(axis=1)
                    held = slots[filled].tolist()
                    labels = [self._label(table, slot, window) for slot in held]
                    start = engine.buckets.spans[names.index(window)][0]
                    since = engine.readings.complete_from.items()
                    partial = frozenset(name for name, minute in since if minute > start)
                    yield _Cut(table, held, labels, sums[filled], partial)

    def _values(self, kpi: Kpi, cuts: Sequence[_Cut]) -> list[str]:
        lines = [f"# HELP {kpi.metric} {kpi.formula}", f"# TYPE {kpi.metric} gauge"]
        for cut in cuts:
            if _is_given(kpi, cut):
                numerator, denominator = _fractions(kpi, cut)
                there = denominator > 0
                divisor = 1 if kpi.shape == "count" else denominator[there] * kpi.divisor
                values = numerator[there] * float(kpi.scale) / divisor
                lines += [
                    f"{kpi.metric}{{{label}}} {value}"
                    for label, value in zip(_where(cut.labels, there), values.tolist(), strict=True)
                ]
        return lines if len(lines) > 2 else []  # noqa: PLR2004 - a head without samples

    def _samples(self, cuts: Sequence[_Cut]) -> list[str]:
        lines = ["# HELP kpi_samples What a KPI's value rests on", "# TYPE kpi_samples gauge"]
        for cut in cuts:
            for kpi in (CATALOGUE[name] for name in self._shown.kpis):
                if _is_given(kpi, cut):
                    _, denominator = _fractions(kpi, cut)
                    there = denominator > 0
                    lines += [
                        f'kpi_samples{{{label},kpi="{kpi.name}"}} {count}'
                        for label, count in zip(
                            _where(cut.labels, there), denominator[there].tolist(), strict=True
                        )
                    ]
        return lines if len(lines) > 2 else []  # noqa: PLR2004 - a head without samples

    def _goals(self, engines: Sequence[Board[Any]]) -> list[str]:
        states = ["# HELP kpi_goal_state 0 no data, 1 met, 2 unproven, 3 missed"]
        states.append("# TYPE kpi_goal_state gauge")
        targets = ["# HELP kpi_goal_target The goal's bound", "# TYPE kpi_goal_target gauge"]
        firing = ["# HELP kpi_alert_firing 1 while an alert fires", "# TYPE kpi_alert_firing gauge"]
        for engine in engines:
            for watched in engine.verdicts.watched.values():
                if self._is_shown(watched.goal) and engine.verdicts.open:
                    self._goal(engine, watched, states, targets)
                    firing += self._firing(engine, watched)
        groups = (states, targets, firing)
        return [line for lines in groups if len(lines) > 2 for line in lines]  # noqa: PLR2004

    def _is_shown(self, goal: Goal) -> bool:
        return goal.scope in self._shown.scopes and goal.window in self._shown.windows

    def _goal(
        self, engine: Board[Any], watched: Watched, states: list[str], targets: list[str]
    ) -> None:
        goal, table = watched.goal, watched.table
        codes = engine.verdicts.codes(goal.name)
        for scope_id, slot in table.slots.items():
            name = f'goal="{goal.name}",kpi="{goal.kpi.name}"'
            label = f"{name},{self._label(table, slot, goal.window)}"
            states.append(f"kpi_goal_state{{{label}}} {codes[slot]}")
            bound = goal.terms_for(scope_id, table.team(slot)).target.bound
            targets.append(f"kpi_goal_target{{{label}}} {bound}")

    def _firing(self, engine: Board[Any], watched: Watched) -> Iterator[str]:
        goal, table = watched.goal, watched.table
        for scope_id, state in engine.verdicts.states.get(goal.name, {}).items():
            slot = table.slots.get(scope_id)
            if state.status == "firing" and slot is not None:
                label = self._label(table, slot, goal.window)
                name = f'goal="{goal.name}",severity="{goal.severity}"'
                yield f"kpi_alert_firing{{{name},{label}}} 1"

    def _label(self, table: ScopeTable, slot: int, window: str) -> str:
        scope_id, team = table.ids[slot] or "", table.team(slot)
        key = (table.kind, scope_id, team, window)
        label = self._labels.get(key)
        if label is None:
            if len(self._labels) >= _LABELS_CACHED_MAX:
                self._labels.clear()
            label = (
                f'scope="{table.kind}",id="{_escape(scope_id)}",'
                f'team="{_escape(team or "")}",window="{window}"'
            )
            self._labels[key] = label
        return label


def _is_given(kpi: Kpi, cut: _Cut) -> bool:
    """Whether the KPI is for this kind of scope, and was counted for the whole window."""
    return cut.table.kind in kpi.scopes and bool(cut.labels) and kpi.name not in cut.partial


def _fractions(kpi: Kpi, cut: _Cut) -> tuple[Ints, Ints]:
    form = kpi.form(cut.table.kind)
    return form.columns_of(cut.sums)


def _where(labels: list[str], there: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[str]:
    return [label for label, keep in zip(labels, there.tolist(), strict=True) if keep]


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
