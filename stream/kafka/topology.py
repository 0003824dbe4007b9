"""The topics: created where they are missing, checked where they are not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError, for_code
from aiokafka.partitioner import murmur2

from stream.config import Settings
from stream.kafka.connection import connection_options

log = logging.getLogger(__name__)

CONNECT_TRIES: Final = 10
RECORD_BYTES_MAX: Final = 8 * 1024 * 1024
_CONNECT_PAUSE_S: Final = 2.0
_COMPACTED: Final = {"cleanup.policy": "compact"}
_ALREADY_EXISTS: Final = 36


class TopologyError(Exception):
    """The topics are not as they have to be; says which and how."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The topics of one worker; all inputs and the changelog have `partitions` partitions."""

    interactions: str
    surveys: str
    agent_facts: str
    changelog: str
    kpis: str
    alerts: str
    dead_letters: str
    partitions: int

    @property
    def inputs(self) -> tuple[str, str, str]:
        """The topics that a partition is fed from."""
        return self.interactions, self.surveys, self.agent_facts


def partition_of(key: str | bytes, partitions: int) -> int:
    """The partition of `key` by the Java client's hash, which aiokafka shares.

    librdkafka's default differs (CRC32), hence the look at every record's partition.
    """
    raw = key.encode() if isinstance(key, str) else key
    return int((murmur2(raw) & 0x7FFFFFFF) % partitions)


def changelog_name(app: str) -> str:
    """The topic in which the rows are kept, by Faust's convention for a table called `rows`."""
    return f"{app}-rows-changelog"


async def prepare(settings: Settings) -> Topology:
    """Connects, creates the topics that are missing and checks the rest.

    Raises:
        TopologyError: if no broker answers, or partition counts differ.
    """
    admin = await _connect(settings)
    try:
        counts = await _partition_counts(admin)
        wanted = _wanted(settings)
        inputs = _inputs(settings)
        existing = {topic: counts[topic] for topic in inputs if topic in counts}
        partitions = next(iter(existing.values()), settings.partitions)
        await _create(admin, settings, wanted, counts, partitions)
        _check({**dict.fromkeys(inputs, partitions), **existing}, settings)
    finally:
        await admin.close()
    topics = settings.topics
    return Topology(
        interactions=topics.interactions,
        surveys=topics.surveys,
        agent_facts=topics.agent_facts,
        changelog=changelog_name(settings.app),
        kpis=topics.kpis,
        alerts=topics.alerts,
        dead_letters=topics.dead_letters,
        partitions=partitions,
    )


def _inputs(settings: Settings) -> tuple[str, ...]:
    topics = settings.topics
    return (
        topics.interactions,
        topics.surveys,
        topics.agent_facts,
        changelog_name(settings.app),
    )


def _wanted(settings: Settings) -> dict[str, dict[str, str]]:
    """Every topic with the configuration it is created with."""
    topics = settings.topics
    return {
        topics.interactions: {},
        topics.surveys: {},
        topics.agent_facts: {},
        changelog_name(settings.app): _COMPACTED,
        topics.kpis: _COMPACTED,
        topics.alerts: {},
        # A refused record of the greatest size, with its headers, still has to fit.
        topics.dead_letters: {"max.message.bytes": str(RECORD_BYTES_MAX)},
    }


async def _connect(settings: Settings) -> AIOKafkaAdminClient:
    for attempt in range(1, CONNECT_TRIES + 1):
        admin = AIOKafkaAdminClient(**connection_options(settings))
        try:
            await admin.start()
        except (KafkaConnectionError, NodeNotReadyError, OSError) as error:
            await admin.close()
            log.warning(
                "no broker answers at %s (try %d of %d): %s",
                settings.broker,
                attempt,
                CONNECT_TRIES,
                error,
            )
            if attempt < CONNECT_TRIES:
                await asyncio.sleep(_CONNECT_PAUSE_S)
        else:
            return admin
    message = (
        f"no Kafka broker answers at {settings.broker} after {CONNECT_TRIES} tries; "
        "is `broker` in kpi-stream.yaml (or KPI_STREAM_BROKER) right, and the broker up?"
    )
    raise TopologyError(message)


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    found: list[dict[str, Any]] = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in found}


async def _create(
    admin: AIOKafkaAdminClient,
    settings: Settings,
    wanted: dict[str, dict[str, str]],
    existing: Iterable[str],
    partitions: int,
) -> None:
    missing = [name for name in wanted if name not in existing]
    if not missing:
        return
    response = await admin.create_topics(
        [
            NewTopic(name, partitions, settings.replication, topic_configs=wanted[name])
            for name in missing
        ]
    )
    for name, code, *_ in response.topic_errors:
        if code not in (0, _ALREADY_EXISTS):
            reason: KafkaError = for_code(code)
            message = f"topic {name!r} could not be created: {reason}"
            raise TopologyError(message)
    log.info("created topics with %d partitions: %s", partitions, ", ".join(missing))


def _check(counts: dict[str, int], settings: Settings) -> None:
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
        message = (
            f"all input topics and the changelog of {settings.app!r} need the same number of "
            f"partitions, but {listed}"
        )
        raise TopologyError(message)
