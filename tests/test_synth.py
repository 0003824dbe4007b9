"""The synthetic traffic: the same seed gives the same contact centre."""

from __future__ import annotations

from collections import Counter

import msgspec

from stream.core.events import EventDecoder, Interaction, Survey, event_time_ms, kind_of
from stream.synth import TEAMS, agents, traffic

HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS


def test_a_seed_gives_the_same_traffic_however_it_is_cut() -> None:
    """An hour asked for at once equals its halves, and another seed differs."""
    whole = list(traffic(1, START_MS, START_MS + HOUR_MS))
    half = START_MS + HOUR_MS // 2
    halves = [*traffic(1, START_MS, half), *traffic(1, half, START_MS + HOUR_MS)]
    assert whole == halves
    assert whole != list(traffic(2, START_MS, START_MS + HOUR_MS))


def test_traffic_is_valid_sorted_and_names_every_agent() -> None:
    """Every event passes the decoder, ids do not repeat, and forty agents in four teams appear."""
    events = list(traffic(1, START_MS, START_MS + HOUR_MS))
    for event in events:
        raw = msgspec.json.encode(event)
        assert EventDecoder(kind_of(event)).decode(raw) == event
    times = [event_time_ms(event) for event in events]
    assert times == sorted(times)
    assert times[0] >= START_MS
    assert times[-1] < START_MS + HOUR_MS
    assert max(Counter((kind_of(e), e.event_id) for e in events).values()) == 1
    seen = {(e.agent_id, e.team_id) for e in events if e.agent_id is not None}
    assert seen == set(agents(1))
    assert Counter(team for _, team in seen) == dict.fromkeys(TEAMS, 10)


def test_the_fault_is_the_billing_teams_and_nobody_elses() -> None:
    """In its twenty minutes billing's talk times double and its answers sour; others' do not."""
    minutes = {"strained": range(10, 30), "calm": range(30, 60)}
    talk: dict[tuple[str, bool], list[int]] = {}
    csat: dict[tuple[str, bool], list[int]] = {}
    for event in traffic(1, START_MS, START_MS + 12 * HOUR_MS):
        minute = event_time_ms(event) % HOUR_MS // 60_000
        name = next((name for name, span in minutes.items() if minute in span), None)
        if name is None or event.team_id is None:
            continue
        place = (name, event.team_id == "billing")
        if isinstance(event, Interaction) and event.talk_ms is not None:
            talk.setdefault(place, []).append(event.talk_ms)
        if isinstance(event, Survey) and event.csat is not None:
            csat.setdefault(place, []).append(event.csat)
    mean = {place: sum(values) / len(values) for place, values in talk.items()}
    assert mean["strained", True] > 1.5 * mean["calm", True]
    assert mean["strained", False] < 1.1 * mean["calm", False]
    share = {place: sum(v >= 4 for v in values) / len(values) for place, values in csat.items()}
    assert share["strained", True] < 0.6
    assert share["calm", True] > 0.75
    assert share["strained", False] > 0.75
