"""Fixtures of the notifications' tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.fetched import why_unavailable
from tests.kafka.live import written_settings
from tests.kafka_broker.broker import KafkaBroker
from tests.notify.debian import PACKAGE, program
from tests.notify.receivers import Mailbox, Webhook


@pytest.fixture(scope="session")
def alertmanager_runs() -> None:
    """Skip unless Alertmanager can run here."""
    if reason := why_unavailable(program, PACKAGE):
        pytest.skip(reason)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """Somebody to be told."""
    with Webhook() as receiver:
        yield receiver


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """Somebody to be written to."""
    with Mailbox() as receiver:
        yield receiver


@pytest.fixture
def site(kafka: KafkaBroker, topic_prefix: str) -> dict[str, Any]:
    """Settings of a site whose `alerts` topic has two partitions, so far without a record."""
    settings = written_settings(kafka.bootstrap, topic_prefix)
    asyncio.run(create_alerts(kafka.bootstrap, settings["topics"]["alerts"]))
    return settings


async def create_alerts(bootstrap: str, topic: str) -> None:
    """Makes the topic, with two partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 2, 1)])
    finally:
        await admin.close()
