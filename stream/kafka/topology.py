"""The topics: created where they are missing, checked where they are not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Container, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError, for_code

from stream.config import Settings
from stream.kafka.access import why_refused
from stream.kafka.connection import connection_options
from stream.kafka.topicconfig import kept_too_long, lost_state, wanted_configs
from stream.kafka.topicids import topic_ids

log = logging.getLogger(__name__)

CONNECT_TRIES: Final = 10
CONNECT_PAUSE_S: Final = 2.0
SEEN_TRIES: Final = 100
_SEEN_PAUSE_S: Final = 0.1
_ALREADY_EXISTS: Final = 36
ROWS: Final = "rows"
ROLLUPS: Final = "rollups"


class TopologyError(Exception):
    """The topics are not as they have to be; says which and how."""


class NoBrokerError(TopologyError):
    """Nobody answers, or not in time: it may pass by itself."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The topics of one worker; all inputs and the changelog have `partitions` partitions.

    Outputs that somebody else made may differ: `others`. `ids`: what tells a topic from its
    successor of the same name, where the broker says it.
    """

    interactions: str
    surveys: str
    agent_facts: str
    changelog: str
    kpis: str
    alerts: str
    dead_letters: str
    rollups: str
    rollups_changelog: str
    partitions: int
    others: Mapping[str, int] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)

    def partitions_of(self, topic: str) -> int:
        """How many partitions one of the topics has."""
        return self.others.get(topic, self.partitions)

    def lane_of(self, topic: str) -> str:
        """Which lane's stages take a topic's records in."""
        return ROLLUPS if topic == self.rollups else ROWS

    def ids_of(self, topics: Iterable[str]) -> dict[str, str]:
        """The ids of these topics, as far as the broker gives any."""
        return {topic: self.ids[topic] for topic in topics if topic in self.ids}

    @property
    def has_rollups(self) -> bool:
        """Whether scopes lie on several partitions, so that their parts have to be added up."""
        return self.partitions > 1

    @property
    def consumed(self) -> tuple[str, ...]:
        """All topics that a worker is a group's member for."""
        return (*self.inputs, self.rollups) if self.has_rollups else self.inputs

    @property
    def inputs(self) -> tuple[str, str, str]:
        """The topics that a partition is fed from."""
        return self.interactions, self.surveys, self.agent_facts


async def prepare(settings: Settings) -> Topology:
    """Connects, creates the topics that are missing and checks the rest.

    Raises:
        TopologyError: if no broker answers or lets us in, or partition counts differ.
    """
    async with administration(settings) as admin:
        counts = await partition_counts(admin)
        partitions = _common_count(counts, settings)
        wanted = wanted_configs(settings, with_rollups=partitions > 1)
        await _check_policies(admin, settings, counts)
        if missing := [name for name in wanted if name not in counts]:
            new = {name: wanted[name] for name in missing}
            counts = await create_topics(admin, settings, new, partitions)
            partitions = _common_count(counts, settings)
        ids = await topic_ids(admin, wanted)
    others = {t: counts[t] for t in wanted if counts[t] != partitions}
    return replace(topology_of(settings, partitions), others=others, ids=ids)


def topology_of(settings: Settings, partitions: int) -> Topology:
    """The topics that the settings name, all of them with so many partitions."""
    topics = settings.topics
    return Topology(
        interactions=topics.interactions,
        surveys=topics.surveys,
        agent_facts=topics.agent_facts,
        changelog=settings.changelog,
        kpis=topics.kpis,
        alerts=topics.alerts,
        dead_letters=topics.dead_letters,
        rollups=settings.rollups,
        rollups_changelog=settings.rollups_changelog,
        partitions=partitions,
    )


def _kept(settings: Settings) -> tuple[str, ...]:
    """The topics that hold state."""
    return settings.changelog, settings.rollups, settings.rollups_changelog


async def _check_policies(
    admin: AIOKafkaAdminClient, settings: Settings, topics: Container[str]
) -> None:
    letters, kept = settings.topics.dead_letters, _kept(settings)
    there = [name for name in (*kept, letters) if name in topics]
    for topic, found in (await _configs(admin, there)).items():
        if topic in kept and (fault := lost_state(topic, found)):
            raise TopologyError(fault)
        if topic == letters and (
            slip := kept_too_long(topic, found, settings.dead_letter_retention)
        ):
            log.warning(slip)


async def _configs(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, dict[str, str]]:
    """Each topic's configuration; empty where we may not ask."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for answer in (await admin.describe_configs(asked) if asked else ())
        for *_, name, entries in answer.resources
    }


def _inputs(settings: Settings) -> tuple[str, ...]:
    topics = settings.topics
    return (
        topics.interactions,
        topics.surveys,
        topics.agent_facts,
        settings.changelog,
        settings.rollups,
        settings.rollups_changelog,
    )


def _admin(settings: Settings) -> AIOKafkaAdminClient:
    try:
        return AIOKafkaAdminClient(**connection_options(settings))
    except (OSError, ValueError) as error:
        raise TopologyError(f"setting 'security': {error}") from error


@asynccontextmanager
async def administration(
    settings: Settings, tries: int | None = None
) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that asks about topics and creates them.

    `tries`: by default many, for services that start before their broker; a person tries again.

    Raises:
        NoBrokerError: if no broker answers.
        TopologyError: if none lets us in.
    """
    admin = await _connect(settings, tries or CONNECT_TRIES)
    try:
        yield admin
    finally:
        await admin.close()


async def _connect(settings: Settings, tries: int) -> AIOKafkaAdminClient:
    for attempt in range(1, tries + 1):
        admin = _admin(settings)
        try:
            await admin.start()
        except (KafkaConnectionError, NodeNotReadyError, OSError) as error:
            await admin.close()
            if reason := await why_refused(settings):
                raise TopologyError(reason) from error
            if tries > 1:
                said = "no broker answers at %s (try %d of %d): %s"
                log.warning(said, settings.broker, attempt, tries, error)
            if attempt < tries:
                await asyncio.sleep(CONNECT_PAUSE_S)
        else:
            return admin
    often = f" after {tries} tries" if tries > 1 else ""
    message = (
        f"no Kafka broker answers at {settings.broker}{often}; "
        "is `broker` in kpi-stream.yaml (or KPI_STREAM_BROKER) right, the broker up, and "
        "`security` what it wants?"
    )
    raise NoBrokerError(message)


async def partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """How many partitions each topic has that is there and that we may see."""
    found: list[dict[str, Any]] = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in found}


async def create_topics(
    admin: AIOKafkaAdminClient,
    settings: Settings,
    missing: Mapping[str, dict[str, str]],
    partitions: int,
) -> dict[str, int]:
    """Creates topics with their configurations; one that is there by now will do.

    Returns how many partitions each topic has that is there.

    Raises:
        TopologyError: if the broker will not.
    """
    response = await admin.create_topics(
        [
            NewTopic(name, partitions, settings.replication, topic_configs=configs)
            for name, configs in missing.items()
        ]
    )
    for name, code, *_ in response.topic_errors:
        if code not in (0, _ALREADY_EXISTS):
            reason: KafkaError = for_code(code)
            message = f"topic {name!r} could not be created: {reason}"
            raise TopologyError(message)
    log.info("created topics with %d partitions: %s", partitions, ", ".join(missing))
    return await _counts_once_all_are_seen(admin, missing)


async def _counts_once_all_are_seen(
    admin: AIOKafkaAdminClient, wanted: Iterable[str]
) -> dict[str, int]:
    """A broker shows a topic a little after its controller has made it."""
    unseen: list[str] = []
    for _ in range(SEEN_TRIES):
        counts = await partition_counts(admin)
        unseen = [name for name in wanted if not counts.get(name)]
        if not unseen:
            return counts
        await asyncio.sleep(_SEEN_PAUSE_S)
    message = f"topics were created but the broker does not show them: {', '.join(unseen)}"
    raise TopologyError(message)


def _common_count(counts: Mapping[str, int], settings: Settings) -> int:
    """How many partitions the inputs and the changelog have, or are to have."""
    existing = {topic: counts[topic] for topic in _inputs(settings) if topic in counts}
    if len(set(existing.values())) > 1:
        listed = ", ".join(f"{topic} has {count}" for topic, count in existing.items())
        message = (
            f"all input topics and the changelog of {settings.app!r} need the same number of "
            f"partitions, but {listed}"
        )
        raise TopologyError(message)
    return next(iter(existing.values()), settings.partitions)
