"""Events of a small contact centre, with everything a producer can do to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import orjson
from faust.types import TP

from stream.kafka.partitioner import partition_of
from stream.kafka.topology import Topology
from stream.sim.counting import HOUR, MINUTE, Fields
from stream.sim.log import Content
from stream.sim.plan import Plan

POISON: Final[tuple[tuple[bytes | None, str], ...]] = (
    (None, "tombstone"),
    (b"", "malformed"),
    (b"{", "malformed"),
    (b"[1]", "malformed"),
    (b"\xff\xfe", "malformed"),
    (b"nul", "malformed"),
    (b'{"event_id":"x","ended_at":NaN}', "malformed"),
    (b"[" * 2_000, "malformed"),
    (b'{"event_id":"x"}', "invalid"),
    (b"{}", "invalid"),
)
IGNORED: Final = (
    b'{"event_id":"x","interaction_id":"i","ended_at":1,"outcome":"handled","phase":"begun"}'
)
CLOCK: Final = b'{"now": 1}'


@dataclass(frozen=True, slots=True)
class Truth:
    """What a record is: an event, or refused for a reason, or ignored (neither)."""

    event: Fields | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """One record, sent at a time of the run."""

    at_s: float
    place: TP
    content: Content


class Workload:
    """What is sent in a run, and what each record really is."""

    def __init__(self, plan: Plan, topology: Topology) -> None:
        """Draws everything."""
        self._plan = plan
        self._topology = topology
        self._rng = Random(f"{plan.seed}/workload")
        self._truths: dict[bytes | None, Truth] = {}
        self.repeats = 0
        self.misplaced = 0
        self.sendings = sorted(self._all(), key=lambda sending: sending.at_s)

    def truth(self, topic: str, key: bytes | None, value: bytes | None) -> Truth:
        """What a record is; poison is the same everywhere except for a foreign kind's."""
        del topic
        if key == b"__clock__":
            return Truth()
        return self._truths[value]

    def _all(self) -> Iterator[Sending]:
        rng, plan = self._rng, self._plan
        bursts = [rng.uniform(0, plan.length_s) for _ in range(rng.randrange(4, 14))]
        poisoned = rng.choice((0.0, 0.15))
        repeated = rng.choice((0.0, 0.3))
        misplaced = rng.choice((0.0, 0.25)) if plan.partitions > 1 else 0.0
        for number in range(plan.events):
            at_s = min(rng.choice(bursts) + rng.expovariate(1.0), plan.length_s)
            if rng.random() < poisoned:
                yield self._poison(at_s)
                continue
            fields = self._event(number, at_s)
            yield self._sending(at_s, fields, misplaced)
            is_ahead = fields["at"] > plan.start_ms + at_s * 1_000
            if is_ahead and at_s < plan.stricter_from_s < plan.length_s:
                self.repeats += 1  # it counted, and by the stricter setting it may be too early
                later_s = plan.stricter_from_s + rng.uniform(2, 20)
                yield self._sending(later_s, fields, misplaced)
            while rng.random() < repeated:
                self.repeats += 1
                at_s = min(at_s + rng.choice((0.0, 1.0, 30.0, 120.0)), plan.length_s + 20)
                yield self._sending(at_s, fields, misplaced)

    def _sending(self, at_s: float, fields: Fields, misplaced: float) -> Sending:
        rng, count = self._rng, self._plan.partitions
        name = "surveys" if fields["type"] == "survey" else "interactions"
        time = "answered_at" if fields["type"] == "survey" else "ended_at"
        record = {time if k == "at" else k: v for k, v in fields.items() if k != "type"}
        value = orjson.dumps(record)
        self._truths[value] = Truth(event=fields)
        key = routing_key(fields)
        number = partition_of(key, count)
        if rng.random() < misplaced:
            number = rng.randrange(count)
            self.misplaced += number != partition_of(key, count)
        headers = (("trace", b"1"),) if rng.random() < 0.1 else ()
        return Sending(at_s, TP(name, number), (key.encode(), value, headers))

    def _poison(self, at_s: float) -> Sending:
        rng = self._rng
        place = TP("interactions", rng.randrange(self._plan.partitions))
        kind = rng.random()
        if kind < 0.1:
            return Sending(at_s, place, (b"__clock__", CLOCK, ()))
        if kind < 0.2:
            self._truths[IGNORED] = Truth()
            return Sending(at_s, place, (b"k", IGNORED, ()))
        value, reason = rng.choice(POISON)
        self._truths[value] = Truth(refused=reason)
        return Sending(at_s, place, (rng.choice((b"k", None)), value, ()))

    def _event(self, number: int, at_s: float) -> Fields:
        rng = self._rng
        fields: dict[str, Any] = {
            "event_id": f"e{number}",
            "at": self._time(at_s),
            "agent_id": rng.choice(("a1", "a2", "a3", None)),
            "team_id": rng.choice(("t1", "t2", None)),
            "queue": rng.choice(("q1", "q2", None)),
            "channel": rng.choice(("voice", "chat", None)),
            "site_id": rng.choice(("s1", None)),
        }
        if rng.random() < 0.3:
            fields |= {"type": "survey", "csat": rng.choice((1, 3, 4, 5, None))}
            fields |= {"nps": rng.choice((0, 6, 7, 9, None)), "ces": rng.choice((1, 7, None))}
            return fields
        return fields | {
            "type": "interaction",
            "interaction_id": "c",
            "outcome": rng.choice(("handled", "handled", "handled", "abandoned", "callback")),
            "wait_ms": rng.choice((None, 0, 2_000, 2_001, 5_000, 20_000, 20_001, 30_001)),
            "leg": rng.choice((1, 1, 2, None)),
            "talk_ms": rng.choice((None, 0, 30_000, 61_000, 90_001)),
            "hold_ms": rng.choice((None, 0, 7)),
            "wrap_ms": rng.choice((None, 0, 21_000)),
            "resolved": rng.choice((None, True, False)),
            "transferred_by": rng.choice(("agent", None)),
            "campaign": rng.choice(("c1", None)),
        }

    def _time(self, at_s: float) -> int:
        """Just now, a while ago, on an edge, near the end of what is kept, or ahead of now."""
        rng, plan = self._rng, self._plan
        now = plan.start_ms + int(at_s * 1_000)
        longest = max(plan.definitions.lengths.values())
        kind = rng.random()
        if kind < 0.6:
            return now - rng.randrange(1, 60_000)
        if kind < 0.7:
            return now - now % MINUTE - rng.choice((0, 1, MINUTE, MINUTE + 1))
        if kind < 0.8:
            return now - rng.randrange(longest + HOUR)
        if kind < 0.92:
            return now - longest - HOUR + rng.randrange(-2 * MINUTE, 3 * MINUTE)
        return now + rng.randrange(2 * plan.settings.skew)


def routing_key(fields: Fields) -> str:
    """The key that a record should have."""
    names = ("agent_id", "queue", "interaction_id", "event_id")
    return str(next(fields[name] for name in names if fields.get(name)))
