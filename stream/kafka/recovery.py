"""Reads a partition's changelog back, to its end, with a plain consumer of its own.

Faust's own recovery reads 12,000 rows/s, never ends on a transactional changelog and hangs on a
compacted one (faust-streaming#597, #176, #432): it waits for an offset that no record has. Here
the consumer's *position* is compared with the end offset.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple

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

REMEDY: Final = "Start under another `app` name to count everything anew"


class DisagreementError(Exception):
    """Stored state, committed offsets and topics do not fit together; says how.

    Going on would count a gap or count twice without a word: `earliest` resets in silence.
    """


class StoredState(NamedTuple):
    """What a changelog partition holds: encoded rows, alerts under way, and the checkpoint."""

    rows: dict[bytes, bytes]
    alerts: dict[AlertKey, AlertState]
    checkpoint: Checkpoint | None


class Latest(NamedTuple):
    """The last value of every key, and the first offset that was not read."""

    values: dict[bytes, bytes]
    end: int


async def read_latest(clients: Clients, place: TP) -> Latest:
    """What a partition holds, read to the end as it was when this began."""
    latest: dict[bytes, bytes | None] = {}
    end = 0
    async for records in read_from(clients, place, None):
        end = records[-1].offset + 1
        latest.update([(record.key, record.value) for record in records])
    return Latest({key: value for key, value in latest.items() if value is not None}, end)


async def read_from(clients: Clients, place: TP, start: int | None) -> AsyncIterator[Sequence[Any]]:
    """The committed records of a partition from `start` (None: its beginning) to its end.

    As they were fetched, many at a time.

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
                if records:
                    yield records
    finally:
        await consumer.stop()


async def _beginning(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
    """Compaction leaves a log's start where it is; a start that has moved means deleted state."""
    beginning = int((await consumer.beginning_offsets([tp]))[tp])
    if beginning:
        raise DisagreementError(
            f"{tp.topic}[{tp.partition}] begins at {beginning}: state that it held was deleted, "
            f"by its retention or by hand. {REMEDY}"
        )
    return beginning


def sort_records(latest: dict[bytes, bytes]) -> StoredState:
    """The stored state in a changelog's last values by key, which it takes over.

    Raises:
        UnknownFormatError: if another version wrote its checkpoint.
    """
    raw = latest.pop(CHECKPOINT_KEY, None)
    checkpoint = None if raw is None else decode_checkpoint(raw)
    others = [(key, latest.pop(key)) for key in [key for key in latest if key[:1] != ROW]]
    alerts = {
        decode_alert_key(key): decode_alert_state(value)
        for key, value in others
        if key[:1] == ALERT
    }
    return StoredState(latest, alerts, checkpoint)
