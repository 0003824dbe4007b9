"""Seeded synthetic traffic: a small contact centre whose day has a fault in it.

Forty agents in four teams take calls and chats. Once an hour, for twenty minutes, the billing
system is slow: the billing team's handle times grow and its customers' satisfaction falls,
whoever the agent is. Goals are then missed, and met again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from stream.core.events import Event, Interaction, Survey
from stream.core.windows import MINUTE_MS

TEAMS: Final = ("billing", "orders", "returns", "tech")
AGENTS_PER_TEAM: Final = 10
_FAULT_FROM_MINUTE: Final = 10
_FAULT_TO_MINUTE: Final = 30
_CALLS_PER_MINUTE: Final = 14
_STRAINED_FACTOR: Final = 1.9
_HELD_RATIO: Final = 0.3
_TRANSFERRED_RATIO: Final = 0.06
_SURVEYED_RATIO: Final = 0.5
_RESOLVED_RATIO: Final = 0.85
_RESOLVED_STRAINED_RATIO: Final = 0.55
_SATISFIED_STRAINED_RATIO: Final = 0.45
_REASONS: Final = ("question", "change", "complaint", "cancellation")


@dataclass(frozen=True, slots=True)
class _Agent:
    name: str
    team: str
    pace: float
    care: float


def agents(seed: int) -> list[tuple[str, str]]:
    """All agents with their teams."""
    return [(agent.name, agent.team) for agent in _staff(seed)]


def traffic(seed: int, from_ms: int, to_ms: int) -> Iterator[Event]:
    """The events in [`from_ms`, `to_ms`), in whole minutes, sorted by event time.

    A minute's events follow from the seed and the minute alone, so that any stretch of time can
    be asked for by itself.
    """
    staff = _staff(seed)
    for minute in range(from_ms // MINUTE_MS, to_ms // MINUTE_MS):
        rng = Random(f"{seed}/{minute}")
        events = [
            event
            for number in range(rng.randrange(_CALLS_PER_MINUTE, 2 * _CALLS_PER_MINUTE))
            for event in _contact(rng, staff, minute, number)
        ]
        yield from sorted(events, key=_time)


def _staff(seed: int) -> list[_Agent]:
    rng = Random(f"{seed}/staff")
    return [
        _Agent(f"{team[:3]}-{number:02}", team, rng.uniform(0.8, 1.3), rng.uniform(0.82, 0.97))
        for team in TEAMS
        for number in range(1, AGENTS_PER_TEAM + 1)
    ]


def _time(event: Event) -> int:
    at = event.ended_at if isinstance(event, Interaction) else event.answered_at
    assert isinstance(at, int), "synthetic times are integers"
    return at


def _contact(rng: Random, staff: list[_Agent], minute: int, number: int) -> Iterator[Event]:
    at_ms = minute * MINUTE_MS + rng.randrange(MINUTE_MS)
    agent = rng.choice(staff)
    strained = agent.team == "billing" and (_FAULT_FROM_MINUTE <= minute % 60 < _FAULT_TO_MINUTE)
    name = f"{minute}-{number}"
    wait_ms = int(rng.expovariate(1 / (40_000 if strained else 9_000)))
    common: dict[str, Any] = {
        "interaction_id": f"i-{name}",
        "site_id": "north",
        "queue": agent.team,
        "channel": rng.choice(("voice", "voice", "chat")),
        "reason": rng.choice(_REASONS),
        "customer_id": f"c-{rng.randrange(5_000)}",
    }
    if wait_ms > rng.uniform(30_000, 180_000):
        yield Interaction(
            event_id=f"i-{name}", ended_at=at_ms, outcome="abandoned", wait_ms=wait_ms, **common
        )
        return
    yield _handled(rng, name, at_ms, wait_ms, agent, common, strained=strained)
    if rng.random() < _SURVEYED_RATIO:
        yield _survey(rng, name, at_ms, agent, common, strained=strained)


def _handled(
    rng: Random,
    name: str,
    at_ms: int,
    wait_ms: int,
    agent: _Agent,
    common: dict[str, Any],
    *,
    strained: bool,
) -> Interaction:
    slow = _STRAINED_FACTOR if strained else 1.0
    return Interaction(
        event_id=f"i-{name}",
        ended_at=at_ms,
        outcome="handled",
        agent_id=agent.name,
        team_id=agent.team,
        wait_ms=wait_ms,
        talk_ms=int(rng.gammavariate(4, 55_000) * agent.pace * slow),
        hold_ms=int(rng.expovariate(1 / 15_000)) if rng.random() < _HELD_RATIO else 0,
        wrap_ms=int(rng.expovariate(1 / 25_000) * slow),
        resolved=rng.random() < (_RESOLVED_STRAINED_RATIO if strained else _RESOLVED_RATIO),
        transferred_by="agent" if rng.random() < _TRANSFERRED_RATIO else None,
        **common,
    )


def _survey(
    rng: Random, name: str, at_ms: int, agent: _Agent, common: dict[str, Any], *, strained: bool
) -> Survey:
    satisfied = rng.random() < (_SATISFIED_STRAINED_RATIO if strained else agent.care)
    return Survey(
        event_id=f"s-{name}",
        answered_at=at_ms + rng.randrange(MINUTE_MS - at_ms % MINUTE_MS),
        agent_id=agent.name,
        team_id=agent.team,
        csat=rng.choice((4, 5, 5)) if satisfied else rng.choice((1, 2, 3)),
        nps=rng.choice((9, 10, 8)) if satisfied else rng.randrange(7),
        ces=rng.choice((5, 6, 7)) if satisfied else rng.randrange(1, 5),
        **common,
    )
