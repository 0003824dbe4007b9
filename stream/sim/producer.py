"""A transactional producer as aiokafka's behaves, its faults included."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from aiokafka.errors import (
    IllegalOperation,
    InvalidProducerEpoch,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    RequestTimedOutError,
)
from faust.types import TP

from stream.sim.broker import Broker
from stream.sim.log import Content

BATCH_BYTES: Final = 16 * 1024

State = Literal["new", "ready", "open", "ending", "fatal"]


class Metadata(NamedTuple):
    """What a delivery future brings."""

    topic: str
    partition: int
    offset: int


class Batch:
    """Records for one partition; full at a size."""

    def __init__(self) -> None:
        """Empty."""
        self.contents: list[Content] = []
        self._bytes = 0

    @property
    def _builder(self) -> Batch:
        """What aiokafka puts records with; deliveries turn to it directly."""
        return self

    def append(
        self,
        offset: int,
        timestamp: object,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[Any],
    ) -> object | None:
        """Adds a record; None where it does not fit any more."""
        del offset, timestamp
        size = len(key or b"") + len(value or b"")
        if self.contents and self._bytes + size > BATCH_BYTES:
            return None
        self._bytes += size
        self.contents.append((key, value, tuple(headers)))
        return self


class SimProducer:
    """One producer. After a failure it is of no use: its sequence numbers are off.

    aiokafka's faults in it: a failed batch does not keep the transaction from committing; who is
    fenced learns it from a future, an assertion or an `IllegalOperation`; what timed out may have
    got through; a commit whose answer is lost may have been one.
    """

    def __init__(self, broker: Broker, owner: str) -> None:
        """Not started."""
        self._broker = broker
        self._network = broker.network
        self._owner = owner
        self._epoch = -1
        self._state: State = "new"
        self._last: dict[TP, asyncio.Future[Any]] = {}
        self._broken: set[TP] = set()
        self._sent = False

    async def start(self) -> None:
        """Fences whoever used the id before."""
        coordinator = self._broker.coordinator
        self._epoch = await self._network.ask(
            lambda: coordinator.begin(self._owner), patient=self._network.rng.random() < 0.5
        )
        self._state = "ready"

    async def stop(self) -> None:
        """Lets go; what is under way is Kafka's to end."""
        self._state = "fatal"
        await asyncio.sleep(0)

    @staticmethod
    def create_batch() -> Batch:
        """An empty batch."""
        return Batch()

    async def begin_transaction(self) -> None:
        """Sends nothing yet."""
        self._go("ready", "open")
        self._sent = False

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        """Sends a batch after those for the same partition; the future brings what came of it."""
        if self._network.hits(0.2):
            await asyncio.sleep(self._network.delay())
        if self._state != "open":
            message = "Can't send messages while not in transaction"
            raise IllegalOperation(message)
        self._sent = True
        place = TP(topic, partition)
        previous = self._last.get(place)
        answer = self._last[place] = self._network.loop.create_future()
        if previous is None or previous.done():
            self._dispatch(place, batch, answer)
        else:
            previous.add_done_callback(lambda _: self._dispatch(place, batch, answer))
        return answer

    def _dispatch(self, place: TP, batch: Batch, answer: asyncio.Future[Any]) -> None:
        """One request at a time for a partition, so that order and sequence numbers hold."""
        fails = self._network.hits(self._network.weather.batch_fails)
        gets_through = fails and self._network.rng.random() < 0.5
        self._network.send(
            lambda: self._produce(place, batch, fails=fails, gets_through=gets_through),
            future=answer,
        )

    async def send_offsets_to_transaction(self, offsets: Mapping[Any, Any], group: str) -> None:
        """The group's offsets, to be visible with the rest."""
        del group
        if self._state != "open":
            message = "Not in the middle of a transaction"
            raise IllegalOperation(message)
        self._sent = True
        plain = {TP(*place): at.offset for place, at in offsets.items()}
        await self._ask(
            lambda: self._broker.coordinator.add_offsets(self._owner, self._epoch, plain),
            self._network.weather.offsets_fail,
        )

    async def commit_transaction(self) -> None:
        """Ends it, also where batches have failed."""
        await self._end(commit=True)

    async def abort_transaction(self) -> None:
        """Ends it without a trace."""
        await self._end(commit=False)

    async def _end(self, *, commit: bool) -> None:
        self._go("open", "ending")
        if self._sent:
            await self._ask(
                lambda: self._broker.coordinator.end(self._owner, self._epoch, commit=commit),
                self._network.weather.end_fails if commit else 0.0,
            )
        self._go("ending", "ready")

    async def _ask(self, act: Any, chance: float) -> None:
        """A request to the coordinator; it may be lost on either way."""
        fails = self._network.hits(chance)
        acts = not fails or self._network.rng.random() < 0.6
        try:
            await self._network.ask(act if acts else _nothing)
        except InvalidProducerEpoch as error:
            self._state = "fatal"
            raise ProducerFenced from error
        if fails:
            self._broker.trace.count("answers lost" if acts else "requests lost")
            lost: KafkaError = self._network.rng.choice(
                (KafkaConnectionError, RequestTimedOutError)
            )()
            raise lost

    def _produce(self, place: TP, batch: Batch, *, fails: bool, gets_through: bool) -> Metadata:
        """At the broker."""
        if place in self._broken:
            raise OutOfOrderSequenceNumber
        offset = -1
        if not fails or gets_through:
            try:
                offset = self._broker.coordinator.produce(
                    self._owner, self._epoch, place, batch.contents
                )
            except InvalidProducerEpoch as error:
                if self._network.rng.random() < 0.5:  # learnt on adding the partition
                    self._state = "fatal"
                raise ProducerFenced from error
        if fails:
            self._broker.trace.count("batches failed")
            if gets_through:
                raise KafkaTimeoutError
            self._broken.add(place)
            raise self._a_failure()
        return Metadata(place.topic, place.partition, offset)

    def _a_failure(self) -> KafkaError:
        kinds = (KafkaTimeoutError, MessageSizeTooLargeError, RequestTimedOutError)
        made: KafkaError = self._network.rng.choice(kinds)()
        return made

    def _go(self, source: State, target: State) -> None:
        assert self._state == source, f"Invalid state transition {self._state} -> {target}"
        self._state = target


def _nothing() -> None:
    """A request that was lost."""
