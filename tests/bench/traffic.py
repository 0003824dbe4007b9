"""What stands in the topic: seeded contact records of about 450 bytes, in the order of their time.

Every contact is a handled one with an agent, so that each system has one thing to do per record.
Producers are as Kafka's own are by default: batches of 16 KB, keys hashed by murmur2, and the
record's timestamp is when the contact ended.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream.kafka.partitioner import partition_of

PARTITIONS: Final = 4
SEED: Final = 20_240_229
_DISORDER_MS: Final = 5_000
_SITES: Final = ("lisbon", "manila", "krakow")
_QUEUES: Final = {
    "billing": ("invoice", "refund", "payment-failed", "price-change", "other"),
    "orders": ("where-is-my-order", "change-order", "cancel-order", "damaged-goods", "other"),
    "technical": ("no-connection", "slow-connection", "device-setup", "app-login", "other"),
    "retention": ("cancel-contract", "move-house", "better-offer", "complaint", "other"),
}
_REASON_WEIGHTS: Final = (45, 25, 15, 10, 5)
_CHANNELS: Final = ("voice", "voice", "voice", "chat", "email")
_PRODUCTS: Final = ("mobile", "broadband", "tv-and-streaming")


@dataclass(frozen=True, slots=True)
class Traffic:
    """So many records of so many agents, spread evenly over so long, up to now."""

    agents: int
    span_ms: int
    records: int


class Contact(NamedTuple):
    """One record to be produced."""

    key: str
    value: bytes
    at_ms: int


def contacts(traffic: Traffic, now_ms: int, seed: int = SEED) -> Iterator[Contact]:
    """The traffic's records, the same for the same seed and `now_ms`; none is after `now_ms`."""
    rng = random.Random(seed)
    agents = [_agent(rng, number) for number in range(traffic.agents)]
    start_ms = now_ms - traffic.span_ms
    step = (traffic.span_ms - _DISORDER_MS) / traffic.records
    for number in range(traffic.records):
        at_ms = start_ms + int(number * step) + rng.randrange(_DISORDER_MS)
        agent = agents[rng.randrange(len(agents))]
        yield Contact(agent["agent_id"], orjson.dumps(_contact(rng, agent, at_ms)), at_ms)


async def produce(bootstrap: str, topic: str, traffic: Traffic, now_ms: int) -> float:
    """Makes the topic and fills it; returns the mean size of a value in bytes."""
    await make_topic(bootstrap, topic)
    return await fill(bootstrap, topic, contacts(traffic, now_ms)) / traffic.records


async def make_topic(bootstrap: str, topic: str) -> None:
    """An empty topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, PARTITIONS, replication_factor=1)])
    finally:
        await admin.close()


async def fill(bootstrap: str, topic: str, records: Iterable[Contact]) -> int:
    """Sends them all, as fast as it can; returns the size of all values in bytes."""
    places: dict[str, int] = {}
    size = 0
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        batches = [producer.create_batch() for _ in range(PARTITIONS)]
        sent = []
        for key, value, at_ms in records:
            place = places.get(key)
            if place is None:
                place = places[key] = partition_of(key, PARTITIONS)
            size += len(value)
            record = {"timestamp": at_ms, "key": key.encode(), "value": value}
            if batches[place].append(**record) is None:
                sent.append(await producer.send_batch(batches[place], topic, partition=place))
                batches[place] = producer.create_batch()
                batches[place].append(**record)
        for place, batch in enumerate(batches):
            if batch.record_count():
                sent.append(await producer.send_batch(batch, topic, partition=place))
        for future in sent:
            await future
    return size


def _agent(rng: random.Random, number: int) -> dict[str, Any]:
    """What stays the same from contact to contact of one agent."""
    queue = rng.choice(tuple(_QUEUES))
    return {
        "agent_id": f"agent-{number:05}",
        "team_id": f"team-{queue}-{number % 7}",
        "site_id": _SITES[number % len(_SITES)],
        "queue": queue,
        "channel": rng.choice(_CHANNELS),
        "campaign": "spring-renewal",
        "product": rng.choice(_PRODUCTS),
    }


def _contact(rng: random.Random, agent: dict[str, Any], at_ms: int) -> dict[str, Any]:
    wait, talk = int(rng.expovariate(1 / 25_000)), 20_000 + int(rng.expovariate(1 / 240_000))
    hold = int(rng.expovariate(1 / 30_000)) if rng.random() < 0.3 else 0
    wrap = int(rng.expovariate(1 / 45_000))
    connected = at_ms - talk - hold - wrap
    reason = rng.choices(_QUEUES[agent["queue"]], _REASON_WEIGHTS)[0]
    contact = {
        "event_id": f"{rng.getrandbits(96):024x}",
        "interaction_id": f"{rng.getrandbits(48):012x}",
        "ended_at": at_ms,
        "outcome": "handled",
        **agent,
        "reason": reason,
        "customer_id": f"c{rng.randrange(10_000_000):07}",
        "queued_at": connected - wait,
        "wait_ms": wait,
        "talk_ms": talk,
        "hold_ms": hold,
        "wrap_ms": wrap,
        "resolved": rng.random() < 0.8,
    }
    if rng.random() < 0.08:
        contact["transferred_by"] = "agent"
    return contact
