"""Whoever sends what to which partition how often: each event counts once, where it belongs."""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stream.config import Settings, load_settings
from stream.kafka.partitioner import partition_of
from stream.replay import replay
from tests.kafka.board import Board, differences, with_samples
from tests.kafka.live import Sent, TopicReader, WorkerProcess, send, written_settings
from tests.kafka_broker.broker import KafkaBroker
from tests.oracle.sql import Expected, Oracle

PARTITIONS = 4
NOON_MS = 1_710_504_000_000
MINUTE_MS = 60_000
WINDOWS = ["15m", "1h", "8h"]
SEED = 20_260_314
SETTLE_S = 60.0


def events(rng: random.Random) -> list[dict[str, Any]]:
    """Calls and surveys of the last eight hours, in no order; some name no agent."""
    made: list[dict[str, Any]] = []
    for n in range(2_000):
        agent = rng.choice([None, *(f"agent-{i}" for i in range(40))])
        at_ms = NOON_MS - rng.randrange(8 * 60 * MINUTE_MS)
        event: dict[str, Any] = {"event_id": f"e-{n}", "interaction_id": f"i-{n}"}
        event |= {"queue": rng.choice(["sales", "help"])} if rng.random() < 0.5 else {}
        event |= {"agent_id": agent, "team_id": "t"} if agent else {}
        if rng.random() < 0.3:
            event |= {"type": "survey", "answered_at": at_ms, "csat": rng.randint(1, 5)}
        else:
            outcome = rng.choice(["handled", "handled", "abandoned"])
            event |= {"type": "interaction", "ended_at": at_ms, "outcome": outcome}
            event |= {"talk_ms": rng.randrange(900_000), "wait_ms": rng.randrange(60_000)}
        made.append(event)
    return made


def key_of(event: dict[str, Any]) -> str:
    """The key that the event should have."""
    key: str = event.get("agent_id") or event.get("queue") or event["interaction_id"]
    return key


def scattered(rng: random.Random, event: dict[str, Any], topic: str) -> Sent:
    """The event as one of five producers sends it, of whom one does it right."""
    value = json.dumps({k: v for k, v in event.items() if k != "type"}).encode()
    key = key_of(event).encode()
    crc32 = Sent(topic, value, key, zlib.crc32(key) % PARTITIONS)
    anywhere = rng.randrange(PARTITIONS)
    return rng.choice(
        [
            Sent(topic, value, key),
            crc32,
            Sent(topic, value, None, anywhere),
            Sent(topic, value, b"somebody else"),
            Sent(topic, value, b"\xff\x00", anywhere),
        ]
    )


@pytest.mark.timeout(120)
def test_each_event_counts_once_in_its_place(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """Another client's hash, wrong keys, no keys, and repeats on any partition change nothing."""
    rng = random.Random(SEED)
    settings = written_settings(
        kafka.bootstrap, topic_prefix, time="replay", partitions=PARTITIONS, windows=WINDOWS
    )
    settings["metrics"] = {"show": {"windows": ["1h"]}}
    topics = {"interaction": settings["topics"]["interactions"]}
    topics["survey"] = settings["topics"]["surveys"]
    once = events(rng)
    again = rng.sample(once, 600)
    with WorkerProcess(tmp_path / "w", settings) as worker:
        worker.wait_ready(PARTITIONS)
        sent = [scattered(rng, event, topics[event["type"]]) for event in once + again]
        send(kafka.bootstrap, sent)
        loaded = load_settings(tmp_path / "w")
        asyncio.run(replay(loaded, [], until_ms=NOON_MS))
        expected = with_samples(Oracle(once).expected(NOON_MS, "agent", WINDOWS))
        assert len(expected) > 100
        wrong = asyncio.run(wrong_at_rest(loaded, expected))
        assert not wrong, f"seed {SEED}: {wrong}"
        misplaced = sum(is_misplaced(s, e) for s, e in zip(sent, once + again, strict=True))
        assert misplaced > 1_000
        text = worker.metrics()
    assert f"kpi_stream_misplaced_total {misplaced}.0" in text
    for kind in topics:
        counted = sum(event["type"] == kind for event in once)
        repeated = sum(event["type"] == kind for event in again)
        assert f'kpi_stream_events_total{{kind="{kind}"}} {counted}.0' in text
        assert f'kpi_stream_duplicates_total{{kind="{kind}"}} {repeated}.0' in text


def is_misplaced(sent: Sent, event: dict[str, Any]) -> bool:
    """Whether the record stands on another partition than its event's own."""
    at = sent.partition if sent.partition is not None else partition_of(sent.key or b"", PARTITIONS)
    return at != partition_of(key_of(event), PARTITIONS)


async def wrong_at_rest(settings: Settings, expected: Expected) -> Sequence[str]:
    """Waits until the board shows what SQL gives; what differs when patience ends."""
    board, loop = Board(), asyncio.get_running_loop()
    deadline = loop.time() + SETTLE_S
    async with TopicReader(settings.broker, settings.topics.kpis) as reader:
        while True:
            board.take(await reader.poll())
            found = board.of("agent", NOON_MS)
            wrong = [f"{key}: not in SQL" for key in found.keys() - expected.keys()]
            for key, figures in expected.items():
                lines = differences(figures, found[key]) if key in found else ["missing"]
                wrong += [f"{key}: {line}" for line in lines]
            if not wrong or loop.time() > deadline:
                return wrong
