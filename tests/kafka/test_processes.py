"""`kpi-stream worker --processes N` on a real Apache Kafka."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream.config import load_settings
from stream.instance import hold_instance
from stream.supervisor import REFUSED
from stream.yamlfile import Faults
from tests.chaos.state import read_state
from tests.kafka.admin import delete_topic
from tests.kafka.live import Sent, WorkerProcess, send, wait_until, written_settings
from tests.kafka.sockets import listening
from tests.kafka_broker.broker import KafkaBroker

PARTITIONS = 4
AGENTS = 40
MOVE_S = 40.0
_STARTED = re.compile(r": (w-\d+) is process (\d+)$", re.MULTILINE)


@contextmanager
def two(folder: Path, settings: dict[str, Any]) -> Iterator[WorkerProcess]:
    """Two processes under one command; whatever the test leaves of them is killed."""
    with WorkerProcess(folder, settings, processes=2) as worker:
        try:
            yield worker
        finally:
            for _, pid in started(worker):
                if is_there(pid):
                    os.kill(pid, signal.SIGKILL)


def started(worker: WorkerProcess) -> list[tuple[str, int]]:
    """The names and ids of all processes that were started, in their order."""
    return [(name, int(pid)) for name, pid in _STARTED.findall(worker.log.read_text())]


def recoveries(worker: WorkerProcess, name: str) -> int:
    """How often a process was given partitions."""
    said = worker.log.read_text()
    return len(re.findall(rf"^{name} .* ready: partitions", said, re.MULTILINE))


def is_there(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def halved(worker: WorkerProcess) -> bool:
    """Whether each process has caught up on its half."""
    assert worker.process is not None
    assert worker.process.poll() is None, worker.log.read_text()[-4_000:]
    half = PARTITIONS // 2
    return worker.partitions(0) == (half, half) == worker.partitions(1)


def labels_of(text: str, metric: str, label: str) -> list[str]:
    """What a label is in the series of a metric."""
    return re.findall(rf'^{metric}{{.*?\b{label}="([^"]*)"', text, re.MULTILINE)


def calls(topic: str, numbers: range) -> list[Sent]:
    """Calls of all agents in turn that have just ended."""
    at_ms = time.time_ns() // 1_000_000 - 1_000
    records = []
    for number in numbers:
        agent = f"a-{number % AGENTS}"
        event = {"event_id": f"e-{number}", "interaction_id": "i", "outcome": "handled"}
        value = orjson.dumps({**event, "agent_id": agent, "ended_at": at_ms})
        records.append(Sent(topic, value, agent.encode()))
    return records


def handled(worker: WorkerProcess) -> Counter[str]:
    """The calls of each agent, as both processes show them together."""
    found: Counter[str] = Counter()
    for process in (0, 1):
        for line in worker.metrics(process).splitlines():
            if line.startswith('kpi_handled_contacts{scope="agent"'):
                series, _, value = line.rpartition(" ")
                found[re.findall(r'\bid="([^"]*)"', series)[0]] += int(float(value))
    return found


@pytest.mark.timeout(180)
def test_two_processes_share_the_work_and_a_killed_one_comes_back(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """Each shows its own partitions at its own port, under its own name; nothing counts twice.

    The killed one is back in its place before the group has missed it, so the other one's work is
    not interrupted; and a stop ends all with exit code 0.
    """
    settings = written_settings(
        kafka.bootstrap, topic_prefix, partitions=PARTITIONS, windows=["1h"], instance="w"
    )
    interactions = settings["topics"]["interactions"]
    with two(tmp_path / "w", settings) as worker:
        wait_until(lambda: halved(worker), MOVE_S, "two partitions each")
        (first, first_pid), (second, second_pid) = started(worker)
        assert (first, second) == ("w-0", "w-1")
        for pid, port in ((first_pid, worker.port), (second_pid, worker.port + 1)):
            assert listening(pid) == {("127.0.0.1", port)}
        for name in (first, second):
            assert re.search(rf"^{name} .* INFO stream", worker.log.read_text(), re.MULTILINE)
            with pytest.raises(Faults, match=f"'{name}' is in use by another worker"):
                hold_instance(settings["app"], name)
        send(kafka.bootstrap, calls(interactions, range(400)))
        wait_until(lambda: handled(worker).total() == 400, MOVE_S, "all counted")
        rows = [labels_of(worker.metrics(n), "kpi_stream_rows", "partition") for n in (0, 1)]
        assert len(set(rows[0])) == len(set(rows[1])) == PARTITIONS // 2
        assert {*rows[0], *rows[1]} == {str(number) for number in range(PARTITIONS)}
        shown = [set(labels_of(worker.metrics(n), "kpi_handled_contacts", "id")) for n in (0, 1)]
        assert not shown[0] & shown[1]

        before = recoveries(worker, first)
        os.kill(second_pid, signal.SIGKILL)
        send(kafka.bootstrap, calls(interactions, range(400, 600)))
        wait_until(lambda: len(started(worker)) == 3, MOVE_S, "started again")
        wait_until(lambda: halved(worker), MOVE_S, "both at work again")
        assert recoveries(worker, first) == before > 0, "there was no rebalance"
        assert started(worker)[:2] == [("w-0", first_pid), ("w-1", second_pid)]
        assert started(worker)[2][0] == "w-1"
        wait_until(lambda: handled(worker).total() == 600, MOVE_S, "all counted again")
        assert set(handled(worker).values()) == {600 // AGENTS}
        again = labels_of(worker.metrics(1), "kpi_stream_rows", "partition")
        assert set(again) == set(rows[1]), "its partitions waited for it"

        assert worker.stop() == 0, worker.log.read_text()[-4_000:]
        assert not [pid for _, pid in started(worker) if is_there(pid)]
        assert "\x1b" not in worker.log.read_text(), "lines, and nothing for a terminal"
        ids = asyncio.run(read_state(load_settings(worker.folder))).ids
        assert len(ids) == len(set(ids)) == 600


@pytest.mark.timeout(120)
def test_workers_stop_in_order_when_their_supervisor_is_killed(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """They flush what they have, and no process is left that holds ports and names."""
    settings = written_settings(
        kafka.bootstrap,
        topic_prefix,
        partitions=PARTITIONS,
        windows=["1h"],
        instance="w",
        flush_interval="60s",
    )
    with two(tmp_path / "w", settings) as worker:
        wait_until(lambda: halved(worker), MOVE_S, "two partitions each")
        send(kafka.bootstrap, calls(settings["topics"]["interactions"], range(80)))
        wait_until(lambda: handled(worker).total() == 80, MOVE_S, "all counted")
        loaded = load_settings(worker.folder)
        assert not asyncio.run(read_state(loaded)).ids, "nothing is flushed yet"
        worker.kill()
        pids = [pid for _, pid in started(worker)]
        wait_until(lambda: not any(map(is_there, pids)), MOVE_S, "both gone")
        assert len(asyncio.run(read_state(loaded)).ids) == 80


@pytest.mark.timeout(120)
def test_workers_that_refuse_their_state_are_not_started_again(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """A lost changelog does not come back: all stop, and the command says so by its exit code."""
    settings = written_settings(
        kafka.bootstrap, topic_prefix, partitions=PARTITIONS, windows=["1h"], instance="w"
    )
    with two(tmp_path / "w", settings) as worker:
        wait_until(lambda: halved(worker), MOVE_S, "two partitions each")
        send(kafka.bootstrap, calls(settings["topics"]["interactions"], range(80)))
        wait_until(lambda: handled(worker).total() == 80, MOVE_S, "all counted")
        assert worker.stop() == 0
        delete_topic(kafka.bootstrap, f"{topic_prefix}app-rows-changelog")
        worker.start()
        assert worker.process is not None
        assert worker.process.wait(MOVE_S) == REFUSED
        assert len(started(worker)) == 4, "twice two"
        said = worker.log.read_text()
        assert "the changelog holds no state: was it deleted" in said
        assert said.count("refuses to run and would again, so all stop") == 1
