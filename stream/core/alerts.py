"""The life cycle of an alert as a pure step: (state, judgement, now) → (state, transition).

    (nothing) ── missed ──▶ pending ── missed for `for` ──▶ firing ── cleared ──▶ resolved
                               └─ anything else ─▶ cancelled   └─ window empty ─▶ ended_no_data

While an alert fires, a figure that meets the target but not yet `clear`, or a miss that is no
longer proven, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

from stream.core.goals import Goal, Judgement, Verdict
from stream.core.kpis import ScopeKind

Status = Literal["pending", "firing"]
Change = Literal["pending", "firing", "cancelled", "resolved", "ended_no_data", "withdrawn"]
Reason = Literal[
    "goal_missed",
    "missed_long_enough",
    "goal_met",
    "miss_unproven",
    "no_data",
    "cleared",
    "window_empty",
    "goal_removed",
]


@dataclass(frozen=True, slots=True)
class AlertState:
    """An alert under way; kept in the changelog, so that a restart neither re-fires nor forgets."""

    status: Status
    since_ms: int
    fired_ms: int | None
    alert_id: str
    scope: ScopeKind


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of an alert. Sending it again changes nothing: it names its alert and state."""

    change: Change
    reason: Reason
    alert: AlertState
    at_ms: int


def alert_id(goal: str, scope: str, scope_id: str, window: str, since_ms: int) -> str:
    """Sixteen hex digits that follow from what the alert is about and when its miss began."""
    text = "\x1f".join((goal, scope, scope_id, window, str(since_ms)))
    return blake2b(text.encode(), digest_size=8).hexdigest()


def step(
    state: AlertState | None, judgement: Judgement, goal: Goal, scope_id: str, now_ms: int
) -> tuple[AlertState | None, Transition | None]:
    """The next state, and what changed if anything did. Calling it again changes nothing more."""
    if state is None:
        return _begin(judgement, goal, scope_id, now_ms)
    if state.status == "pending":
        return _while_pending(state, judgement, goal, now_ms)
    if judgement.cleared:
        return None, Transition("resolved", "cleared", state, now_ms)
    if judgement.verdict is Verdict.NO_DATA:
        return None, Transition("ended_no_data", "window_empty", state, now_ms)
    return state, None


def withdraw(state: AlertState, now_ms: int) -> Transition:
    """Ends an alert whose goal is no longer configured."""
    return Transition("withdrawn", "goal_removed", state, now_ms)


def _begin(
    judgement: Judgement, goal: Goal, scope_id: str, now_ms: int
) -> tuple[AlertState | None, Transition | None]:
    if judgement.verdict is not Verdict.MISSED:
        return None, None
    name = alert_id(goal.name, goal.scope, scope_id, goal.window, now_ms)
    if goal.for_ms:
        state = AlertState("pending", now_ms, None, name, goal.scope)
        return state, Transition("pending", "goal_missed", state, now_ms)
    state = AlertState("firing", now_ms, now_ms, name, goal.scope)
    return state, Transition("firing", "goal_missed", state, now_ms)


def _while_pending(
    state: AlertState, judgement: Judgement, goal: Goal, now_ms: int
) -> tuple[AlertState | None, Transition | None]:
    reasons: dict[Verdict, Reason] = {
        Verdict.MET: "goal_met",
        Verdict.UNPROVEN: "miss_unproven",
        Verdict.NO_DATA: "no_data",
    }
    if judgement.verdict is not Verdict.MISSED:
        return None, Transition("cancelled", reasons[judgement.verdict], state, now_ms)
    if now_ms - state.since_ms < goal.for_ms:
        return state, None
    fired = replace(state, status="firing", fired_ms=now_ms)
    return fired, Transition("firing", "missed_long_enough", fired, now_ms)
