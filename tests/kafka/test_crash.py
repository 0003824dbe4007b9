"""Killed again and again under load: nothing lost, nothing counted or announced twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from stream.config import Settings, load_settings
from stream.replay import replay
from tests.kafka.board import Board, instant_ms
from tests.kafka.live import Seen, TopicReader, WorkerProcess
from tests.kafka.test_exact import (
    BANK,
    compare_at_rest,
    source_of,
    written_settings,
)
from tests.kafka_broker.broker import KafkaBroker
from tests.oracle import data_dir

KILLS = 6
PARTITIONS = 4
POISON = (b"{", b'{"event_id": 1}', b"\xff", b'{"event_id":"x","talk_ms":-1}')
END = "1999-02-04T11:17:00+02:00"
SPEED = 60.0 * 60 * 6
GOALS = {
    "goals": [
        {
            "name": "aht",
            "purpose": "Calls take no longer than planned.",
            "kpi": "handle_time",
            "window": "1h",
            "target": "<= 2m30s",
            "clear": "<= 2m20s",
            "min_samples": 3,
            "for": "5m",
        }
    ]
}
FOLLOWS: dict[str, set[str | None]] = {
    "pending": {None, "cancelled", "resolved", "ended_no_data"},
    "firing": {"pending"},
    "cancelled": {"pending"},
    "resolved": {"firing"},
    "ended_no_data": {"firing"},
}


class Outcome(NamedTuple):
    """What a run under fire came to; every number but the first three has to be 0."""

    kills: int
    figures: int
    alerts: int
    readings_twice: int
    transitions_twice: int
    transitions_out_of_order: int
    dead_letters_lost: int
    dead_letters_twice: int


@pytest.mark.timeout(240)
def test_kills_at_random_moments_lose_and_repeat_nothing(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """SIGKILL, restart, again: figures equal SQL, and consumers see every change once."""
    if not (data_dir() / BANK.file).exists():
        pytest.skip(f"no test data at {BANK.file}")
    written = written_settings(BANK, PARTITIONS, kafka.bootstrap, topic_prefix)
    written["instance"] = f"{topic_prefix}w"
    with WorkerProcess(tmp_path / "w", written, GOALS) as worker:
        worker.wait_ready(PARTITIONS)
        outcome = asyncio.run(under_fire(load_settings(tmp_path / "w"), worker, KILLS))
    print(f"\n{outcome}")  # noqa: T201 - figures for the closing note
    assert outcome.figures > 300
    assert outcome.alerts > 0
    assert outcome[3:] == (0,) * len(outcome[3:])


async def under_fire(settings: Settings, worker: WorkerProcess, kills: int) -> Outcome:
    """Replays four days of calls while the worker is killed at seeded moments."""
    end_ms, rng = instant_ms(END), random.Random(11)
    source = source_of(BANK.file)
    events = [event for event in source.events if event.at_ms < end_ms]
    await send_poison(settings)
    sending = asyncio.create_task(replay(settings, events, until_ms=end_ms, speed=SPEED))
    for _ in range(kills):
        await asyncio.sleep(rng.uniform(0.3, 2.5))
        worker.kill()
        worker.start()
        await asyncio.to_thread(worker.wait_started)
    await sending
    board = Board()
    async with TopicReader(settings.broker, settings.topics.kpis) as reader:
        expected = source.expected(end_ms, "agent")
        figures = await compare_at_rest(expected, board, reader, end_ms, "agent")
        board.take(await reader.read_to_end())
    written = Counter((r["scope"], r["id"], r["window"], r["revision"]) for r in board.all)
    alerts = [orjson.loads(record.value or b"") for record in await read(settings, "alerts")]
    dead = Counter(place_of(record) for record in await read(settings, "dead_letters"))
    return Outcome(
        kills=kills,
        figures=figures,
        alerts=len({alert["alert_id"] for alert in alerts}),
        readings_twice=repeats(written),
        transitions_twice=repeats(Counter((a["alert_id"], a["state"]) for a in alerts)),
        transitions_out_of_order=out_of_order(alerts),
        dead_letters_lost=len(POISON) - len(dead),
        dead_letters_twice=repeats(dead),
    )


async def send_poison(settings: Settings) -> None:
    """Records that no one can count, spread over the partitions."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker)
    await producer.start()
    for number, value in enumerate(POISON):
        place = number % PARTITIONS
        await producer.send_and_wait(settings.topics.interactions, value, partition=place)
    await producer.stop()


async def read(settings: Settings, topic: str) -> list[Seen]:
    """All committed records of one of the output topics."""
    async with TopicReader(settings.broker, getattr(settings.topics, topic)) as reader:
        return await reader.read_to_end()


def place_of(record: Seen) -> tuple[bytes, bytes]:
    """Where a dead letter came from."""
    return record.headers["kpi-partition"], record.headers["kpi-offset"]


def repeats(counts: Counter[Any]) -> int:
    """How many were seen again."""
    return sum(count - 1 for count in counts.values())


def out_of_order(alerts: Sequence[dict[str, Any]]) -> int:
    """Transitions that do not follow from the one before, per agent and goal."""
    last: dict[tuple[str, str], str] = {}
    wrong = 0
    for alert in alerts:
        place = (alert["id"], alert["goal"])
        wrong += last.get(place) not in FOLLOWS[alert["state"]]
        last[place] = alert["state"]
    return wrong
