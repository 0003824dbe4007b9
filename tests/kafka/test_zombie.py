"""A worker frozen past its session and woken up again: fenced, and nothing it wrote is seen."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from stream.config import Settings, load_settings
from stream.kafka.partitioner import partition_of
from stream.kafka.transactions import FENCED
from tests.chaos.state import read_state
from tests.kafka.live import Sent, WorkerProcess, read_topic, send, wait_until, written_settings
from tests.kafka_broker.broker import KafkaBroker

PARTITIONS = 2
AGENTS = 8
FENCED_S = 30.0
COUNTED_S = 30.0


def calls(topic: str, first: int, count: int) -> list[Sent]:
    """Calls of a few agents that have just ended, one record in nine no event at all."""
    now_ms = time.time_ns() // 1_000_000
    records: list[Sent] = []
    for number in range(first, first + count):
        agent = f"a-{number % AGENTS}"
        event = {"event_id": f"e-{number}", "interaction_id": "i", "outcome": "handled"}
        value = orjson.dumps({**event, "agent_id": agent, "ended_at": now_ms - 1, "talk_ms": 9_000})
        place = partition_of(agent, PARTITIONS)
        records.append(Sent(topic, value, agent.encode(), place))
        if number % 9 == 0:
            records.append(Sent(topic, b"{", agent.encode(), place))
    return records


@pytest.mark.timeout(150)
def test_a_zombie_is_fenced_and_nothing_it_wrote_is_seen(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """Frozen with events and a flush in hand; woken, it ends with the reason or joins anew.

    Each event is in the rows once, each refusal was written once, and readings never go back.
    """
    fields = {"partitions": PARTITIONS, "windows": ["15m"], "late_to_dead_letters": True}
    settings = written_settings(kafka.bootstrap, topic_prefix, **fields)
    interactions = settings["topics"]["interactions"]
    heir = WorkerProcess(tmp_path / "heir", settings)
    with WorkerProcess(tmp_path / "zombie", settings) as zombie, ExitStack() as ended:
        ended.callback(heir.kill)
        zombie.wait_ready(PARTITIONS)
        send(kafka.bootstrap, calls(interactions, 0, 3_000))
        zombie.send_signal(signal.SIGSTOP)
        send(kafka.bootstrap, calls(interactions, 3_000, 1_000))
        heir.start()
        heir.wait_ready(PARTITIONS)
        send(kafka.bootstrap, calls(interactions, 4_000, 500))
        zombie.send_signal(signal.SIGCONT)
        wait_until(lambda: is_fenced(zombie), FENCED_S, "fenced")
        send(kafka.bootstrap, calls(interactions, 4_500, 500))
        check(load_settings(heir.folder), 5_000)


def is_fenced(worker: WorkerProcess) -> bool:
    """Whether its next flush was refused; where the process ends of it, it ends with code 1."""
    assert worker.process is not None
    code = worker.process.poll()
    assert code in (None, 1), f"exit code {code}"
    return FENCED in worker.log.read_text()


def check(settings: Settings, sent: int) -> None:
    """Waits until all is counted, and looks whether anything was counted or written twice."""
    wait_until(lambda: len(set(ids_in_rows(settings))) == sent, COUNTED_S, "all counted")
    assert len(ids_in_rows(settings)) == sent, "none is counted twice"
    letters = Counter(
        (letter.headers["kpi-partition"], letter.headers["kpi-offset"])
        for letter in read_topic(settings.broker, settings.topics.dead_letters)
    )
    assert len(letters) == letters.total() == len(range(0, sent, 9))
    newest: dict[bytes, tuple[int, str, int]] = {}
    for record in read_topic(settings.broker, settings.topics.kpis):
        assert record.key is not None
        reading = orjson.loads(record.value or b"{}")
        offsets = reading["offsets"].get(settings.topics.interactions, 0)
        place = (reading["revision"], reading["as_of"], offsets)
        before = newest.get(record.key, (0, "", 0))
        assert before[0] < place[0]
        assert before[1:] <= place[1:]
        newest[record.key] = place
    assert len(newest) == AGENTS


def ids_in_rows(settings: Settings) -> list[tuple[int, bytes]]:
    """The ids that the stored rows hold, with their partition."""
    return asyncio.run(read_state(settings)).ids
