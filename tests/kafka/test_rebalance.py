"""Workers join while records arrive: nothing that was fetched and thrown away is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from stream.core.measures import Thresholds, measure_ids
from stream.core.rowids import ID_BYTES
from stream.kafka.partitioner import partition_of
from stream.kafka.recovery import sort_records
from stream.kafka.rowcodec import RowDecoder
from tests.kafka.live import TopicReader, WorkerProcess, written_settings
from tests.kafka_broker.broker import KafkaBroker

PARTITIONS = 2
BURST = 40
AFTER = 2_000


@pytest.mark.timeout(120)
def test_a_worker_that_joins_new_topics_costs_no_event(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """No offset is committed yet, and records arrive throughout the rebalance: all are counted.

    Fails where a block that was fetched while the flow was suspended is not read again.
    """
    settings = written_settings(kafka.bootstrap, topic_prefix, partitions=PARTITIONS)
    second = WorkerProcess(tmp_path / "second", settings)
    with WorkerProcess(tmp_path / "first", settings) as first, contextlib.ExitStack() as ended:
        ended.callback(second.kill)
        first.wait_ready(PARTITIONS)
        sent = asyncio.run(send_while_joining(settings["broker"], topic_prefix, first, second))
        deadline = time.monotonic() + 30
        counted: set[bytes] = set()
        while len(counted) < sent and time.monotonic() < deadline:
            counted = asyncio.run(ids_in_rows(settings["broker"], f"{topic_prefix}app"))
            time.sleep(0.5)
    assert len(counted) == sent


async def send_while_joining(
    broker: str, prefix: str, first: WorkerProcess, second: WorkerProcess
) -> int:
    """Sends events from the moment the first worker is asked to share, and then some; how many."""
    second.start()
    sent = 0
    async with AIOKafkaProducer(bootstrap_servers=broker, linger_ms=0) as producer:
        while "Heartbeat failed" not in first.log.read_text():  # noqa: ASYNC110 - its own process
            await asyncio.sleep(0.005)
        while second.partitions() != (1, 1):
            sent += await send(producer, prefix, sent, BURST)
            await asyncio.sleep(0.01)
        sent += await send(producer, prefix, sent, AFTER)
    return sent


async def send(producer: AIOKafkaProducer, prefix: str, first: int, count: int) -> int:
    """Sends events of forty agents, numbered from `first`."""
    now_ms = time.time_ns() // 1_000_000
    for number in range(first, first + count):
        agent = f"a-{number % 40}"
        event = {
            "event_id": f"e-{number}",
            "interaction_id": f"i-{number}",
            "ended_at": now_ms - number % 60_000,
            "outcome": "handled",
            "agent_id": agent,
        }
        place = partition_of(agent, PARTITIONS)
        value = json.dumps(event).encode()
        await producer.send(f"{prefix}interactions", value, agent.encode(), partition=place)
    await producer.flush()
    return count


async def ids_in_rows(broker: str, app: str) -> set[bytes]:
    """The ids of all events that the stored rows have absorbed."""
    latest: dict[bytes, bytes] = {}
    async with TopicReader(broker, f"{app}-rows-changelog") as reader:
        for record in await reader.read_to_end():
            assert record.key is not None
            place = bytes([record.partition]) + record.key
            if record.value is not None:
                latest[place] = record.value
    rows = sort_records({key[1:]: value for key, value in latest.items()}).rows
    decoded = RowDecoder(measure_ids(Thresholds()), {}).decode(rows)
    return {ids[at : at + ID_BYTES] for ids in decoded.ids for at in range(0, len(ids), ID_BYTES)}
