"""The accepted events at an instant, and the verdict on a figure, by the written rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from stream.core.goals import Goal, Target
from stream.kafka.partitioner import partition_of
from stream.kafka.topology import ROLLUPS, ROWS
from stream.sim.counting import Definitions, Fields, Groups, Value, latest_teams

Verdict = Literal["no_data", "met", "unproven", "missed"]
Tallies = dict[str, dict[str, tuple[int, int]]]
"""By team and KPI: how many agents are judged, and how many of them miss it."""


class Breach(Exception):  # noqa: N818 - what is found, not a failure of ours
    """Something that must never be."""


def expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - an assertion
    """Raises `Breach` with what was wrong."""
    if not holds:
        raise Breach(otherwise)


class Place(NamedTuple):
    """A stage: its lane, and its partition."""

    lane: str
    number: int


class View:
    """The accepted events behind a stage's figures at an instant; windows are sought once."""

    def __init__(
        self,
        definitions: Definitions,
        events: list[Fields],
        now: int,
        told: Tallies | None = None,
        *,
        held: bool = False,
    ) -> None:
        """Of all of `events`, whatever their time. `told`: the tallies that its sources told.

        `held`: verdicts have to stay as they are.
        """
        self.now = now
        self.told = told
        self.held = held
        self.definitions = definitions
        self._events = events
        self._groups: dict[tuple[str, str, int], Groups] = {}
        self._teams: dict[str, str] | None = None

    def groups(self, kind: str, window: str, now: int | None = None) -> Groups:
        """The events in a window, by the scopes they count for."""
        at = self.now if now is None else now
        found = self._groups.get((kind, window, at))
        if found is None:
            low, high = self.definitions.span(window, at)
            inside = [event for event in self._events if low <= event["at"] < high]
            found = self._groups[kind, window, at] = self.definitions.grouped(kind, inside)
        return found

    def lasting(self, kind: str, window: str, since: int) -> list[str]:
        """The scopes with an event that the window has held from `since` until now.

        Not those whose window was empty in between: an event ahead of now may just have come in.
        """
        low, high = (
            self.definitions.span(window, self.now)[0],
            self.definitions.span(window, since)[1],
        )
        inside = [event for event in self._events if low <= event["at"] < high]
        return self.definitions.grouped(kind, inside).names

    def ever(self, kind: str, window: str, since: int) -> Groups:
        """The events that the window has held at any time from `since` until now."""
        low, high = (
            self.definitions.span(window, since)[0],
            self.definitions.span(window, self.now)[1],
        )
        inside = [event for event in self._events if low <= event["at"] < high]
        return self.definitions.grouped(kind, inside)

    def figures(
        self, kind: str, name: str, window: str, now: int | None = None
    ) -> dict[str, Value]:
        """Every KPI of one scope."""
        return self.definitions.figures(kind, self.groups(kind, window, now), name)

    def team(self, kind: str, name: str) -> str | None:
        """A team itself, the one that answers for a queue, or an agent's."""
        own = name if kind == "team" else None
        mapped = self.definitions.queue_teams.get(name) if kind == "queue" else None
        return own or mapped or (self._team_of_agent(name) if kind == "agent" else None)

    def _team_of_agent(self, agent: str) -> str | None:
        """That of the latest event that is not forgotten yet."""
        if self._teams is None:
            oldest = self.definitions.oldest(self.now)
            self._teams = latest_teams(e for e in self._events if e["at"] >= oldest)
        return self._teams.get(agent)


def tallies(view: View, goals: Sequence[Goal], now: int | None = None) -> Tallies:
    """Of each team's agents, by KPIs that both have goals on: who is judged, and who misses it."""
    if view.told is not None:
        return view.told
    found: Tallies = {}
    shared = {g.kpi.name for g in goals if g.scope == "team"}
    for kpi in sorted(shared & {g.kpi.name for g in goals if g.scope == "agent"}):
        said: dict[str, set[Verdict]] = {}
        for goal in goals:
            if goal.scope == "agent" and goal.kpi.name == kpi:
                for agent in view.groups("agent", goal.window, now).names:
                    figure = view.figures("agent", agent, goal.window, now)[kpi]
                    said.setdefault(agent, set()).add(verdict(goal, figure))
        for agent, verdicts in said.items():
            team = view.team("agent", agent)
            if team is not None and verdicts != {"no_data"}:
                judged, missing = found.setdefault(team, {}).get(kpi, (0, 0))
                found[team][kpi] = (judged + 1, missing + ("missed" in verdicts))
    return found


def added_up(parts: Iterable[Tallies]) -> Tallies:
    """Every agent is one source's."""
    total: Tallies = {}
    for part in parts:
        for team, by_kpi in part.items():
            for kpi, (judged, missing) in by_kpi.items():
                before = total.setdefault(team, {}).get(kpi, (0, 0))
                total[team][kpi] = (before[0] + judged, before[1] + missing)
    return total


def lane_of(kind: str, partitions: int) -> str:
    """The lane that gives the figures of scopes of a kind."""
    return ROWS if kind == "agent" or partitions == 1 else ROLLUPS


def place_of(kind: str, name: str, partitions: int) -> Place:
    """The stage that gives a scope's figures."""
    if partitions == 1:
        return Place(ROWS, 0)
    key = name if kind == "agent" else f"{kind}/{name}"
    return Place(lane_of(kind, partitions), partition_of(key, partitions))


def verdict(goal: Goal, figure: Value) -> Verdict:
    """What is to be said of a figure."""
    value, samples = figure
    if value is None:
        return "no_data"
    if holds(goal.terms.target, value):
        return "met"
    return "missed" if samples >= goal.terms.min_samples else "unproven"


def holds(target: Target, value: float) -> bool:
    """Whether a value is on the good side of a bound, or on it."""
    return value >= target.bound if target.at_least else value <= target.bound


def cleared(goal: Goal, figure: Value) -> bool:
    """Whether a firing alert ends: the target is met, and what it takes beyond it."""
    value, clear = figure[0], goal.terms.clear
    met = verdict(goal, figure) == "met" and value is not None
    return met and (clear is None or holds(clear, value))  # type: ignore[arg-type]
