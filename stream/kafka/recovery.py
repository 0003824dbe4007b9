"""Reads a partition's changelog back, to its end, with a plain consumer of its own.

Faust's own recovery reads 12,000 rows/s, never ends on a transactional changelog and hangs on a
compacted one (faust-streaming#597, #176, #432): it waits for an offset that no record has. Here
the consumer's *position* is compared with the end offset.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from stream.core.alerts import AlertState
from stream.core.verdicts import AlertKey
from stream.kafka.clients import Clients
from stream.kafka.codec import (
    ALERT,
    CHECKPOINT_KEY,
    Checkpoint,
    decode_alert_key,
    decode_alert_state,
    decode_checkpoint,
)
from stream.kafka.rowcodec import ROW
from stream.kafka.topology import Topology

log = logging.getLogger(__name__)


_REMEDY: Final = "Start under another `app` name to count everything anew"


class DisagreementError(Exception):
    """Stored state, committed offsets and topics do not fit together; says how.

    Going on would count a gap or count twice without a word: `earliest` resets in silence.
    """


class OffsetsBehindError(DisagreementError):
    """The group's offsets are behind the state they were written with: so far, or reset."""


class Progress(NamedTuple):
    """Where the group stands in one input topic partition, and where that begins and ends."""

    committed: int | None
    beginning: int
    end: int


class Group(Protocol):
    """What is asked of the group's consumer at recovery."""

    async def committed(self, tp: TP) -> int | None:
        """The group's committed offset, `None` where there is none."""
        ...

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        """Where partitions begin."""
        ...

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        """Where partitions end."""
        ...


class StoredState(NamedTuple):
    """What a changelog partition holds: encoded rows, alerts under way, and the checkpoint."""

    rows: dict[bytes, bytes]
    alerts: dict[AlertKey, AlertState]
    checkpoint: Checkpoint | None


def check_agreement(
    state: StoredState,
    progress: Mapping[str, Progress],
    partition: int,
    *,
    topology: Topology,
    exact: bool,
) -> None:
    """Compares the checkpoint with the committed offsets of each topic, and both with the topic.

    With transactions both were written as one and have to be equal; without, a crash can leave
    the offsets behind, which repeats and harms nothing.

    Raises:
        DisagreementError: naming the topic, and what is likely to have happened to it.
    """
    checkpoint = state.checkpoint
    if checkpoint is not None and checkpoint.partitions != topology.partitions:
        raise DisagreementError(
            f"the stored state is of {checkpoint.partitions} partitions, the topics have "
            f"{topology.partitions}: an agent's events are elsewhere now. {_REMEDY}"
        )
    for topic, known in checkpoint.topic_ids.items() if checkpoint is not None else ():
        if topology.ids.get(topic, known) != known:
            raise DisagreementError(
                f"{topic} is not the topic that was counted, but another of its name: it was "
                f"deleted and made again. {_REMEDY}"
            )
    for topic, place in progress.items():
        included = None if checkpoint is None else checkpoint.offsets.get(topic, 0)
        _check_topic(f"{topic}[{partition}]", place, included, exact=exact)


def _check_topic(name: str, place: Progress, included: int | None, *, exact: bool) -> None:
    """`included`: up to where the stored state goes; None where there is none."""
    committed = place.committed or 0
    if committed > place.end:
        raise DisagreementError(
            f"{name} ends at {place.end}, but offset {committed} is committed: was the topic "
            f"recreated? {_REMEDY}"
        )
    if included is None and place.committed is not None:
        raise DisagreementError(
            f"offset {committed} of {name} is committed, but the changelog holds no state: was "
            f"it deleted? {_REMEDY}"
        )
    if committed != (included or 0) and (exact or committed > (included or 0)):
        behind = committed < (included or 0)
        raise (OffsetsBehindError if behind else DisagreementError)(
            f"the stored state includes {name} up to {included or 0}, but offset {committed} is "
            f"committed: were the group's offsets reset, or the topic recreated? {_REMEDY}"
        )
    if place.committed is not None and committed < place.beginning:
        log.warning(
            "%s begins at %d: records %d to %d were deleted before they were counted",
            *(name, place.beginning, committed, place.beginning - 1),
        )


class Latest(NamedTuple):
    """The last value of every key, and the first offset that was not read."""

    values: dict[bytes, bytes]
    end: int


async def progress_of(group: Group, places: Sequence[TP]) -> dict[str, Progress]:
    """Where the group stands in these, of one partition, by topic."""
    beginnings = await group.earliest_offsets(*places)
    ends = await group.highwaters(*places)
    return {
        tp.topic: Progress(await group.committed(tp), beginnings.get(tp) or 0, ends.get(tp) or 0)
        for tp in places
    }


async def read_latest(clients: Clients, place: TP) -> Latest:
    """What a partition holds, read to the end as it was when this began."""
    latest: dict[bytes, bytes] = {}
    end = 0
    async for record in read_from(clients, place, None):
        end = record.offset + 1
        if record.value is None:
            latest.pop(record.key, None)
        else:
            latest[record.key] = record.value
    return Latest(latest, end)


async def read_from(clients: Clients, place: TP, start: int | None) -> AsyncIterator[Any]:
    """The committed records of a partition from `start` (None: its beginning) to its end.

    Raises:
        DisagreementError: if it is to be read from its beginning and does not begin at 0.
    """
    consumer = clients.reader()
    tp = TopicPartition(*place)
    await consumer.start()
    try:
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        # A plain seek_to_beginning() right after assign() lost against the default reset.
        consumer.seek(tp, await _beginning(consumer, tp) if start is None else start)
        while await consumer.position(tp) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    yield record
    finally:
        await consumer.stop()


async def _beginning(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
    """Compaction leaves a log's start where it is; a start that has moved means deleted state."""
    beginning = int((await consumer.beginning_offsets([tp]))[tp])
    if beginning:
        raise DisagreementError(
            f"{tp.topic}[{tp.partition}] begins at {beginning}: state that it held was deleted, "
            f"by its retention or by hand. {_REMEDY}"
        )
    return beginning


def sort_records(latest: dict[bytes, bytes]) -> StoredState:
    """The stored state in a changelog's last values by key.

    Raises:
        UnknownFormatError: if another version wrote its checkpoint.
    """
    raw = latest.pop(CHECKPOINT_KEY, None)
    checkpoint = None if raw is None else decode_checkpoint(raw)
    alerts = {
        decode_alert_key(key): decode_alert_state(value)
        for key, value in latest.items()
        if key[:1] == ALERT
    }
    rows = {key: value for key, value in latest.items() if key[:1] == ROW}
    return StoredState(rows, alerts, checkpoint)
