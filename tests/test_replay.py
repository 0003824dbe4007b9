"""A replay's order: every minute's events, then its clock, in every partition."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from faust.types import TP

from stream import replay as module
from stream.adapters import timed
from stream.config import load_settings
from stream.kafka.delivery import Outgoing
from stream.kafka.partitioner import partition_of
from stream.replay import replay
from tests.core.build import call, ms, survey
from tests.kafka.test_partition import topology

PARTITIONS = 3
NOON = ms("2024-06-03T12:00:00Z")
MINUTE = 60_000


class Log:
    """What a replay sends, partition by partition, in place of Kafka."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: dict[TP, list[Outgoing]] = {}
        self.sends: list[tuple[float, int]] = []

        class Producer:
            def __init__(self, **_: object) -> None:
                pass

            async def start(self) -> None:
                pass

            async def stop(self) -> None:
                pass

        async def prepare(_: object) -> Any:
            return topology(PARTITIONS)

        async def send(_: object, place: TP, records: Sequence[Outgoing]) -> list[Any]:
            self.sent.setdefault(place, []).extend(records)
            self.sends.append((time.monotonic(), len(records)))
            return []

        monkeypatch.setattr(module, "AIOKafkaProducer", Producer)
        monkeypatch.setattr(module, "prepare", prepare)
        monkeypatch.setattr(module, "send_batches", send)

    def told(self, topic: str, number: int) -> list[str]:
        """A partition's records: the ids of events, and the minutes of clocks after noon."""
        found = []
        for record in self.sent.get(TP(topic, number), []):
            value = json.loads(record.value or b"")
            if record.key == b"__clock__":
                settle = "!" if value.get("settle") else ""
                found.append(f"{(value['now'] - NOON) / MINUTE:g}{settle}")
            else:
                found.append(value["event_id"])
        return found


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """What the replay of a test sends."""
    return Log(monkeypatch)


def run(*events: Any, **options: Any) -> None:
    """Replays these events."""
    items = sorted((timed(event) for event in events), key=lambda event: event.at_ms)
    asyncio.run(replay(load_settings(None), items, **options))


def test_each_minute_ends_with_a_clock_in_every_partition(log: Log) -> None:
    """Of both topics, idle minutes and idle partitions too; the last clock asks to settle."""
    run(
        call(NOON, event_id="first"),
        call(NOON + MINUTE - 1, event_id="last-of-minute"),
        call(NOON + 3 * MINUTE, event_id="later"),
        survey(NOON, event_id="asked"),
    )
    place = partition_of("a1", PARTITIONS)
    expected = ["first", "last-of-minute", "1", "2", "3", "later", "4!"]
    assert log.told("interactions", place) == expected
    assert log.told("surveys", place) == ["asked", "1", "2", "3", "4!"]
    for topic in ("interactions", "surveys"):
        for number in set(range(PARTITIONS)) - {place}:
            assert log.told(topic, number) == ["1", "2", "3", "4!"]
    assert not any(tp.topic == "agent-facts" for tp in log.sent)


def test_a_replay_ends_exactly_where_it_is_told(log: Log) -> None:
    """Within a minute, beyond the last event, or with no event at all."""
    run(call(NOON, event_id="e"), until_ms=NOON + 90_000)
    assert log.told("surveys", 0) == ["1", "1.5!"]
    log.sent.clear()
    run(until_ms=NOON)
    assert log.told("surveys", 0) == ["0!"]
    log.sent.clear()
    run()
    assert log.sent == {}


def test_records_carry_the_key_and_partition_of_their_agent(log: Log) -> None:
    """A replay is a well-behaved producer."""
    names = [f"a{n}" for n in range(20)]
    run(*[call(NOON, agent_id=name, event_id=name) for name in names])
    for tp, records in log.sent.items():
        for record in records:
            if record.key != b"__clock__":
                assert record.key is not None
                assert partition_of(record.key, PARTITIONS) == tp.partition
    sent = {name for n in range(PARTITIONS) for name in log.told("interactions", n)}
    assert set(names) < sent


def test_speed_is_event_time_per_wall_time(log: Log) -> None:
    """Ten minutes at 3,000x take a fifth of a second, and each minute is sent when it is due."""
    began = time.monotonic()
    run(call(NOON), until_ms=NOON + 10 * MINUTE, speed=3_000)
    took = time.monotonic() - began
    assert 0.17 < took < 2
    firsts = [at for at, _ in log.sends][:: 2 * PARTITIONS]
    assert len(firsts) == 10


def test_progress_counts_every_event(log: Log) -> None:
    """A bar that is full at the end."""
    counts: list[int] = []
    run(*[call(NOON + n * 7_000) for n in range(40)], progress=counts.append)
    assert sum(counts) == 40
    assert log.sent


def test_a_wrong_date_does_not_mean_a_million_clocks(log: Log) -> None:
    """After eight silent days nothing changes any more: the next clock is the next event's."""
    run(call(0, event_id="unset"), call(NOON, event_id="real"))
    place = partition_of("a1", PARTITIONS)
    told = log.told("interactions", place)
    assert (told[0], told[-2], told[-1]) == ("unset", "real", "1!")
    assert len(told) == 8 * 24 * 60 + 1 + 3
