"""The Kafka clients of our own that a partition's flush and recovery use.

One seam for both: the simulation puts a Kafka of its own behind it.
"""

from __future__ import annotations

from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from stream.config import Settings
from stream.kafka.connection import connection_options
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


class KafkaClients:
    """Clients of the broker that the settings name."""

    def __init__(self, settings: Settings) -> None:
        """Connects to nothing yet."""
        self._settings = settings

    def producer(self, transactional_id: str) -> AIOKafkaProducer:
        """A transactional producer."""
        return AIOKafkaProducer(
            **self._options(),
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            max_batch_size=256 * 1024,
            max_request_size=2 * RECORD_BYTES_MAX,
        )

    def reader(self) -> AIOKafkaConsumer:
        """A consumer of committed records, of no group."""
        return AIOKafkaConsumer(
            **self._options(),
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=8 * 1024 * 1024,
            fetch_max_wait_ms=50,
        )

    def _options(self) -> dict[str, Any]:
        return connection_options(self._settings)
