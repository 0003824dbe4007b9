"""Sends dead letters back to the topics they came from, each once.

A transaction holds the records of a chunk and the account of them, so that a run that is killed
leaves either both or neither, and the next one goes on from there. Its producer's start fences a
run that is still under way. On brokers without transactions the account follows the records: what
a killed run had sent since the last account is then sent again, and the worker drops it, since it
counts an `event_id` once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    CorruptRecordException,
    InvalidTimestampError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
    UnknownError,
)
from faust.types import TP

from stream.config import Settings
from stream.kafka.clients import Clients, KafkaClients, lasting_producer
from stream.kafka.deadletters import DeadLetter, read_letter, resubmission
from stream.kafka.delivery import Flush, Outgoing
from stream.kafka.recovery import read_latest
from stream.kafka.replayed import Account, Selection, decode_account, encode_account
from stream.kafka.topicconfig import COMPACTED
from stream.kafka.topicids import topic_ids
from stream.kafka.topicreader import BEGINNING, TopicReader, open_topic
from stream.kafka.topology import administration, create_topics, partition_counts
from stream.kafka.transactions import FencedError, discard, send_all, start_fencing

CHUNK_RECORDS: Final = 500
CHUNK_BYTES: Final = 1024 * 1024
# What one record may provoke, which another try does not mend.
_UNFIT: Final = (
    CorruptRecordException,
    InvalidTimestampError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownError,
)


@dataclass(slots=True)
class Report:
    """What a run came to: letters `sent` by topic and reason, `left` by why, `done` before."""

    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    done: int = 0


class Writer:
    """Sends chunks, each whole or not at all where the broker has transactions."""

    def __init__(self, settings: Settings, clients: Clients) -> None:
        """Connects to nothing yet."""
        self._settings = settings
        self._clients = clients
        self._producer: AIOKafkaProducer | None = None
        self._is_exact = settings.delivery == "exactly_once"

    async def open(self) -> None:
        """Takes over from a run that is still under way, if there is one."""
        await self.close()
        if self._is_exact:
            name = f"{self._settings.app}-dead-letters-replay"
            self._producer = await start_fencing(self._clients, name)
        else:
            self._producer = lasting_producer(self._settings)
            await self._producer.start()

    async def close(self) -> None:
        """Gives the producer up, and what it had not committed."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await discard(producer)

    async def write(self, flush: Flush) -> None:
        """Sends a chunk and the account of it; a producer that failed is not used again."""
        if self._producer is None:
            await self.open()
        producer = self._producer
        assert producer is not None
        try:
            if self._is_exact:
                await producer.begin_transaction()
                await send_all(producer, flush)
                await producer.commit_transaction()
            else:
                await send_all(producer, Flush(flush.partition, outputs=flush.outputs))
                await send_all(producer, Flush(flush.partition, states=flush.states))
        except (ProducerFenced, AssertionError) as error:  # it asserts where it was fenced before
            await self.close()
            raise FencedError("another run of `dead-letters replay` has taken over") from error
        except BaseException:
            await self.close()
            raise


class Resubmission:
    """One run."""

    def __init__(
        self,
        settings: Settings,
        selection: Selection,
        inputs: Mapping[str, int],
        accounts: dict[int, Account],
        writer: Writer | None,
    ) -> None:
        """`inputs`: partitions by topic to which may be sent; without a `writer` nothing is."""
        self.report = Report()
        self._selection = selection
        self._inputs = inputs
        self._accounts = accounts
        self._ledger = TP(settings.replayed, 0)
        self._writer = writer

    async def run(self, reader: TopicReader, limit: int | None) -> None:
        """Goes through the letters that were there when the reading began, `limit` at most."""
        chunk: list[DeadLetter] = []
        size, found = 0, 0
        async for record in reader.records(follow=False):
            letter = read_letter(record)
            if letter is None:
                self.report.left["not written by a worker"] += 1
            elif self._is_due(letter):
                chunk.append(letter)
                found, size = found + 1, size + len(letter.value or b"")
            if len(chunk) >= CHUNK_RECORDS or size >= CHUNK_BYTES:
                await self._deal_with(chunk)
                chunk, size = [], 0
            if found == limit:
                break
        if chunk:
            await self._deal_with(chunk)

    def _is_due(self, letter: DeadLetter) -> bool:
        if not self._selection.takes(letter):
            return False
        is_done = self._accounts[letter.place[0]].has(letter)
        self.report.done += is_done
        return not is_done

    async def _deal_with(self, chunk: Sequence[DeadLetter]) -> None:
        """All at once, or one by one where that shows which of them cannot be sent."""
        try:
            await self._send(chunk)
        except _UNFIT as error:
            if len(chunk) == 1:
                await self._leave(chunk[0], type(error).__name__)
            else:
                for letter in chunk:
                    await self._deal_with([letter])

    async def _send(self, chunk: Sequence[DeadLetter]) -> None:
        whole = [letter for letter in chunk if not letter.is_left_out]
        sendable = [letter for letter in whole if letter.origin.topic in self._inputs]
        flush = Flush(0)
        for letter in sendable:
            flush.outputs.setdefault(self._place(letter), []).append(resubmission(letter))
        unknown = [letter for letter in whole if letter.origin.topic not in self._inputs]
        left_out = [letter for letter in chunk if letter.is_left_out]
        await self._write(flush, sendable, [*unknown, *left_out])
        for letter in sendable:
            self.report.sent[letter.origin.topic, letter.reason] += 1
        for letter in unknown:
            self.report.left[f"topic {letter.origin.topic!r} is none of the inputs"] += 1
        for letter in left_out:
            self.report.left[f"too large, it is only in {letter.origin.topic}"] += 1

    async def _leave(self, letter: DeadLetter, why: str) -> None:
        await self._write(Flush(0), [], [letter])
        self.report.left[f"{letter.origin.topic} refuses it: {why}"] += 1

    async def _write(
        self, flush: Flush, sent: Sequence[DeadLetter], left: Sequence[DeadLetter]
    ) -> None:
        if self._writer is None:
            return
        accounts = dict(self._accounts)
        for partition in {letter.place[0] for letter in (*sent, *left)}:
            offsets = [[o for p, o in _places(some) if p == partition] for some in (sent, left)]
            end = max(max(some, default=-1) for some in offsets) + 1
            accounts[partition] = accounts[partition].after(self._selection, end, *offsets)
            account = Outgoing(str(partition).encode(), encode_account(accounts[partition]))
            flush.states.setdefault(self._ledger, []).append(account)
        await self._writer.write(flush)
        self._accounts = accounts

    def _place(self, letter: DeadLetter) -> TP:
        """Where it was; in its order, where it can be."""
        topic, partition, *_ = letter.origin
        return TP(topic, partition % self._inputs[topic])


def _places(letters: Sequence[DeadLetter]) -> list[tuple[int, int]]:
    return [letter.place for letter in letters]


async def resubmit(
    settings: Settings, selection: Selection, *, limit: int | None = None, dry_run: bool = False
) -> Report:
    """Sends the selected letters that no run has sent before; `dry_run` only counts them.

    Raises:
        TopologyError: if no broker answers or lets us in, or the letters' topic is not there.
        DeliveryError: if the broker gives no transactions, or another run has taken over.
    """
    clients, letters = KafkaClients(settings), settings.topics.dead_letters
    async with administration(settings, tries=1) as admin:
        counts = await partition_counts(admin)
        if settings.replayed not in counts and not dry_run:
            counts = await create_topics(admin, settings, {settings.replayed: COMPACTED}, 1)
        topic_id = (await topic_ids(admin, [letters])).get(letters, "")
    topics = settings.topics
    names = (topics.interactions, topics.surveys, topics.agent_facts)
    inputs = {name: counts[name] for name in names if name in counts}
    writer = None if dry_run else Writer(settings, clients)
    try:
        if writer is not None:
            await writer.open()  # first: what another run commits after this is refused
        is_there = settings.replayed in counts
        ledger = TP(settings.replayed, 0)
        stored = (await read_latest(clients, ledger)).values if is_there else {}
        async with open_topic(settings, letters, BEGINNING) as reader:
            accounts = _accounts(stored, topic_id, reader.starts)
            run = Resubmission(settings, selection, inputs, accounts, writer)
            await run.run(reader, limit)
    finally:
        if writer is not None:
            await writer.close()
    return run.report


def _accounts(
    stored: Mapping[bytes, bytes], topic_id: str, starts: Mapping[TP, int]
) -> dict[int, Account]:
    """Each partition's account; a new one where the topic is not the one that it is of."""
    accounts = {}
    for place, start in starts.items():
        value = stored.get(str(place.partition).encode())
        account = Account(topic_id=topic_id) if value is None else decode_account(value)
        same = account.topic_id == topic_id
        accounts[place.partition] = (
            account.from_offset(start) if same else Account(topic_id=topic_id)
        )
    return accounts
