"""What is sent: real contacts many times over; repeated, misplaced, late, early, and poison."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal
from zlib import crc32

import orjson

from stream.adapters import TimedEvent, read_events
from stream.core.events import Kind
from stream.core.windows import DAY_MINUTES, MINUTE_MS
from stream.kafka.partitioner import partition_of
from tests.kafka.test_exact import BANK, SHOP
from tests.oracle import data_dir

Fate = Literal["counted", "moved", "refused"]
SHOP_SHARE: Final = 24
# Neither data set has any.
CAMPAIGNS: Final = ("renewal", "spring", "win-back")
_DAY_MS: Final = DAY_MINUTES * MINUTE_MS
_HOUR_MS: Final = 60 * MINUTE_MS
_TIME: Final = {"interaction": "ended_at", "survey": "answered_at"}
POISON: Final = (
    b'{"event_id":"cut","interaction_id":"cut","ended_',
    b'{"event_id":"x","interaction_id":"x","outcome":"handled","ended_at":1,"talk_ms":-1}',
    b'{"event_id":"x","interaction_id":"x","outcome":"handled","ended_at":"yesterday"}',
    b'{"event_id":7,"interaction_id":"x","outcome":"handled","ended_at":1}',
    b'{"event_id":"x","interaction_id":"x","outcome":"handled","ended_at":1,"talk_ms":NaN}',
    b'{"v":2,"event_id":"x","interaction_id":"x","outcome":"handled","ended_at":1}',
    b'{"event_id":"\\ud800","interaction_id":"x","outcome":"handled","ended_at":1}',
    b"\xff\xfe{}",
    b"[" * 5_000 + b"]" * 5_000,
    b"7",
    b"",
    None,
)


@dataclass(frozen=True, slots=True)
class Planned:
    """One record to be sent at an instant of event time, and what has to become of it.

    `serial` goes with it as a header, so that it is known again wherever it turns up.
    """

    serial: int
    send_ms: int
    kind: Kind
    fate: Fate
    key: bytes | None
    value: bytes | None
    partition: int


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is sent: days of data, made-up twins of every agent, and calls for each call."""

    days: float
    twins: int
    repeats: int


def start_ms() -> int:
    """When the data begin: the bank's first full day, an hour before its first busy one."""
    return _bank()[0].at_ms // _DAY_MS * _DAY_MS + 28 * _HOUR_MS


@cache
def _bank() -> list[TimedEvent]:
    return read_events(BANK.adapter, [data_dir() / BANK.file])


@cache
def _shop() -> list[TimedEvent]:
    return read_events(SHOP.adapter, [data_dir() / SHOP.file])


def plan(scale: Scale, partitions: int, seed: int) -> list[Planned]:
    """All records of a run, in the order of sending."""
    rng = random.Random(seed)
    planned: list[Planned] = []
    for event in _contacts(scale):
        for send_ms, is_crc in _sendings(rng, event["_at_ms"]):
            planned.append(_record(event, send_ms, is_crc, partitions, len(planned)))
        if rng.random() < 0.01:
            planned.append(_poison(rng, event["_at_ms"], partitions, len(planned)))
        if rng.random() < 0.005:
            planned.append(_late(event, partitions, len(planned)))
    planned.sort(key=lambda record: (record.send_ms, record.serial))
    return planned


def _contacts(scale: Scale) -> Iterator[dict[str, Any]]:
    """The bank's calls with twins, and one in so many of shopzilla's agents."""
    end_ms = start_ms() + int(scale.days * _DAY_MS)
    back_ms = (_shop()[0].at_ms - start_ms()) // _DAY_MS * _DAY_MS
    for event in _bank():
        for twin in range(scale.twins):
            for repeat in range(scale.repeats):
                yield from _moved(event, repeat * 37_003, f"~{twin}" * (twin > 0), repeat, end_ms)
    for event in _shop():
        if crc32(event.key.encode()) % SHOP_SHARE == 0:
            yield from _moved(event, -back_ms, "", 0, end_ms)


def _moved(
    event: TimedEvent, by_ms: int, suffix: str, repeat: int, end_ms: int
) -> Iterator[dict[str, Any]]:
    """The event at another time, of another agent; nothing where that is after the end."""
    at_ms = event.at_ms + by_ms
    if at_ms >= end_ms:
        return
    fields = orjson.loads(event.raw)
    fields["event_id"] += f"{suffix}#{repeat}"
    fields[_TIME[event.kind]] = at_ms
    fields["campaign"] = CAMPAIGNS[crc32(fields["event_id"].encode()) % len(CAMPAIGNS)]
    if "agent_id" in fields:
        fields["agent_id"] += suffix
    yield {**fields, "_at_ms": at_ms, "_kind": event.kind}


def _sendings(rng: random.Random, at_ms: int) -> Iterator[tuple[int, bool]]:
    """When an event is sent, one to three times, and whether by a client that hashes by CRC32."""
    delay_ms = 0.0
    if rng.random() < 0.15:
        delay_ms = rng.choice((-0.4, 0.2, 2.0, 12.0)) * rng.random() * _HOUR_MS
    yield at_ms + int(delay_ms), rng.random() < 0.08
    for chance, mean_ms in ((0.3, 5 * MINUTE_MS), (0.1, 6 * _HOUR_MS)):
        if rng.random() < chance:
            later_ms = min(rng.expovariate(1 / mean_ms), 12 * _HOUR_MS)
            yield at_ms + int(max(0.0, delay_ms) + later_ms), rng.random() < 0.08


def _record(
    event: dict[str, Any], send_ms: int, is_crc: bool, partitions: int, serial: int
) -> Planned:
    key = str(event.get("agent_id") or event.get("queue") or event["interaction_id"])
    home = partition_of(key, partitions)
    place = crc32(key.encode()) % partitions if is_crc else home
    value = orjson.dumps({name: v for name, v in event.items() if name[0] != "_"})
    fate: Fate = "counted" if place == home else "moved"
    return Planned(serial, send_ms, event["_kind"], fate, key.encode(), value, place)


def _poison(rng: random.Random, send_ms: int, partitions: int, serial: int) -> Planned:
    kind: Kind = rng.choice(("interaction", "survey"))
    value, key = rng.choice(POISON), rng.choice((None, b"", b"\xc3\x28", b"PS"))
    if value is None:
        key = b"PS"  # without either, aiokafka sends nothing
    return Planned(serial, send_ms, kind, "refused", key, value, rng.randrange(partitions))


def _late(event: dict[str, Any], partitions: int, serial: int) -> Planned:
    """An event from long before everything: late under any settings."""
    at_ms = event["_at_ms"] - 90 * _DAY_MS
    late = {**event, "event_id": f"{event['event_id']}-late", _TIME[event["_kind"]]: at_ms}
    record = _record(late, event["_at_ms"], is_crc=False, partitions=partitions, serial=serial)
    return Planned(
        serial, record.send_ms, record.kind, "refused", record.key, record.value, record.partition
    )
