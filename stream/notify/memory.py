"""What survives a restart: which alerts there are to tell, what was told, and how far was read.

It is kept in a compacted topic of our own, for the `alerts` topic forgets after its retention what
still fires, and no offset says what a lead was told. Every change is one transaction under one
name: a notifier that was thought dead is fenced by its heir and cannot write over what that told.
Where the broker has no transactions a change is written record by record, its offsets last: after
a crash in between, what was read is read again and changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerFenced
from faust.types import TP
from msgspec import Struct, field, json

from stream.config import Settings
from stream.kafka.clients import Clients, lasting_producer
from stream.kafka.formats import decode_stored
from stream.kafka.recovery import read_latest
from stream.notify.book import Notice

log = logging.getLogger(__name__)

FORMAT: Final = 1
_NOTICE: Final = b"n"
_TOLD: Final = b"t"
_PROGRESS: Final = b"p"


class MemoryLostError(Exception):
    """What was told can no longer be written down: going on would tell it again and again."""


class Progress(Struct, frozen=True):
    """Up to where the `alerts` topic was read: by partition, the first offset that was not."""

    format: int
    offsets: dict[str, int]
    topic_id: str = ""


class Told(Struct, frozen=True):
    """What a lead was told last: when, which alerts fire, and which are over.

    `sent_ms`: when messages were sent in the last hour.
    """

    at_ms: int
    firing: tuple[str, ...]
    over: tuple[str, ...] = ()
    sent_ms: tuple[int, ...] = ()


class Remembered(Struct):
    """All of it, as it was found."""

    notices: list[Notice] = field(default_factory=list)
    told: dict[str, Told] = field(default_factory=dict)
    progress: Progress | None = None


class Change:
    """What is to be written at once."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.records: dict[bytes, bytes | None] = {}

    def notice(self, notice: Notice) -> None:
        """This is there to tell."""
        self.records[_NOTICE + notice.alert_id.encode()] = json.encode(notice)

    def forget(self, alert_id: str) -> None:
        """That has been told."""
        self.records[_NOTICE + alert_id.encode()] = None

    def told(self, lead: str, told: Told) -> None:
        """A lead was told this."""
        self.records[_TOLD + lead.encode()] = json.encode(told)

    def progress(self, progress: Progress) -> None:
        """So far was read. Written last."""
        self.records.pop(_PROGRESS, None)
        self.records[_PROGRESS] = json.encode(progress)


class Memory:
    """The topic `<app>-notified`, which has one partition and, at a time, one writer."""

    def __init__(self, settings: Settings, clients: Clients) -> None:
        """Opens nothing yet."""
        self._settings = settings
        self._place = TP(settings.notified, 0)
        self._clients = clients
        self._in_transactions = settings.delivery == "exactly_once"
        self._producer: AIOKafkaProducer | None = None
        self._one_at_a_time = asyncio.Lock()

    async def open(self) -> Remembered:
        """Fences whoever wrote before; then reads all of it.

        Raises:
            UnknownFormatError: if another version wrote it in a format of its own.
        """
        producer = self._new_producer()
        await producer.start()
        self._producer = producer
        return remembered((await read_latest(self._clients, self._place)).values)

    async def save(self, change: Change) -> None:
        """Writes a change; on return it is durable.

        Raises:
            MemoryLostError: if another notifier has taken over, or Kafka does not take it.
        """
        if not change.records:
            return
        assert self._producer is not None, "opened before it is written to"
        try:
            async with self._one_at_a_time:
                await self._write(self._producer, change.records)
        except ProducerFenced as error:
            raise MemoryLostError("another `kpi-stream notify` of this app runs") from error
        except KafkaError as error:
            raise MemoryLostError(f"{self._place.topic} cannot be written: {error!r}") from error

    async def close(self) -> None:
        """Lets the producer go."""
        if self._producer is not None:
            await self._producer.stop()

    def _new_producer(self) -> AIOKafkaProducer:
        if self._in_transactions:
            return self._clients.producer(f"{self._settings.app}-notify")
        return lasting_producer(self._settings)

    async def _write(
        self, producer: AIOKafkaProducer, records: Mapping[bytes, bytes | None]
    ) -> None:
        if not self._in_transactions:
            for key, value in records.items():
                await producer.send_and_wait(self._place.topic, value, key, self._place.partition)
            return
        async with producer.transaction():
            sent = [
                await producer.send(self._place.topic, value, key, self._place.partition)
                for key, value in records.items()
            ]
            # aiokafka commits a transaction whose batches failed: each is asked.
            await asyncio.gather(*sent)


def remembered(records: Mapping[bytes, bytes]) -> Remembered:
    """What the last values by key say.

    Raises:
        UnknownFormatError: if another version wrote them in a format of its own.
    """
    found = Remembered()
    for key, value in records.items():
        kind, name = key[:1], key[1:].decode()
        if kind == _PROGRESS:
            found.progress = decode_stored(value, Progress, FORMAT, "what the notifier keeps")
        elif kind == _NOTICE:
            found.notices.append(json.decode(value, type=Notice))
        elif kind == _TOLD:
            found.told[name] = json.decode(value, type=Told)
    return found
