"""KPI gauges in Prometheus's text format, rendered at scrape from the engines' tables.

Nothing is kept between scrapes but label text, so an agent that left, or whose partition moved,
is gone from the next scrape, and an empty KPI has no sample. prometheus-client's own exposition
makes 190,000 samples/s; here the labels of a scope are joined once and values come as columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

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
_GOAL_METRICS: Final = {
    "kpi_goal_state": "0 no data, 1 met, 2 unproven, 3 missed",
    "kpi_goal_target": "What meets the goal: no less (bound=min) or no more (bound=max) than this",
    "kpi_goal_warn": "Met, but close: on the wrong side of this, for goals that have it",
    "kpi_alert_firing": "1 while an alert fires",
    "kpi_alert_fired_timestamp_seconds": "Since when a firing alert fires, in event time",
}


class _Cut(NamedTuple):
    """The scopes of one kind in one engine that have something in one window, with their sums."""

    table: ScopeTable
    slots: list[int]
    labels: list[str]
    sums: Ints
    partial: frozenset[str]


class _GoalLines(NamedTuple):
    """The samples of each of `_GOAL_METRICS`, in their order."""

    states: list[str]
    targets: list[str]
    warns: list[str]
    firing: list[str]
    fired: list[str]


class Exposition:
    """Renders gauges of an allow-list of scopes, windows and KPIs."""

    def __init__(self, shown: Shown) -> None:
        """`shown` is the allow-list."""
        self._shown = shown
        self._labels: dict[tuple[str, str, str | None, str], str] = {}

    def render(self, engines: Iterable[Board[Any]]) -> Iterator[bytes]:
        """All gauges of these engines as of the first step, a few thousand lines at a step.

        Events are waiting meanwhile: whoever takes the steps may let others go between them.
        Samples of a metric stand together, as the format asks.
        """
        engines = list(engines)
        cuts = [cut for engine in engines for cut in self._cuts(engine)]
        # Of the tables themselves, which change between steps.
        last = [*self._agents(cuts), *self._goals(engines)]
        shown = [CATALOGUE[name] for name in self._shown.kpis]
        for kpi in shown:
            yield from _texts(self._values(kpi, cuts), _head(kpi.metric, kpi.formula))
        samples = (lines for kpi in shown for lines in self._samples(kpi, cuts))
        yield from _texts(samples, _head("kpi_samples", "What a KPI's value rests on"))
        yield from _texts([last], [])

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

    def _values(self, kpi: Kpi, cuts: Sequence[_Cut]) -> Iterator[list[str]]:
        for cut in cuts:
            if _is_given(kpi, cut):
                numerator, denominator = _fractions(kpi, cut)
                there = denominator > 0
                divisor = 1 if kpi.shape == "count" else denominator[there] * kpi.divisor
                values = numerator[there] * float(kpi.scale) / divisor
                yield [
                    f"{kpi.metric}{{{label}}} {value}"
                    for label, value in zip(_where(cut.labels, there), values.tolist(), strict=True)
                ]

    def _samples(self, kpi: Kpi, cuts: Sequence[_Cut]) -> Iterator[list[str]]:
        for cut in cuts:
            if _is_given(kpi, cut):
                _, denominator = _fractions(kpi, cut)
                there = denominator > 0
                counts = denominator[there].tolist()
                yield [
                    f'kpi_samples{{{label},kpi="{kpi.name}"}} {count}'
                    for label, count in zip(_where(cut.labels, there), counts, strict=True)
                ]

    def _agents(self, cuts: Sequence[_Cut]) -> list[str]:
        """In which team and where each agent is, who has something in a window that is shown."""
        lines = _head("kpi_agent_info", "1, with the team of an agent's latest event, and its site")
        of_agents = [cut for cut in cuts if cut.table.kind == "agent"]
        for table in {id(cut.table): cut.table for cut in of_agents}.values():
            shown = {slot for cut in of_agents if cut.table is table for slot in cut.slots}
            lines += [f"kpi_agent_info{{{self._info(table, slot)}}} 1" for slot in shown]
        return lines if len(lines) > 2 else []  # noqa: PLR2004 - a head without samples

    def _goals(self, engines: Sequence[Board[Any]]) -> list[str]:
        lines = _GoalLines([], [], [], [], [])
        for engine in engines:
            for watched in engine.verdicts.watched.values():
                if self._is_shown(watched.goal) and engine.verdicts.open:
                    self._goal(engine, watched, lines)
                    self._alerts(engine, watched, lines)
        return [
            line
            for (metric, text), samples in zip(_GOAL_METRICS.items(), lines, strict=True)
            if samples
            for line in (*_head(metric, text), *samples)
        ]

    def _is_shown(self, goal: Goal) -> bool:
        return goal.scope in self._shown.scopes and goal.window in self._shown.windows

    def _goal(self, engine: Board[Any], watched: Watched, lines: _GoalLines) -> None:
        goal, table = watched.goal, watched.table
        codes = engine.verdicts.codes(goal.name).tolist()
        name = f'goal="{goal.name}",kpi="{goal.kpi.name}"'
        for scope_id, slot in table.slots.items():
            label = f"{name},{self._label(table, slot, goal.window)}"
            lines.states.append(f"kpi_goal_state{{{label}}} {codes[slot]}")
            terms = goal.terms_for(scope_id, table.team(slot))
            side = f'bound="{"min" if terms.target.at_least else "max"}"'
            lines.targets.append(f"kpi_goal_target{{{label},{side}}} {terms.target.bound}")
            if terms.warn is not None:
                lines.warns.append(f"kpi_goal_warn{{{label},{side}}} {terms.warn.bound}")

    def _alerts(self, engine: Board[Any], watched: Watched, lines: _GoalLines) -> None:
        goal, table = watched.goal, watched.table
        name = f'goal="{goal.name}",kpi="{goal.kpi.name}",severity="{goal.severity}"'
        for scope_id, state in engine.verdicts.states.get(goal.name, {}).items():
            slot = table.slots.get(scope_id)
            if state.fired_ms is not None and slot is not None:
                label = f"{name},{self._label(table, slot, goal.window, goal.team)}"
                lines.firing.append(f"kpi_alert_firing{{{label}}} 1")
                fired_s = state.fired_ms / 1000
                lines.fired.append(f"kpi_alert_fired_timestamp_seconds{{{label}}} {fired_s}")

    def _label(
        self, table: ScopeTable, slot: int, window: str, else_team: str | None = None
    ) -> str:
        kind, scope_id, team = table.kind, table.ids[slot] or "", table.team(slot) or else_team
        key = (kind, scope_id, team, window)
        return self._labels.get(key) or self._keep(
            key, scope=kind, id=scope_id, team=team or "", window=window
        )

    def _info(self, table: ScopeTable, slot: int) -> str:
        scope_id, team, site = table.ids[slot] or "", table.team(slot), table.site(slot)
        key = ("info", scope_id, team, site or "")
        return self._labels.get(key) or self._keep(
            key, id=scope_id, team=team or "", site=site or ""
        )

    def _keep(self, key: tuple[str, str, str | None, str], **labels: str) -> str:
        """Joins labels once for many scrapes."""
        if len(self._labels) >= _LABELS_CACHED_MAX:
            self._labels.clear()
        text = ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items())
        return self._labels.setdefault(key, text)


def _head(metric: str, text: str) -> list[str]:
    return [f"# HELP {metric} {text}", f"# TYPE {metric} gauge"]


def _texts(parts: Iterable[list[str]], head: list[str]) -> Iterator[bytes]:
    """Each part's lines, the first behind the head; nothing at all where there are none."""
    for lines in parts:
        if lines:
            yield ("\n".join(head + lines) + "\n").encode()
            head = []


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
