"""The consumers that are shown to others, run as they are."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from aiokafka import AIOKafkaProducer

from tests.kafka.admin import committed, configure_topic, create_topics
from tests.kafka.live import Sent, send, wait_until
from tests.kafka_broker.broker import KafkaBroker
from tests.schemas.contracts import SCHEMAS

CONSUMERS = SCHEMAS / "consumers"
LINES_MAX = 40
GROUP = "kpi-stream-reader-example"


def example(path: str, **changes: Any) -> dict[str, Any]:
    """A good example, with changes."""
    document: dict[str, Any] = json.loads((SCHEMAS / "examples" / path).read_text())
    return document | changes


def abort(bootstrap: str, sent: Sent) -> None:
    """Writes a record in a transaction that is aborted."""

    async def run() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"a-{sent.topic}")
        await producer.start()
        await producer.begin_transaction()
        await producer.send_and_wait(sent.topic, sent.value, key=sent.key, partition=0)
        await producer.abort_transaction()
        await producer.stop()

    asyncio.run(run())


def test_they_are_short() -> None:
    """To be read in one go."""
    lengths = {file.name: len(file.read_text().splitlines()) for file in CONSUMERS.glob("*.py")}
    assert set(lengths) == {"alerts.py", "kpis.py"}
    assert max(lengths.values()) < LINES_MAX


def test_alerts_are_told_once_and_only_if_they_happened(
    kafka: KafkaBroker, topic_prefix: str
) -> None:
    """From the beginning, less what was aborted; started again, from where it was."""
    topic = f"{topic_prefix}alerts"
    create_topics(kafka.bootstrap, {topic: 2})
    firing, resolved = example("alert/good-firing.json"), example("alert/good-resolved.json")
    later = firing | {"id": "later", "a_new_field": {"of": ["a newer worker"]}}
    abort(kafka.bootstrap, Sent(topic, json.dumps(firing | {"id": "never"}).encode(), b"k"))
    true = (firing, resolved)
    send(kafka.bootstrap, [Sent(topic, json.dumps(a).encode(), b"k", 0) for a in true])
    assert told(kafka, topic, 2) == [
        f"{a['state']}: {a['scope']} {a['id']}, {a['goal']} [{a['alert_id']}]" for a in true
    ]
    send(kafka.bootstrap, [Sent(topic, json.dumps(later).encode(), b"k", 0)])
    (line,) = told(kafka, topic, 1)
    assert "later" in line


def told(kafka: KafkaBroker, topic: str, count: int) -> list[str]:
    """So many lines of the consumer of alerts, which is then ended by Ctrl-C."""
    command = [sys.executable, str(CONSUMERS / "alerts.py"), kafka.bootstrap, topic]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(count)]
        wait_until(lambda: committed(kafka.bootstrap, GROUP, topic, 0) is not None, 20, "a commit")
        process.terminate()
        return lines


def test_the_topic_is_a_table(kafka: KafkaBroker, topic_prefix: str) -> None:
    """The latest reading per key, of this version and of a newer one; without what is gone."""
    topic = f"{topic_prefix}kpis"
    create_topics(kafka.bootstrap, {topic: 2})
    configure_topic(kafka.bootstrap, topic, {"cleanup.policy": "compact"})
    agent = example("reading/good-agent.json")
    newer = example("reading/good-newer-worker.json", id="newer")
    gone, never = agent | {"id": "gone"}, agent | {"id": "never"}
    old = agent | {"kpis": {"handled": {"value": 1, "samples": 1, "definition": "handled/1"}}}
    rows = [(b"1", old), (b"2", newer), (b"3", gone), (b"1", agent), (b"3", None)]
    values = [None if row is None else json.dumps(row).encode() for _, row in rows]
    places = [int(key) % 2 for key, _ in rows]
    send(
        kafka.bootstrap,
        [Sent(topic, v, k, p) for (k, _), v, p in zip(rows, values, places, strict=True)],
    )
    abort(kafka.bootstrap, Sent(topic, json.dumps(never).encode(), b"4"))
    query = "SELECT id, count(*)::INT n, count(value)::INT v FROM kpis GROUP BY id ORDER BY id"
    found = asked(kafka, topic, query)
    for reading in (agent, newer):
        count = len(reading["kpis"])
        full = sum(figure["value"] is not None for figure in reading["kpis"].values())
        assert [reading["id"], str(count), str(full)] in found, found
    assert not {"gone", "never"} & {cell for row in found for cell in row}


def test_an_empty_topic_is_an_empty_table(kafka: KafkaBroker, topic_prefix: str) -> None:
    """As before the first contact of a day."""
    topic = f"{topic_prefix}kpis"
    create_topics(kafka.bootstrap, {topic: 1})
    assert ["0"] in asked(kafka, topic, "SELECT count(*) FROM kpis")


def asked(kafka: KafkaBroker, topic: str, query: str) -> list[list[str]]:
    """The cells of the rows that DuckDB draws."""
    command = [sys.executable, str(CONSUMERS / "kpis.py"), kafka.bootstrap, query, topic]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
