"""Topics and offsets that somebody has changed under a worker: said at its start, never a gap."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream.supervisor import REFUSED
from tests.kafka import admin
from tests.kafka.live import Sent, WorkerProcess, read_topic, send, wait_until, written_settings
from tests.kafka_broker.broker import KafkaBroker

EVENTS = 40
COUNTED_S = 30.0
ENDED_S = 40.0

Settings = dict[str, Any]


def calls(settings: Settings, count: int) -> list[Sent]:
    """Calls of one agent."""
    now_ms = time.time_ns() // 1_000_000
    event = {"interaction_id": "i", "outcome": "handled", "agent_id": "a", "ended_at": now_ms - 1}
    values = [orjson.dumps({**event, "event_id": f"e-{n}"}) for n in range(count)]
    return [Sent(settings["topics"]["interactions"], value, b"a") for value in values]


def handled(settings: Settings) -> int:
    """How many calls the agent's last reading has."""
    last = 0
    for record in read_topic(settings["broker"], settings["topics"]["kpis"]):
        last = orjson.loads(record.value or b"{}")["kpis"]["handled"]["samples"]
    return last


def changelog(settings: Settings) -> str:
    """The changelog's name."""
    return f"{settings['app']}-rows-changelog"


def delete_changelog(settings: Settings) -> None:
    """The state is gone, the offsets are not."""
    admin.delete_topic(settings["broker"], changelog(settings))


def recreate_input(settings: Settings) -> None:
    """The topic is new and empty."""
    topic = settings["topics"]["interactions"]
    admin.delete_topic(settings["broker"], topic)
    admin.create_topics(settings["broker"], {topic: 1})


def recreate_and_fill_input(settings: Settings) -> None:
    """The topic is new, and longer than what was counted of the old one."""
    recreate_input(settings)
    send(settings["broker"], calls(settings, 3 * EVENTS))


def reset_offsets(settings: Settings) -> None:
    """The group is to begin anew, with the state that it has."""
    topic = settings["topics"]["interactions"]
    admin.reset_offset(settings["broker"], settings["app"], topic, 0)
    assert admin.committed(settings["broker"], settings["app"], topic, 0) == 0


def add_partitions(settings: Settings) -> None:
    """All topics get more partitions: agents' events are elsewhere from now on."""
    inputs = (settings["topics"][name] for name in ("interactions", "surveys", "agent_facts"))
    for topic in (*inputs, changelog(settings)):
        admin.add_partitions(settings["broker"], topic, 3)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (delete_changelog, "the changelog holds no state: was it deleted"),
        (recreate_and_fill_input, "is not the topic that was counted, but another of its name"),
        (reset_offsets, "were the group's offsets reset, or the topic recreated"),
        (add_partitions, "the stored state is of 1 partitions, the topics have 3"),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_what_was_changed_meanwhile_is_said_and_nothing_is_counted(
    tamper: Callable[[Settings], None],
    said: str,
    kafka: KafkaBroker,
    topic_prefix: str,
    tmp_path: Path,
) -> None:
    """A refusal's exit code, the cause in one line, and the way out; no reading comes of it."""
    settings = written_settings(kafka.bootstrap, topic_prefix, partitions=1, windows=["8h"])
    with WorkerProcess(tmp_path / "w", settings) as worker:
        send_and_count(worker, settings)
        tamper(settings)
        before = len(read_topic(kafka.bootstrap, settings["topics"]["kpis"]))
        worker.start()
        assert worker.process is not None
        assert worker.process.wait(ENDED_S) == REFUSED
        log = worker.log.read_text()
        assert said in log
        assert "Start under another `app` name" in log
        assert "Traceback" not in log
        assert len(read_topic(kafka.bootstrap, settings["topics"]["kpis"])) == before


def send_and_count(worker: WorkerProcess, settings: Settings) -> None:
    """A state to be lost: some events, counted and committed; the worker has stopped."""
    worker.wait_ready(1)
    send(settings["broker"], calls(settings, EVENTS))
    wait_until(lambda: handled(settings) == EVENTS, COUNTED_S, "all counted")
    assert worker.stop() == 0


@pytest.mark.timeout(120)
def test_under_another_name_everything_is_counted_anew(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """A changed `app` is a group and a changelog of its own: from the first record on, no gap."""
    settings = written_settings(kafka.bootstrap, topic_prefix, partitions=1, windows=["8h"])
    other = {**settings, "app": f"{topic_prefix}other"}
    other["topics"] = {**settings["topics"], "kpis": f"{topic_prefix}other-kpis"}
    with WorkerProcess(tmp_path / "one", settings) as worker:
        send_and_count(worker, settings)
    with WorkerProcess(tmp_path / "other", other) as worker:
        worker.wait_ready(1)
        wait_until(lambda: handled(other) == EVENTS, COUNTED_S, "all counted anew")
    assert handled(settings) == EVENTS
