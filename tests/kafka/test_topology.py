"""Topics are created as they have to be, and refused where they are not."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from click.testing import CliRunner
from faust.types import TP

from stream.cli import main
from stream.config import Settings, load_settings
from stream.kafka import topology
from stream.kafka.partition import PartitionStage
from stream.kafka.partitioner import partition_of
from stream.kafka.topology import TopologyError, prepare
from tests.kafka.test_partition import call, stage
from tests.kafka_broker.broker import KafkaBroker
from tests.ports import free_port


def settings_of(kafka: KafkaBroker, prefix: str, **fields: Any) -> Settings:
    """Settings with topics of the test's own."""
    names = ("interactions", "surveys", "agent_facts", "kpis", "alerts", "dead_letters")
    topics = {name: f"{prefix}{name}" for name in names}
    given = {"app": f"{prefix}app", "broker": kafka.bootstrap, "topics": topics, **fields}
    return load_settings(None, **given)


async def create(kafka: KafkaBroker, counts: Mapping[str, int]) -> None:
    """Makes topics with these numbers of partitions, and waits until the broker shows them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, n, 1) for name, n in counts.items()])
        await topology._counts_once_all_are_seen(admin, counts)
    finally:
        await admin.close()


async def described(kafka: KafkaBroker, prefix: str) -> dict[str, tuple[int, dict[str, str]]]:
    """The partitions and the settings of the topics whose names start so, without the prefix."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        topics = [
            topic for topic in await admin.describe_topics() if topic["topic"].startswith(prefix)
        ]
        found = {}
        for topic in topics:
            resource = ConfigResource(ConfigResourceType.TOPIC, topic["topic"])
            (answer,) = await admin.describe_configs([resource])
            entries = answer.resources[0][-1]
            config = {entry[0]: entry[1] for entry in entries}
            found[topic["topic"].removeprefix(prefix)] = (len(topic["partitions"]), config)
        return found
    finally:
        await admin.close()


def test_missing_topics_are_created_each_with_its_cleanup_policy(
    kafka: KafkaBroker, topic_prefix: str
) -> None:
    """State and readings are compacted, events and alerts are not; what passes on may be large."""
    settings = settings_of(kafka, topic_prefix, partitions=3)
    found = asyncio.run(prepare(settings))
    assert found.partitions == 3
    topics = asyncio.run(described(kafka, topic_prefix))
    compacted = {name for name, (_, conf) in topics.items() if conf["cleanup.policy"] == "compact"}
    assert {count for count, _ in topics.values()} == {3}
    ours = {"app-rows-changelog", "app-rollups", "app-rollups-changelog"}
    assert compacted == {"kpis", *ours}
    large = {name for name, (_, conf) in topics.items() if int(conf["max.message.bytes"]) > 4e6}
    assert large == {"agent_facts", "dead_letters"}
    assert found.others == {}
    assert asyncio.run(prepare(settings)) == found


def test_inputs_with_differing_partitions_are_refused_before_anything_is_made(
    kafka: KafkaBroker, topic_prefix: str
) -> None:
    """The message names the topics and their counts; no topic is left behind."""
    counts = {f"{topic_prefix}interactions": 2, f"{topic_prefix}surveys": 3}
    asyncio.run(create(kafka, counts))
    settings = settings_of(kafka, topic_prefix)
    with pytest.raises(TopologyError, match="need the same number of partitions") as refusal:
        asyncio.run(prepare(settings))
    for topic, count in counts.items():
        assert f"{topic} has {count}" in str(refusal.value)
    assert set(asyncio.run(described(kafka, topic_prefix))) == {"interactions", "surveys"}


def test_a_topic_made_again_has_its_name_and_another_id(
    kafka: KafkaBroker, topic_prefix: str
) -> None:
    """Only the id tells them apart once the new one has been filled."""
    settings = settings_of(kafka, topic_prefix, partitions=2)
    before = asyncio.run(prepare(settings))
    made = asyncio.run(described(kafka, topic_prefix))
    assert {topic.removeprefix(topic_prefix) for topic in before.ids} == set(made)
    assert asyncio.run(prepare(settings)).ids == before.ids

    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        await admin.delete_topics([before.interactions])
        while before.interactions in await admin.list_topics():  # noqa: ASYNC110 - a broker has no event
            await asyncio.sleep(0.1)
        await admin.close()

    asyncio.run(delete())
    after = asyncio.run(prepare(settings))
    assert after.ids[before.interactions] != before.ids[before.interactions]
    assert after.ids[before.surveys] == before.ids[before.surveys]


def test_a_state_topic_that_deletes_with_age_is_refused(
    kafka: KafkaBroker, topic_prefix: str
) -> None:
    """Rows would go after its retention, and their figures with them, without a word."""
    settings = settings_of(kafka, topic_prefix)
    asyncio.run(create(kafka, {settings.changelog: 4}))
    with pytest.raises(TopologyError, match=r"cleanup\.policy=delete, which would delete state"):
        asyncio.run(prepare(settings))


def test_outputs_of_somebody_elses_making_are_written_by_their_own_count(
    kafka: KafkaBroker, topic_prefix: str
) -> None:
    """A `kpis` or dead-letter topic with fewer partitions than the inputs is no obstacle."""
    outputs = {f"{topic_prefix}{name}": 1 for name in ("kpis", "alerts", "dead_letters")}
    asyncio.run(create(kafka, outputs))
    found = asyncio.run(prepare(settings_of(kafka, topic_prefix, partitions=4)))
    assert found.partitions == 4
    assert {found.partitions_of(topic) for topic in outputs} == {1}
    number = partition_of("a-1", 4)
    made = PartitionStage(replace(stage(number, 4).site, topology=found), number)
    made.catch_up()
    record = call(1, agent_id="a-1")._replace(topic=found.interactions)
    bad = record._replace(offset=2, value=b"{")
    made.apply(found.interactions, [record, bad])
    outputs_of_flush = made.freeze(1_710_504_000_000).outputs
    told = {TP(found.rollups, n) for n in range(4)}
    assert set(outputs_of_flush) == {TP(found.kpis, 0), TP(found.dead_letters, 0), *told}


def test_partitions_are_those_of_the_java_client(kafka: KafkaBroker, topic_prefix: str) -> None:
    """Where a record is expected is where a client with Kafka's own hash sends it."""
    keys = [secrets.token_hex(n) for n in range(1, 40)] + ["ä", "日本", "x" * 200]
    topic = f"{topic_prefix}keys"
    asyncio.run(create(kafka, {topic: 7}))

    async def sent() -> list[int]:
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
            futures = [await producer.send(topic, b"", key=key.encode()) for key in keys]
            return [(await future).partition for future in futures]

    assert asyncio.run(sent()) == [partition_of(key, 7) for key in keys]


def test_a_missing_broker_is_said_in_a_line_after_bounded_tries(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Exit code 1, how often it was tried, what to look at, and no traceback."""
    monkeypatch.setattr(topology, "CONNECT_TRIES", 2)
    monkeypatch.setattr(topology, "CONNECT_PAUSE_S", 0.0)
    place = f"127.0.0.1:{free_port()}"
    environment = {"KPI_STREAM_BROKER": place, "KPI_STREAM_METRICS__PORT": "0"}
    result = CliRunner(env=environment).invoke(main, ["worker"])
    assert result.exit_code == 1
    assert result.stderr.strip().splitlines()[-1] == (
        f"kpi-stream: no Kafka broker answers at {place} after 2 tries; is `broker` in "
        "kpi-stream.yaml (or KPI_STREAM_BROKER) right, the broker up, and `security` what it wants?"
    )
    tries = [record for record in caplog.records if "no broker answers" in record.message]
    assert len(tries) == 2
