"""Tells an Alertmanager what fires and what has ended: at once, and again and again while it fires.

Telling is level-triggered: what was not taken is part of the next telling, so nothing queues up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import aiohttp
from msgspec import json
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)
from yarl import URL

from stream.notify.book import Notice
from stream.notify.labels import Posting, latest
from stream.notify.telemetry import Telemetry

log = logging.getLogger(__name__)

TRIES: Final = 5
TIMEOUT_S: Final = 10.0
BATCH: Final = 100
_TOO_MANY: Final = 429
_SERVER_FAULT: Final = 500


class UnreachableError(Exception):
    """It did not answer, or not now."""


class RefusedError(Exception):
    """It answered that this is not an alert; asking again would not help."""


class Alertmanager:
    """One Alertmanager; others know nothing of its troubles."""

    def __init__(self, address: str, session: aiohttp.ClientSession, telemetry: Telemetry) -> None:
        """`address`: of its root, with a user and a password where it wants them."""
        url = URL(address)
        self.name = receiver_name(address)
        self._url = url / "api/v2/alerts"
        self._session = session
        self._telemetry = telemetry
        self._knows: dict[str, bool] = {}
        self._is_reachable = True

    def knows(self, notice: Notice) -> bool:
        """Whether it was told all that is known of this alert, since this process began."""
        return self._knows.get(notice.alert_id) == notice.is_firing

    def forget(self, alert_ids: Iterable[str]) -> None:
        """These will not be asked about again."""
        for alert_id in alert_ids:
            self._knows.pop(alert_id, None)

    async def tell(self, notices: Iterable[Notice], posting: Callable[[Notice], Posting]) -> None:
        """Tells it these; those it did not take stay unknown to it."""
        every = list(notices)
        last = latest(every)
        for batch in _batches(last):
            if not await self._tell_batch(batch, posting):
                return
        for notice in every:  # what the last with the same labels says is all there is to know
            self._knows[notice.alert_id] = notice.is_firing

    async def _tell_batch(
        self, batch: Sequence[Notice], posting: Callable[[Notice], Posting]
    ) -> bool:
        """Whether it may be told more."""
        try:
            await self._post_with_retries([posting(notice) for notice in batch])
        except UnreachableError as error:
            self._note_failed(str(error))
            return False
        except RefusedError as error:
            if len(batch) == 1:
                log.warning("%s takes no %s: %s", self.name, batch[0].fired.goal, error)
                self._count("failed")
                return True
            return all([await self._tell_batch([notice], posting) for notice in batch])
        if not self._is_reachable:
            log.info("%s is back", self.name)
        self._is_reachable = True
        self._count("sent")
        return True

    async def _post_with_retries(self, postings: Sequence[Posting]) -> None:
        async for attempt in AsyncRetrying(
            stop=stop_after_attempt(TRIES),
            wait=wait_exponential(multiplier=0.5, max=10) + wait_random(0, 0.5),
            retry=retry_if_exception_type(UnreachableError),
            before_sleep=self._note_retry,
            reraise=True,
        ):
            with attempt:
                await self._post(postings)

    async def _post(self, postings: Sequence[Posting]) -> None:
        try:
            async with self._session.post(
                self._url,
                data=json.encode(postings),
                headers={"Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            ) as answer:
                said = (await answer.text())[:500]
                if answer.status >= _SERVER_FAULT or answer.status == _TOO_MANY:
                    raise UnreachableError(f"{answer.status}: {said}")
                if not answer.ok:
                    raise RefusedError(f"{answer.status}: {said}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(f"{type(error).__name__}: {error}") from error

    def _note_retry(self, _: RetryCallState) -> None:
        self._telemetry.retries.labels(receiver=self.name).inc()

    def _note_failed(self, reason: str) -> None:
        self._count("failed")
        if self._is_reachable:
            log.warning("%s does not take alerts: %s", self.name, reason)
        self._is_reachable = False

    def _count(self, outcome: str) -> None:
        self._telemetry.notifications.labels(receiver=self.name, outcome=outcome).inc()


def receiver_name(address: str) -> str:
    """Host and port: what may be logged."""
    url = URL(address)
    return f"{url.host}:{url.port}"


def _batches(notices: Sequence[Notice]) -> list[Sequence[Notice]]:
    """Those that may inhibit others in requests of their own, first."""
    inhibiting = [notice for notice in notices if notice.fired.is_widespread]
    rest = [notice for notice in notices if not notice.fired.is_widespread]
    return [
        group[start : start + BATCH]
        for group in (inhibiting, rest)
        for start in range(0, len(group), BATCH)
    ]
