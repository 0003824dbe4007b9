"""Holds every scope to its goals, and keeps the alerts that are under way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stream.core.alerts import AlertState, Transition, step, withdraw
from stream.core.arrays import Ints, grown
from stream.core.buckets import Buckets
from stream.core.goals import Goal, Judgement, Verdict, judge
from stream.core.kpis import Form, ScopeKind
from stream.core.scopes import EVERY_WINDOW, ScopeTable
from stream.core.tallies import Tally, tally_agents


class AlertKey(NamedTuple):
    """An alert's place: one goal and one scope id."""

    goal: str
    scope_id: str


class Announcement(NamedTuple):
    """A transition with all that a reader needs to act on it.

    `tally`: of a team, how many of its agents miss the KPI, too; None where that is not known.
    """

    goal: Goal | None
    key: AlertKey
    team: str | None
    judgement: Judgement | None
    transition: Transition
    tally: Tally | None = None


class Watched(NamedTuple):
    """One goal, the table and window where its figures stand, and its KPI's columns."""

    goal: Goal
    table: ScopeTable
    window: int
    form: Form

    def judge(self, scope_id: str, team: str | None, numerator: int, denominator: int) -> Judgement:
        """The verdict for one scope on its exact fraction."""
        return judge(self.goal, self.goal.terms_for(scope_id, team), numerator, denominator)

    def fractions(self, buckets: Buckets, slots: Ints) -> Iterator[tuple[int, int, int]]:
        """Each slot with its KPI's exact numerator and denominator."""
        sums = self.table.window_sums(buckets.of_window(self.window), slots)
        numerators, denominators = self.form.columns_of(sums)
        return zip(slots.tolist(), numerators.tolist(), denominators.tolist(), strict=True)


class Verdicts:
    """The goals of one partition: last verdicts, alert states, and which states changed.

    No verdict is given before `open` is set: a partition first has to catch up. While `held`,
    verdicts and alerts stay as they are: what they would rest on is stale. Alerts begin after
    `after_ms`: a restart does not know which have begun by the instant it goes on from, the last
    of them at `begun_ms`.
    """

    def __init__(
        self, goals: Sequence[Goal], tables: Mapping[ScopeKind, ScopeTable], windows: Sequence[str]
    ) -> None:
        """Watches the goals whose scope and window this partition keeps."""
        self.open = False
        self.held = False
        self.complete_from: dict[str, int] = {}
        self.states: dict[str, dict[str, AlertState]] = {}
        self.changed: set[AlertKey] = set()
        self.after_ms = -1
        self.begun_ms = -1
        self._begun_at: dict[AlertKey, int] = {}
        self.watched = {
            goal.name: Watched(
                goal, tables[goal.scope], windows.index(goal.window), goal.kpi.form(goal.scope)
            )
            for goal in goals
            if goal.scope in tables and goal.window in windows
        }
        of_agents, of_teams = (
            {goal.kpi.name for goal in goals if goal.scope == scope} for scope in ("agent", "team")
        )
        self.tallied = of_agents & of_teams
        self._codes: dict[str, npt.NDArray[np.int8]] = {
            name: np.zeros(watched.table.capacity, dtype=np.int8)
            for name, watched in self.watched.items()
        }

    def begin(self) -> None:
        """Opens, and has every scope judged: a restored alert may be of a window now empty."""
        self.open = True
        for watched in self.watched.values():
            watched.table.unjudged[list(watched.table.slots.values())] = EVERY_WINDOW

    def judge(self, buckets: Buckets, now_ms: int) -> list[Announcement]:
        """Judges what changed since last time, and returns the transitions.

        A new verdict marks its scope's window in `ScopeTable.urgent`, so that its reading goes
        out at once.
        """
        if self.held:
            return []
        if now_ms > self.begun_ms:
            self._begun_at.clear()
        announcements = self._withdraw_removed(now_ms)
        for watched in self.watched.values():
            if self.complete_from.get(watched.goal.kpi.name, -1) > buckets.spans[watched.window][0]:
                continue  # its definition has changed within the window: no verdict either way
            announcements += self._judge_goal(watched, buckets, now_ms)
        for watched in self.watched.values():
            watched.table.unjudged[:] = 0
        return announcements

    def of_window(self, kind: str, window: int) -> list[Watched]:
        """The goals that are judged on scopes of `kind` over the window with that index."""
        goals = self.watched.values() if self.open and not self.held else ()
        return [w for w in goals if w.goal.scope == kind and w.window == window]

    def restore(self, key: AlertKey, state: AlertState) -> None:
        """Puts back a stored alert."""
        self.states.setdefault(key.goal, {})[key.scope_id] = state

    def state(self, key: AlertKey) -> AlertState | None:
        """The alert under way at `key`, if any."""
        return self.states.get(key.goal, {}).get(key.scope_id)

    def codes(self, goal: str) -> npt.NDArray[np.int8]:
        """The last verdict on every slot, as `Verdict` numbers them."""
        return self._sized_codes(self.watched[goal])

    def tallies(self) -> dict[str, dict[str, Tally]]:
        """The agents here by team and KPI, of KPIs that teams and agents have goals on."""
        found = [w for w in self.watched.values() if w.goal.scope == "agent"]
        codes: dict[str, list[npt.NDArray[np.int8]]] = {}
        for watched in found:
            if watched.goal.kpi.name in self.tallied:
                codes.setdefault(watched.goal.kpi.name, []).append(self._sized_codes(watched))
        return tally_agents(found[0].table, codes) if codes else {}

    def forget(self, table: ScopeTable, slot: int) -> None:
        """Clears the verdicts of a scope that is gone; its alerts end at the next judgement."""
        for name, watched in self.watched.items():
            if watched.table is table and slot < len(self._codes[name]):
                self._codes[name][slot] = Verdict.NO_DATA

    def _withdraw_removed(self, now_ms: int) -> list[Announcement]:
        """Ends the stored alerts whose goal is no longer configured."""
        removed = [
            AlertKey(goal, scope_id)
            for goal in self.states.keys() - self.watched.keys()
            for scope_id in self.states[goal]
        ]
        self.changed.update(removed)
        return [
            Announcement(None, key, None, None, withdraw(self._drop(key), now_ms))
            for key in removed
        ]

    def _judge_goal(
        self, watched: Watched, buckets: Buckets, now_ms: int
    ) -> Iterator[Announcement]:
        goal, table, bit = watched.goal, watched.table, np.uint64(1 << watched.window)
        codes, states = self._sized_codes(watched), self.states.get(goal.name, {})
        for scope_id in [name for name in states if name not in table.slots]:
            team = table.team_by_name(scope_id)
            nothing = watched.judge(scope_id, team, 0, 0)
            yield from self._step(watched, scope_id, team, nothing, now_ms)
        slots = self._slots_to_judge(watched, states)
        for slot, numerator, denominator in watched.fractions(buckets, slots):
            scope_id = table.ids[slot] or ""
            team = table.team(slot)
            judgement = watched.judge(scope_id, team, numerator, denominator)
            if codes[slot] != judgement.verdict:
                codes[slot] = judgement.verdict
                table.urgent[slot] |= bit
            if judgement.verdict is Verdict.MISSED or scope_id in states:
                yield from self._step(watched, scope_id, team, judgement, now_ms)

    def _step(
        self, watched: Watched, scope_id: str, team: str | None, judgement: Judgement, now_ms: int
    ) -> Iterator[Announcement]:
        key = AlertKey(watched.goal.name, scope_id)
        before = self.state(key)
        if before is None:  # ids follow from when a miss began: never twice at one instant
            at_ms = max(now_ms, self._begun_at.get(key, self.after_ms) + 1)
        else:
            at_ms = max(now_ms, before.since_ms)
        new, transition = step(before, judgement, watched.goal, scope_id, at_ms)
        if transition is None:
            return
        if before is None:
            self._begun_at[key] = at_ms
            self.begun_ms = max(self.begun_ms, at_ms)
        self.changed.add(key)
        if new is None:
            self._drop(key)
        else:
            self.restore(key, new)
        slot = watched.table.slots.get(scope_id)
        if slot is not None:
            watched.table.urgent[slot] |= np.uint64(1 << watched.window)
        yield Announcement(watched.goal, key, team or watched.goal.team, judgement, transition)

    def _drop(self, key: AlertKey) -> AlertState:
        state = self.states[key.goal].pop(key.scope_id)
        if not self.states[key.goal]:
            del self.states[key.goal]
        return state

    def _slots_to_judge(self, watched: Watched, states: Mapping[str, AlertState]) -> Ints:
        """What changed, and the pending alerts, which time alone can make fire."""
        table = watched.table
        changed = np.flatnonzero(table.unjudged & np.uint64(1 << watched.window))
        waiting = [
            table.slots[scope_id]
            for scope_id, state in states.items()
            if state.status == "pending" and scope_id in table.slots
        ]
        slots = np.union1d(changed, np.array(waiting, dtype=np.int64))
        return slots[slots > 0]

    def _sized_codes(self, watched: Watched) -> npt.NDArray[np.int8]:
        codes = self._codes[watched.goal.name]
        if len(codes) < watched.table.capacity:
            codes = self._codes[watched.goal.name] = grown(codes, watched.table.capacity)
        return codes
