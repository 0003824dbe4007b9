"""Sends the load minute by minute with clock records, and notes every acknowledgement."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Self

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream.config import Settings
from stream.core.windows import MINUTE_MS
from stream.kafka.clocks import CLOCK_KEY
from tests.chaos.load import Planned

SERIAL: Final = "serial"
UNACKNOWLEDGED_MAX: Final = 20_000
# Longer than the longest time that the broker is away.
SEND_TIMEOUT_MS: Final = 180_000
Place = tuple[str, int, int]


class Feed:
    """The producer's side of the history.

    Event time goes on at `speed`, but never beyond `allowed_ms`: so faults and load keep pace.
    """

    def __init__(
        self, settings: Settings, planned: Sequence[Planned], start_ms: int, speed: float
    ) -> None:
        self.now_ms = self.allowed_ms = start_ms
        self.acknowledged: dict[int, Place] = {}
        self.failed = 0
        self.sent = 0
        self._waiting = deque(planned)
        self._speed = speed
        self._partitions = settings.partitions
        topics = settings.topics
        self._topics = {"interaction": topics.interactions, "survey": topics.surveys}
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.broker,
            enable_idempotence=True,
            linger_ms=5,
            request_timeout_ms=SEND_TIMEOUT_MS,
        )
        self._pending: set[asyncio.Future[Any]] = set()

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def run(self, until_ms: int, *, settle: bool = False) -> None:
        """Sends all that is due before `until_ms` and waits until it is acknowledged."""
        await self._go_on(until_ms, self._speed, settle=settle, quiet=False)
        await self.drain()

    async def tick(self, until_ms: int, speed: float) -> None:
        """Sends clocks alone; what was due meanwhile is sent later."""
        await self._go_on(until_ms, speed, settle=True, quiet=True)
        await self.drain()

    async def wait_for(self, at_ms: int) -> None:
        """Until event time has come to `at_ms`."""
        while self.now_ms < at_ms:  # noqa: ASYNC110 - as fast as Kafka takes it
            await asyncio.sleep(0.05)

    async def drain(self) -> None:
        """Until Kafka has answered for every record."""
        while self._pending:
            await asyncio.wait(set(self._pending), timeout=5)

    async def _go_on(self, until_ms: int, speed: float, *, settle: bool, quiet: bool) -> None:
        pause_s = MINUTE_MS / 1000 / speed
        while self.now_ms < until_ms:
            began = time.monotonic()
            while not quiet and self.now_ms >= self.allowed_ms:  # noqa: ASYNC110 - moved by faults
                await asyncio.sleep(0.02)
            self.now_ms += MINUTE_MS
            while not quiet and self._waiting and self._waiting[0].send_ms < self.now_ms:
                record = self._waiting.popleft()
                headers = [(SERIAL, str(record.serial).encode())]
                await self._send(
                    record.kind, record.partition, record.key, record.value, headers, record.serial
                )
            await self._send_clocks(settle=settle and self.now_ms >= until_ms)
            await asyncio.sleep(max(0.0, pause_s - (time.monotonic() - began)))

    async def _send_clocks(self, *, settle: bool) -> None:
        now = {"now": self.now_ms, "settle": True} if settle else {"now": self.now_ms}
        for kind in self._topics:
            for partition in range(self._partitions):
                await self._send(kind, partition, CLOCK_KEY, orjson.dumps(now), [], None)

    async def _send(
        self,
        kind: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
        serial: int | None,
    ) -> None:
        while len(self._pending) > UNACKNOWLEDGED_MAX:  # noqa: ASYNC110 - Kafka's to shorten
            await asyncio.sleep(0.05)
        topic = self._topics[kind]
        self.sent += 1
        try:
            future = await self._producer.send(topic, value, key, partition, headers=headers)
        except KafkaError:
            self.failed += 1
            return
        self._pending.add(future)
        future.add_done_callback(lambda done: self._note(done, serial))

    def _note(self, done: asyncio.Future[Any], serial: int | None) -> None:
        self._pending.discard(done)
        if done.cancelled() or done.exception() is not None:
            self.failed += 1
        elif serial is not None:
            at = done.result()
            self.acknowledged[serial] = (at.topic, at.partition, at.offset)
