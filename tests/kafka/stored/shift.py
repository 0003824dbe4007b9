"""A shift of two agents as a version stored it: records of the changelog, and what they say."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from stream.kafka.codec import CHECKPOINT_FORMAT
from stream.kafka.partition import PartitionStage
from stream.kafka.recovery import StoredState, sort_records
from tests.core.build import goal
from tests.kafka.test_partition import MINUTE_MS, NOON_MS, Record, stage, stored

FOLDER: Final = Path(__file__).parent
GOALS: Final = (
    goal("<= 5s", name="talk", kpi="talk_time"),
    goal(">= 90%", name="csat", kpi="csat", window="15m", for_ms=600_000),
)
SETTINGS: Final = {
    "windows": ["15m", "1h", "today"],
    "timezone": "America/Sao_Paulo",
    "queues": {"VIP «1»": {"team": "t1", "service_level": "30s"}},
}


def opened(**settings: Any) -> PartitionStage:
    """An empty stage with the shift's settings and goals, unless told otherwise."""
    site = stage(**{**SETTINGS, **settings}).site
    rules = replace(site.rules, goals=GOALS, queue_teams=site.settings.queue_teams())
    made = PartitionStage(replace(site, rules=rules), 0)
    made.catch_up()
    return made


def blocks() -> list[dict[str, Any]]:
    """The shift's events: topic and fields."""
    call = {"interaction_id": "c", "outcome": "handled", "queue": "VIP «1»", "wait_ms": 25_000}
    work = {"agent_id": "ann", "team_id": "t1", "hold_ms": 0, "wrap_ms": 7, "resolved": True}
    survey = {"agent_id": "ann", "nps": 9, "ces": 7}
    made = [
        {"topic": "interactions", **call, **work, "ended_at": NOON_MS - n * MINUTE_MS, "talk_ms": t}
        for n, t in enumerate([4_000, 5_001, 9_999, 1, 2_678_400_000])
    ]
    made += [
        {"topic": "interactions", **call, "outcome": "abandoned", "ended_at": NOON_MS - 1},
        {
            "topic": "interactions",
            **call,
            "agent_id": "böb/2",
            "ended_at": NOON_MS - 40 * MINUTE_MS,
        },
        {"topic": "surveys", **survey, "answered_at": NOON_MS - 3, "csat": 2},
        {"topic": "surveys", **survey, "answered_at": NOON_MS - 50 * MINUTE_MS, "csat": 5},
    ]
    return [{"event_id": f"e{n}", **event} for n, event in enumerate(made)]


def apply(made: PartitionStage, events: Sequence[Mapping[str, Any]]) -> None:
    """Takes the events in, as the next records of their topics."""
    for event in events:
        topic = event["topic"]
        value = json.dumps({name: v for name, v in event.items() if name != "topic"}).encode()
        made.apply(topic, [Record(topic, 0, made.included.get(topic, 0), b"k", value)])


def said(made: PartitionStage) -> dict[str, Any]:
    """All that a partition's state says: figures, alerts, offsets and now."""
    figures = {
        f"{kind}/{reading.scope_id}/{window.name}": {f.kpi.name: f[1:] for f in reading.figures}
        for kind in made.site.rules.kinds
        for window in made.site.rules.windows
        for reading in made.engine.read_all(kind, window.name)
    }
    alerts = {
        f"{name}/{scope_id}": asdict(state)
        for name, states in made.engine.verdicts.states.items()
        for scope_id, state in states.items()
    }
    now = {"now_ms": made.engine.now_ms, "included": made.included}
    plain: dict[str, Any] = json.loads(json.dumps({"figures": figures, "alerts": alerts, **now}))
    return plain


def written() -> dict[str, Any]:
    """The shift as today's code stores it."""
    made = opened()
    made.freeze(NOON_MS - MINUTE_MS)
    apply(made, blocks())
    flush = made.freeze(NOON_MS)
    latest = {
        record.key: record.value
        for part in (flush.rows, flush.states)
        for records in part.values()
        for record in records
    }
    records = [[b64encode(raw or b"").decode() for raw in pair] for pair in latest.items()]
    return {
        "format": CHECKPOINT_FORMAT,
        "events": blocks(),
        "records": sorted(records),
        "says": said(made),
        "rows": len(stored(flush).rows),
    }


def state_of(shift: Mapping[str, Any]) -> StoredState:
    """What a reader of the changelog would find."""
    return sort_records({b64decode(key): b64decode(value) for key, value in shift["records"]})
