"""The ACL list on a real authorizer: each part does its work with it, and nothing beyond."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from stream.config import Settings, load_settings
from stream.kafka.connection import connection_options
from stream.kafka.topology import prepare
from stream.wallclock import wall_clock_ms
from tests.deploy.exporter import DEPLOY
from tests.kafka.admin import create_topics
from tests.kafka.live import WorkerProcess, send, wait_until, written_settings
from tests.kafka_broker.authorizing import AuthorizingBroker
from tests.notify.receivers import Webhook
from tests.notify.records import record, sent
from tests.notify.servers import NotifierProcess

SCRIPT: Final = DEPLOY / "kafka" / "acls.sh"
USERS: Final = ("producer", "worker", "notify", "reader", "support", "mender")
REFUSED_S: Final = 8.0
CALL: Final = {"event_id": "e1", "interaction_id": "i", "outcome": "handled", "agent_id": "ann"}


class House(NamedTuple):
    """A broker with the ACLs of the script, and everybody's settings."""

    broker: AuthorizingBroker
    folder: Path
    written: dict[str, Any]

    def folder_of(self, user: str) -> Path:
        """A folder with the settings under which `user` comes in."""
        folder = self.folder / user
        folder.mkdir(exist_ok=True)
        (folder / "kpi-stream.yaml").write_text(yaml.safe_dump(self.written_for(user)))
        return folder

    def written_for(self, user: str) -> dict[str, Any]:
        """These settings."""
        login = {"protocol": "SASL_PLAINTEXT", "username": user, "password": user}
        return {**self.written, "broker": self.broker.address, "security": login}

    def settings(self, user: str) -> Settings:
        """The same, read."""
        return load_settings(self.folder_of(user))

    def run(self, user: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`kpi-stream` as this user."""
        line = [sys.executable, "-m", "stream", *arguments, "--config", str(self.folder_of(user))]
        return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def house(kafka_runs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:  # noqa: ARG001 - asked for its skip
    """Topics made by an administrator, then the script."""
    folder = tmp_path_factory.mktemp("house")
    guarded = AuthorizingBroker(USERS)
    with guarded.broker:
        bootstrap = guarded.broker.bootstrap
        written = written_settings(bootstrap, "", app="kpi", partitions=2, windows=["1h"])
        (folder / "kpi-stream.yaml").write_text(yaml.safe_dump(written))
        asyncio.run(prepare(load_settings(folder)))
        create_topics(bootstrap, {"kpi-notified": 1, "roster": 1})
        names = {name.upper(): topic for name, topic in written["topics"].items()}
        guarded.run_acls(SCRIPT, folder, {"APP": "kpi", **names, **{u.upper(): u for u in USERS}})
        yield House(guarded, folder, written)


async def write(
    settings: Settings, topic: str, value: bytes = b"{}", name: str | None = None
) -> None:
    """Sends a record; in a transaction of this name, if one is given."""
    producer = AIOKafkaProducer(**connection_options(settings), transactional_id=name)
    async with asyncio.timeout(REFUSED_S):
        try:
            await producer.start()
            if name is None:
                await producer.send_and_wait(topic, value, key=b"k")
            else:
                async with producer.transaction():
                    await producer.send_and_wait(topic, value, key=b"k")
        finally:
            await producer.stop()


async def read(settings: Settings, topic: str, group: str | None = None) -> bytes | None:
    """The first record of a topic; as a member of a group, if one is given."""
    consumer = AIOKafkaConsumer(
        **connection_options(settings),
        group_id=group,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    async with asyncio.timeout(REFUSED_S):
        try:
            await consumer.start()
            if group is None:
                consumer.assign([TopicPartition(topic, n) for n in range(2)])
                await consumer.seek_to_beginning()
            else:
                consumer.subscribe([topic])
            record = await consumer.getone()
            return record.value  # type: ignore[no-any-return]
        finally:
            await consumer.stop()


@pytest.mark.timeout(240)
def test_everybody_can_do_their_work(house: House) -> None:
    """A call and a slip come in, a reading and a dead letter go out, and the slip is sent back."""
    topics = house.settings("worker").topics
    with WorkerProcess(house.folder_of("worker"), house.written_for("worker")) as worker:
        worker.wait_ready(2)
        producer = house.settings("producer")
        now = {"ended_at": wall_clock_ms()}
        for event in ({**CALL, **now}, {**CALL, **now, "outcome": "lost", "customer_id": "c"}):
            asyncio.run(write(producer, topics.interactions, json.dumps(event).encode()))
        seen = house.run("reader", "tail", "kpis", "--from-beginning", "--limit", "1")
        assert (seen.returncode, "handled" in seen.stdout) == (0, True), seen.stderr
        letter = house.run("support", "tail", "dead-letters", "--from-beginning", "--limit", "1")
        assert (letter.returncode, "lost" in letter.stdout) == (0, True), letter.stderr
        back = house.run("mender", "dead-letters", "replay")
        assert "1 sent, 0 left, 0 dealt with before" in back.stdout, back.stderr
        wait_until(lambda: again(house) == "1", 30, "the slip to be refused again")
        text = worker.log.read_text()
        assert "uthorization" not in text
        assert worker.stop() == 0, text[-3_000:]
    reading = asyncio.run(read(house.settings("reader"), topics.kpis, "kpi-reader-wall"))
    assert reading is not None


@pytest.mark.timeout(120)
def test_leads_can_be_told(house: House) -> None:
    """The notifier reads alerts and the roster, keeps what it told, and goes on from there."""
    topic, bootstrap = house.written["topics"]["alerts"], house.broker.broker.bootstrap
    waits = {"group_wait": "100ms", "group_interval": "300ms"}
    with Webhook() as webhook:
        direct = {"leads": {"*": [f"json://127.0.0.1:{webhook.port}/"]}, **waits}
        own = {
            **house.written_for("notify"),
            "notify": {"direct": direct, "roster_topic": "roster"},
        }
        with NotifierProcess(house.folder / "notifier", own) as notifier:
            send(bootstrap, [sent(topic, record())])
            wait_until(lambda: bool(webhook.told), 40, "the lead is told")
            assert "uthorization" not in notifier.log.read_text()
            notifier.kill()
            send(bootstrap, [sent(topic, record("firing", "a-18"))])
            notifier.start()
            wait_until(lambda: len(webhook.told) > 1, 40, "the lead is told after a restart")
            assert "uthorization" not in notifier.log.read_text()


def again(house: House) -> str | None:
    """How often the last dead letter was sent back."""
    line = ("tail", "dead-letters", "--from-beginning", "--no-follow", "--format", "jsonl")
    letters = house.run("support", *line).stdout.splitlines()
    return str(json.loads(letters[-1])["replays"]) if len(letters) > 1 else None


WRITES: Final = {
    "producer": ("kpis", "agent_facts", "dead_letters", "kpi-rows-changelog"),
    "worker": ("interactions", "surveys", "kpi-notified"),
    "notify": ("alerts", "kpis", "interactions", "kpi-rows-changelog"),
    "reader": ("kpis", "alerts", "interactions", "dead_letters"),
    "support": ("dead_letters", "interactions", "kpis"),
    "mender": ("dead_letters", "kpis", "alerts", "kpi-rows-changelog"),
}
READS: Final = {
    "producer": ("interactions", "kpis", "dead_letters"),
    "worker": ("kpis", "alerts", "dead_letters"),
    "notify": ("kpis", "interactions", "dead_letters"),
    "reader": ("interactions", "surveys", "dead_letters", "kpi-rows-changelog"),
    "support": ("interactions", "kpis", "alerts"),
    "mender": ("interactions", "kpis", "alerts"),
}


def test_nobody_writes_what_is_not_theirs(house: House) -> None:
    """Results are the worker's, events the producers', state its owner's."""
    tried = {(u, topic): write(house.settings(u), topic) for u in USERS for topic in WRITES[u]}
    assert allowed(tried) == []


def test_nobody_reads_what_is_not_theirs(house: House) -> None:
    """What customers wrote least of all. There is a record in each, that an administrator wrote."""
    admin = load_settings(house.folder)
    for topic in {topic for topics in READS.values() for topic in topics}:
        asyncio.run(write(admin, topic))
    tried = {(u, topic): read(house.settings(u), topic) for u in USERS for topic in READS[u]}
    assert allowed(tried) == []


def allowed(tried: Mapping[Any, Coroutine[Any, Any, object]]) -> list[Any]:
    """Which of these come to anything; aiokafka tries in vain for as long as it is let."""

    async def run() -> list[Any]:
        outcomes: list[Any] = await asyncio.gather(*tried.values(), return_exceptions=True)
        return outcomes

    outcomes = dict(zip(tried, asyncio.run(run()), strict=True))
    for outcome in outcomes.values():
        if isinstance(outcome, Exception) and not isinstance(outcome, KafkaError | TimeoutError):
            raise outcome
    return [what for what, outcome in outcomes.items() if not isinstance(outcome, Exception)]


@pytest.mark.parametrize(
    ("user", "group"), [("reader", "kpi"), ("reader", "other"), ("support", "kpi-reader-wall")]
)
def test_nobody_joins_another_group(house: House, user: str, group: str) -> None:
    """A reader in the worker's group would take partitions away from it."""
    settings = house.settings(user)
    topic = "kpis" if user == "reader" else "dead_letters"
    assert allowed({group: read(settings, topic, group)}) == []


@pytest.mark.parametrize(
    ("user", "topic", "name"),
    [("mender", "interactions", "kpi-rows-0"), ("notify", "kpi-notified", "kpi-rollups-1")],
)
def test_nobody_fences_another(house: House, user: str, topic: str, name: str) -> None:
    """Who may start a producer of the worker's name could stop it."""
    assert allowed({name: write(house.settings(user), topic, name=name)}) == []


def test_a_refusal_is_said(house: House) -> None:
    """As a line, and not as a wait for a topic that never comes."""
    result = house.run("reader", "tail", "dead-letters", "--from-beginning")
    assert (result.returncode, result.stdout) == (1, "")
    assert re.search("topic 'dead_letters' is not at .*, or we may not read it", result.stderr)
    result = house.run("support", "dead-letters", "replay")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
