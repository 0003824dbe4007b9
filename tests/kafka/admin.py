"""What an operator does to topics and groups, by plain clients."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream.kafka import topology

Answer = TypeVar("Answer")


def create_topics(bootstrap: str, counts: Mapping[str, int]) -> None:
    """Makes topics with these numbers of partitions, and waits until they are seen."""

    async def run(admin: AIOKafkaAdminClient) -> None:
        await admin.create_topics([NewTopic(name, n, 1) for name, n in counts.items()])
        await topology._counts_once_all_are_seen(admin, counts)

    _with_admin(bootstrap, run)


def delete_topic(bootstrap: str, topic: str) -> None:
    """Deletes a topic, and waits until it is gone."""

    async def run(admin: AIOKafkaAdminClient) -> None:
        await admin.delete_topics([topic])
        while topic in await admin.list_topics():  # noqa: ASYNC110 - Kafka's own time
            await asyncio.sleep(0.1)

    _with_admin(bootstrap, run)


def topics(bootstrap: str) -> set[str]:
    """The names of those that are there."""

    async def run(admin: AIOKafkaAdminClient) -> set[str]:
        return set(await admin.list_topics())

    return _with_admin(bootstrap, run)


def add_partitions(bootstrap: str, topic: str, total: int) -> None:
    """Raises a topic's number of partitions."""

    async def run(admin: AIOKafkaAdminClient) -> None:
        await admin.create_partitions({topic: NewPartitions(total)})
        await topology._counts_once_all_are_seen(admin, [topic])

    _with_admin(bootstrap, run)


def configure_topic(bootstrap: str, topic: str, config: Mapping[str, str]) -> None:
    """Sets a topic's configuration; what is not named is as by default."""

    async def run(admin: AIOKafkaAdminClient) -> None:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, dict(config))
        await admin.alter_configs([resource])

    _with_admin(bootstrap, run)


def committed(bootstrap: str, group: str, topic: str, partition: int) -> int | None:
    """The offset that a group has committed."""

    async def run(admin: AIOKafkaAdminClient) -> int | None:
        found = await admin.list_consumer_group_offsets(group)
        place = found.get(TopicPartition(topic, partition))
        return None if place is None else int(place.offset)

    return _with_admin(bootstrap, run)


def reset_offset(bootstrap: str, group: str, topic: str, partition: int) -> None:
    """Commits the beginning for a group without members, as `kafka-consumer-groups` does."""

    async def run() -> None:
        place = TopicPartition(topic, partition)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False
        )
        consumer.assign([place])
        async with consumer:
            await consumer.commit({place: 0})

    asyncio.run(run())


def _with_admin(bootstrap: str, ask: Callable[[AIOKafkaAdminClient], Awaitable[Answer]]) -> Answer:
    async def run() -> Answer:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            return await ask(admin)
        finally:
            await admin.close()

    return asyncio.run(run())
