"""The broker that the other tests rely on does what Kafka does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.kafka_broker.broker import _java_major

if TYPE_CHECKING:
    from tests.conftest import NewKafka
    from tests.kafka_broker.broker import KafkaBroker


async def create(bootstrap: str, topic: str) -> None:
    """Make a topic of one partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, value: bytes) -> None:
    """Append one record in a transaction, which needs the coordinator's own topic."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=topic)
    async with producer, producer.transaction():
        await producer.send_and_wait(topic, value)


async def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """The first `count` values."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
    async with consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        return [(await consumer.getone()).value for _ in range(count)]


def test_records_go_in_and_come_out(kafka: KafkaBroker, topic_prefix: str) -> None:
    """A topic made, a record written in a transaction, and the record read."""

    async def scenario() -> list[bytes]:
        topic = f"{topic_prefix}in"
        await create(kafka.bootstrap, topic)
        await produce(kafka.bootstrap, topic, b"one")
        return await consume(kafka.bootstrap, topic, 1)

    assert asyncio.run(scenario()) == [b"one"]


def test_data_survive_a_stop_and_a_kill(new_kafka: NewKafka, topic_prefix: str) -> None:
    """Each record written before a stop, a kill or a restart is there after it."""

    async def scenario() -> list[bytes]:
        broker = await asyncio.to_thread(new_kafka)
        topic = f"{topic_prefix}in"
        await create(broker.bootstrap, topic)
        await produce(broker.bootstrap, topic, b"before a stop")
        await asyncio.to_thread(broker.stop)
        await asyncio.to_thread(broker.start)
        await produce(broker.bootstrap, topic, b"before a kill")
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.restart)
        return await consume(broker.bootstrap, topic, 2)

    assert asyncio.run(scenario()) == [b"before a stop", b"before a kill"]


def test_java_says_its_version_in_many_ways() -> None:
    """The major version is read from every vendor's first line."""
    assert _java_major('openjdk version "17.0.15" 2025-04-15') == 17
    assert _java_major('java version "21" 2023-09-19 LTS') == 21
    assert _java_major('java version "1.8.0_401"') == 1
    assert _java_major("no java here") == 0
