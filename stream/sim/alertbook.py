"""The life of every alert: each transition follows from the one before and from the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from stream.core.goals import Goal
from stream.kafka.topology import ROLLUPS
from stream.sim.counting import Value
from stream.sim.log import Record
from stream.sim.plan import Plan
from stream.sim.readingbook import ms_of
from stream.sim.view import (
    Place,
    Tallies,
    View,
    cleared,
    expect,
    lane_of,
    place_of,
    tallies,
    verdict,
)

Subject = tuple[str, str]
"""A goal and the id of what it is held against."""


@dataclass(slots=True)
class Life:
    """An alert under way."""

    alert_id: str
    status: str
    since: int


class AlertBook:
    """The alerts under way, and the ids of all that ever were."""

    def __init__(self, plan: Plan, counts: Counter[str]) -> None:
        """No alert yet."""
        self._goals = {goal.name: goal for goal in plan.goals}
        self._counts = counts
        self._alive: dict[Place, dict[Subject, Life]] = {}
        self._app = plan.settings.app
        self._partitions = plan.partitions
        self._ids: set[str] = set()

    def judge(
        self,
        records: Sequence[Record],
        stage: Place,
        view: View,
        states: Mapping[bytes, bytes | None],
    ) -> None:
        """One flush's transitions, and the states that are stored with them."""
        alive = self._alive.setdefault(stage, {})
        changed: set[Subject] = set()
        for record in records:
            said = orjson.loads(record.value or b"{}")
            place = (said["goal"], said["id"])
            changed.add(place)
            self._judge_one(alive, place, said, view)
            if stage.lane == ROLLUPS:
                self._judge_shared(said, view)
        stored = {tuple(orjson.loads(key[1:])): value for key, value in states.items()}
        expect(stored.keys() == changed, f"alert states {stored.keys()} stored, not {changed}")
        for place, value in stored.items():
            life = alive.get((str(place[0]), str(place[1])))
            kept = None if value is None else orjson.loads(value)
            expect(
                kept is None
                if life is None
                else kept is not None and [kept[0], kept[1], kept[3]] == _as_stored(life),
                f"the stored state of {place} is {kept}, the last transition left {life}",
            )
        # A partition's own verdicts begin once it has caught up: they are demanded at rest.
        if stage.lane == ROLLUPS:
            self._demand(stage, view, is_changed=bool(records))

    def judge_rest(self, stage: Place, view: View) -> None:
        """At rest there is an alert where a goal is missed, and none where it is met."""
        self._demand(stage, view, is_changed=False)

    def _demand(self, stage: Place, view: View, *, is_changed: bool) -> None:
        """Every alert is as its goal demands; while verdicts are held, none has changed."""
        due = self._overdue(stage, view)
        if view.held:
            expect(not is_changed, f"alerts of {stage} changed by a part that is stale")
            self._counts["changes of shared alerts held"] += sum(1 for _ in due)
            return
        for text in due:
            expect(holds=False, otherwise=text)

    def _overdue(self, stage: Place, view: View) -> Iterator[str]:
        """The alerts that are not as they have to be on the figures of now."""
        alive = self._alive.get(stage, {})
        for goal in self._goals.values():
            if lane_of(goal.scope, self._partitions) != stage.lane:
                continue
            groups = view.groups(goal.scope, goal.window)
            names = {*groups.names, *(name for own, name in alive if own == goal.name)}
            for name in sorted(names):
                if place_of(goal.scope, name, self._partitions) != stage:
                    continue
                life = alive.get((goal.name, name))
                figure = view.figures(goal.scope, name, goal.window)[goal.kpi.name]
                if not _is_due(goal, life, figure, view.now):
                    said = verdict(goal, figure)
                    yield f"{goal.name} of {name} is {said} with {figure}, its alert is {life}"

    def _judge_shared(self, said: Mapping[str, Any], view: View) -> None:
        """A transition of a rollup: nothing but its flushes moves its now."""
        state, at = said["state"], said["at"]
        expect(ms_of(at) >= view.now, f"{state} of {said['id']} at {at}: that is before its flush")
        self._counts[f"shared alerts {state}"] += 1
        if state == "firing":
            self._counts[f"shared alerts firing: {said['scope']}"] += 1

    def _judge_one(
        self, alive: dict[Subject, Life], place: Subject, said: dict[str, Any], view: View
    ) -> None:
        state, goal, life = said["state"], self._goals[place[0]], alive.get(place)
        at, text = ms_of(said["at"]), f"{said['state']} of {place} at {said['at']}"
        self._counts[f"alerts {state}"] += 1
        # A miss that begins twice at one instant is told apart by a millisecond.
        expect(at <= view.now + 5, f"{text}: that is after its flush")
        judged_at = min(at, view.now)
        figure = view.figures(goal.scope, place[1], goal.window, judged_at)[goal.kpi.name]
        found = said["value"], said["samples"]
        expect(found == figure, f"{text}: {found}, not {figure}")
        self._judge_tally(said, goal, tallies(view, list(self._goals.values()), judged_at), text)
        expect(said["app"] == self._app, f"{text}: app {said['app']}, not {self._app}")
        if goal.scope != "agent":  # whose team may change until the flush
            team = view.team(goal.scope, place[1])
            expect(said["team"] == team, f"{text}: team {said['team']}, not {team}")
        judged = verdict(goal, figure)
        if state == "pending" or (state == "firing" and life is None):
            expect(life is None and (state == "pending") == bool(goal.for_ms), f"{text} of {life}")
            expect(said["alert_id"] not in self._ids, f"{text}: its id was used before")
            expect(judged == "missed", f"{text}: the goal is {judged}")
            self._ids.add(said["alert_id"])
            alive[place] = Life(said["alert_id"], state, at)
            return
        expect(life is not None and life.alert_id == said["alert_id"], f"{text} of {life}")
        assert life is not None, "expected just now"
        expected = "pending" if state in {"firing", "cancelled"} else "firing"
        expect(life.status == expected, f"{text}: it was {life.status}")
        if state == "firing":
            expect(judged == "missed" and at - life.since >= goal.for_ms, f"{text}: {judged}")
            life.status = "firing"
            return
        right = {
            "cancelled": judged != "missed",
            "resolved": cleared(goal, figure),
            "ended_no_data": judged == "no_data",
        }
        expect(right.get(state, False), f"{text}: the goal is {judged}")
        del alive[place]

    def _judge_tally(self, said: dict[str, Any], goal: Goal, found: Tallies, text: str) -> None:
        """A team's alert says how many of its agents miss the KPI too, where they have goals."""
        kpi = goal.kpi.name
        is_shared = any(g.scope == "agent" and g.kpi.name == kpi for g in self._goals.values())
        told = said.get("agents_judged"), said.get("agents_missing")
        if goal.scope == "team" and is_shared:
            expected = found.get(said["id"], {}).get(kpi, (0, 0))
            expect(told == expected, f"{text}: agents {told}, not {expected}")
            self._counts["alerts with tallies"] += 1
        else:
            expect(told == (None, None), f"{text}: agents {told}")


def _as_stored(life: Life) -> list[Any]:
    return [life.status, life.since, life.alert_id]


def _is_due(goal: Goal, life: Life | None, figure: Value, now: int) -> bool:
    """Whether there is an alert or none, and which, as the goal demands on this figure."""
    judged = verdict(goal, figure)
    if judged == "missed":
        return life is not None and life.status == _status_due(goal, life, now)
    if life is None:
        return True
    return life.status == "firing" and judged != "no_data" and not cleared(goal, figure)


def _status_due(goal: Goal, life: Life, now: int) -> str:
    """A miss that begins anew at one instant is of a millisecond later than now."""
    return "firing" if max(0, now - life.since) >= goal.for_ms else "pending"
