"""Tells one lead directly, by mail or chat, where there is no Alertmanager; Apprise sends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from tenacity import RetryError, retry_if_result

from stream.notify.book import Notice
from stream.notify.digest import Digest, after, due, not_after
from stream.notify.letter import Letter
from stream.notify.memory import Told
from stream.notify.retries import retrying
from stream.notify.settings import Direct
from stream.notify.telemetry import Telemetry

log = logging.getLogger(__name__)

TRIES: Final = 3
PAUSE_S: Final = 60.0
TIMEOUT_S: Final = 60.0
# A receiver that hangs keeps a thread for as long as Apprise waits for it, and nobody else's.
THREADS_MAX: Final = 64


class Address(Protocol):
    """One way to reach somebody."""

    def send(self, letter: Letter) -> bool:
        """Sends and waits; false where it was not taken."""
        ...


class Reading(NamedTuple):
    """What there is to tell a lead now: the notices, and those of them behind their team's."""

    notices: list[Notice]
    hidden: set[str]


class Courier:
    """One lead's; it knows nothing of the others' troubles."""

    def __init__(
        self,
        name: str,
        addresses: Sequence[Address],
        settings: Direct,
        told: Told | None,
        telemetry: Telemetry,
        threads: Executor,
    ) -> None:
        """`told`: what was told last, as far as is remembered."""
        self.name = name
        self.told = told
        self.news = asyncio.Event()
        self._addresses = addresses
        self._settings = settings
        self._telemetry = telemetry
        self._threads = threads
        self._is_reachable = True

    def knows(self, notice: Notice) -> bool:
        """Whether the lead was told all that is known of an alert."""
        if self.told is None:
            return False
        return notice.alert_id in (self.told.firing if notice.is_firing else self.told.over)

    async def run(
        self,
        read: Callable[[], Reading],
        write: Callable[[Digest, str], Letter],
        save: Callable[[str, Told], Awaitable[None]],
        now_ms: Callable[[], int],
    ) -> None:
        """Sends what is due when it is due; what was not taken is due again, with what has come."""
        while True:
            self.news.clear()
            notices, hidden = read()
            if self.told is not None:
                self.told = not_after(self.told, now_ms())
            found = due(notices, hidden, self.told, self._settings)
            if found is None:
                await self.news.wait()
            elif (left_s := (found.at_ms - now_ms()) / 1000) > 0:
                await self._wait_for_news(left_s)
            elif await self._send(write(found.digest, found.digest.key(self.name, self.told))):
                told = after(found.digest, self.told, notices, now_ms())
                await save(self.name, told)
                self.told = told
            else:
                await asyncio.sleep(PAUSE_S)

    async def _wait_for_news(self, at_most_s: float) -> None:
        # Not wait_for, which before Python 3.12 may swallow a cancellation (python/cpython#86296).
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self.news.wait()

    async def _send(self, letter: Letter) -> bool:
        """Whether the lead was reached by at least one of the addresses."""
        sent = await asyncio.gather(*(self._try(address, letter) for address in self._addresses))
        for taken in sent:
            self._telemetry.note_outcome(self.name, taken=taken)
        reached = any(sent)
        if not reached and self._is_reachable:
            log.warning("%s cannot be reached", self.name)
        self._is_reachable = reached
        return reached

    async def _try(self, address: Address, letter: Letter) -> bool:
        when = retry_if_result(lambda taken: not taken)
        tries = retrying(self._telemetry, self.name, TRIES, when)
        try:
            return bool(await tries(self._try_once, address, letter))
        except RetryError:
            return False

    async def _try_once(self, address: Address, letter: Letter) -> bool:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await loop.run_in_executor(self._threads, address.send, letter)
        except TimeoutError:
            return False
