"""The Kafka clients of our own that a partition's flush and recovery use.

One seam for both: the simulation puts a Kafka of its own behind it.
"""

from __future__ import annotations

from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from stream.config import Settings
from stream.kafka.connection import connection_options
from stream.kafka.headers import accept_any_header_name
from stream.kafka.topicconfig import RECORD_BYTES_MAX

TRANSACTION_TIMEOUT_MS = 10_000


class Clients(Protocol):
    """Makes clients, not yet started."""

    def producer(self, transactional_id: str) -> AIOKafkaProducer:
        """A transactional producer."""
        ...

    def reader(self) -> AIOKafkaConsumer:
        """A consumer of committed records, of no group."""
        ...


def committed_reader(settings: Settings, **options: Any) -> AIOKafkaConsumer:
    """A consumer of no group, which sees committed records only, whatever their headers' names.

    Nothing of a flush that failed or is not complete. What is deleted meanwhile it passes over.
    """
    accept_any_header_name()
    return AIOKafkaConsumer(
        **connection_options(settings),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **options,
    )


def lasting_producer(settings: Settings, **options: Any) -> AIOKafkaProducer:
    """A producer of records up to the greatest size, each of which all replicas have taken."""
    return AIOKafkaProducer(
        **connection_options(settings),
        acks="all",
        max_batch_size=256 * 1024,
        max_request_size=2 * RECORD_BYTES_MAX,
        **options,
    )


class KafkaClients:
    """Clients of the broker that the settings name."""

    def __init__(self, settings: Settings) -> None:
        """Connects to nothing yet."""
        self._settings = settings

    def producer(self, transactional_id: str) -> AIOKafkaProducer:
        """A transactional producer."""
        return lasting_producer(
            self._settings,
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        )

    def reader(self) -> AIOKafkaConsumer:
        """A consumer of committed records, of no group."""
        return committed_reader(
            self._settings, max_partition_fetch_bytes=RECORD_BYTES_MAX, fetch_max_wait_ms=50
        )
