"""Records of the `alerts` topic, as the worker writes them."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import Any, Final

from stream.core.alerts import alert_id
from stream.kafka.codec import iso
from stream.notify.transition import Transition, decode_transition
from tests.kafka.live import Sent

_NUMBERS: Final = itertools.count()
STATES: Final = {
    "pending": "goal_missed",
    "firing": "missed_long_enough",
    "cancelled": "goal_met",
    "resolved": "cleared",
    "ended_no_data": "window_empty",
    "withdrawn": "goal_removed",
}


def now_ms() -> int:
    """The wall clock's."""
    return int(datetime.now(UTC).timestamp() * 1000)


def record(state: str = "firing", name: str = "a-17", **fields: Any) -> dict[str, Any]:
    """A transition of agent a-17's alert on csat that fires now, unless told otherwise."""
    scope, goal = fields.get("scope", "agent"), fields.get("goal", "agent-csat")
    at_ms = fields.pop("at_ms", None) or now_ms()
    since_ms = fields.pop("since_ms", None) or at_ms - 900_000
    fired_ms = fields.pop("fired_ms", None) or since_ms + 900_000
    usual = {
        "v": 1,
        "alert_id": alert_id(goal, scope, name, "today", since_ms),
        "goal": goal,
        "scope": scope,
        "id": name,
        "state": state,
        "reason": STATES[state],
        "at": iso(at_ms),
        "since": iso(since_ms),
        "fired_at": None if state in {"pending", "cancelled"} else iso(fired_ms),
        "team": "billing",
        "lead": "Kim",
        "kpi": "csat",
        "unit": "ratio",
        "window": "today",
        "severity": "warning",
        "purpose": "Customers leave satisfied.",
        "what_to_do": "Listen to the low-rated calls together before saying anything else.",
        "verdict": "met" if state == "resolved" else "missed",
        "value": 36 / 40 if state == "resolved" else 16 / 28,
        "samples": 40 if state == "resolved" else 28,
        "target": ">= 0.85",
    }
    return {**usual, **fields}


def transition(state: str = "firing", name: str = "a-17", **fields: Any) -> Transition:
    """The same as the notifier reads it."""
    return decode_transition(json.dumps(record(state, name, **fields)).encode())


def sent(topic: str, fields: dict[str, Any]) -> Sent:
    """A record on its way into the topic."""
    key = f"{fields['scope']}/{fields['id']}/{fields['goal']}".encode()
    return Sent(topic, json.dumps(fields).encode(), key)
