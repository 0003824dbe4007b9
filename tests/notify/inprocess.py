"""A notifier in the test's own process, without Kafka: records are said to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import aiohttp
from faust.types import TP
from prometheus_client import CollectorRegistry

from stream.config import Settings
from stream.notify.alertmanager import Alertmanager, receiver_name
from stream.notify.courier import Address, Courier
from stream.notify.inbox import Source
from stream.notify.memory import Change, Remembered, Told, remembered
from stream.notify.message import Wording
from stream.notify.notifier import Notifier, Receivers
from stream.notify.rosters import Rosters
from stream.notify.settings import Notify
from stream.notify.telemetry import Telemetry


class Record(NamedTuple):
    """A record of a topic, as a consumer gives it."""

    value: bytes | None
    offset: int
    topic: str = "alerts"
    partition: int = 0
    key: bytes | None = None


class SaidInbox:
    """In place of a topic: what the test says."""

    def __init__(self, before: Sequence[Mapping[str, Any]] = ()) -> None:
        """`before`: what the topic holds at the start."""
        self.source = Source("alerts", 1, "")
        self.lag = 0
        self.heard_ms: int | None = None
        self.is_cut_off = False
        self.next_offsets = {"0": 0}
        self._before = before
        self._said: asyncio.Queue[Record] = asyncio.Queue()

    async def open(self, offsets: Mapping[str, int]) -> dict[TP, int]:
        """From there on all that is said is read."""
        self.next_offsets = {"0": 0, **offsets}
        self.say(*self._before)
        return {TP("alerts", 0): len(self._before)}

    def has_reached(self, ends: Mapping[TP, int]) -> bool:
        """Once nothing is left to read."""
        return not ends or self._said.empty()

    def say(self, *records: Mapping[str, Any]) -> None:
        """Adds records."""
        for record in records:
            self._said.put_nowait(Record(json.dumps(record).encode(), self.next_offsets["0"]))
            self.next_offsets["0"] += 1

    async def read(self) -> list[Record]:
        """The next records, as soon as there are any."""
        found = [await self._said.get()]
        while not self._said.empty():
            found.append(self._said.get_nowait())
        return found


class KeptMemory:
    """In place of the topic `<app>-notified`: what a restart finds."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes | None] = {}

    async def open(self) -> Remembered:
        """What was kept."""
        return remembered({k: v for k, v in self.records.items() if v is not None})

    async def save(self, change: Change) -> None:
        """Keeps it."""
        self.records |= change.records

    def told(self) -> Mapping[str, Told]:
        """What each lead was told, as a restart would know it."""
        return remembered({k: v for k, v in self.records.items() if v is not None}).told


class Running(NamedTuple):
    """A notifier at work."""

    notifier: Notifier
    inbox: SaidInbox
    registry: CollectorRegistry

    def say(self, *records: Mapping[str, Any]) -> None:
        """Has it read records."""
        self.inbox.say(*records)

    def counted(self, name: str, **labels: str) -> float:
        """A metric's value."""
        return self.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def notifying(
    addresses: Sequence[str],
    folder: Path,
    leads: Mapping[str, Sequence[Address]] | None = None,
    memory: KeptMemory | None = None,
    before: Sequence[Mapping[str, Any]] = (),
    **settings: Any,
) -> AsyncIterator[Running]:
    """A notifier of the app `site` that tells Alertmanagers and leads, until the block ends.

    `before`: what the topic holds when it starts.
    """
    notify = Notify(**{"resend": "1s", "keep": "1m", **settings})
    ways = leads or {}
    registry = CollectorRegistry()
    telemetry = Telemetry(registry, [*map(receiver_name, addresses), *ways])
    inbox: Any = SaidInbox(before)
    kept: Any = memory or KeptMemory()
    async with aiohttp.ClientSession() as session:
        threads = ThreadPoolExecutor(8)
        notifier = Notifier(
            Settings(app="site", notify=notify),
            Wording(ZoneInfo("Europe/Berlin"), notify.links),
            Rosters(folder / "roster.yaml", telemetry),
            telemetry,
            kept,
            inbox,
            Receivers(
                [Alertmanager(address, session, telemetry) for address in addresses],
                lambda told: [
                    Courier(lead, own, notify.direct, told.get(lead), telemetry, threads)
                    for lead, own in ways.items()
                ],
            ),
        )
        task = asyncio.create_task(notifier.run())
        try:
            yield Running(notifier, inbox, registry)
        finally:
            ended = task.done()
            task.cancel()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            threads.shutdown()
            assert not ended, f"the notifier has ended: {outcome!r}"


async def until(done: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Waits until `done`; fails with `what` was waited for."""
    try:
        async with asyncio.timeout(timeout_s):
            while not done():  # noqa: ASYNC110 - a server of another process gives no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not within {timeout_s:.0f} s: {what}") from None
