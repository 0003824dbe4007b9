"""Tells an Alertmanager what fires and what has ended: at once, and again and again while it fires.

Telling is level-triggered: what was not taken is part of the next telling, so nothing queues up.

An end that it took is not told again: of one that it has already told, it tells once more as soon
as others of the group have begun meanwhile (prometheus/alertmanager#844). It may have died before
it told; so it is asked when it was started, and one that was started anew, was out of reach or does
not say is told of all ends anew. And a notifier that was frozen and replaced may have told it later
that the alert fires: an end of what it lists as active it does not know.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import aiohttp
from msgspec import DecodeError, Struct, field, json
from tenacity import retry_if_exception_type
from yarl import URL

from stream.notify.book import Notice
from stream.notify.labels import LISTING_FILTERS, Posting, in_order
from stream.notify.retries import retrying
from stream.notify.telemetry import Telemetry

log = logging.getLogger(__name__)

TRIES: Final = 5
TIMEOUT_S: Final = 10.0
BATCH: Final = 100
_TOO_MANY: Final = 429
_SERVER_FAULT: Final = 500
_UNANSWERED: Final = (aiohttp.ClientError, TimeoutError, OSError, DecodeError)


class UnreachableError(Exception):
    """It did not answer, or not now."""


class RefusedError(Exception):
    """It answered that this is not an alert; asking again would not help."""


class _Status(Struct):
    """What it says of itself; `uptime`, by that name, is when it was started."""

    uptime: str


class _Listed(Struct):
    """An alert that it holds as active, silenced and inhibited ones among them."""

    annotations: dict[str, str] = field(default_factory=dict)


_read_status: Final = json.Decoder(_Status).decode
_read_listed: Final = json.Decoder(list[_Listed]).decode

Due = Callable[[], list[Notice]]
"""The notices that are to be told now."""


class _Known(NamedTuple):
    """What it took of an alert, and since when it has that."""

    is_firing: bool
    since_s: float


class Alertmanager:
    """One Alertmanager; others know nothing of its troubles."""

    def __init__(self, address: str, session: aiohttp.ClientSession, telemetry: Telemetry) -> None:
        """`address`: of its root, with a user and a password where it wants them."""
        url = URL(address)
        self.name = receiver_name(address)
        self._url = url / "api/v2/alerts"
        self._status_url = url / "api/v2/status"
        self._started: str | None = None
        self._says_when_started = False
        self._session = session
        self._telemetry = telemetry
        self._knows: dict[str, _Known] = {}
        self._listed: frozenset[str] = frozenset()
        self._is_reachable = True

    def knows(self, notice: Notice) -> bool:
        """Whether it took all that is known of this alert, and was not out of reach since."""
        return self._known(notice) is not None

    def has_kept(self, notice: Notice, for_ms: int) -> bool:
        """Whether it has known it for so long."""
        known = self._known(notice)
        return known is not None and time.monotonic() - known.since_s >= for_ms / 1000

    def lacks(self, notice: Notice) -> bool:
        """Whether it does not know this, or may have forgotten it without a word."""
        return not (self._says_when_started and self.knows(notice))

    def lists(self, notice: Notice) -> bool:
        """Whether it holds the alert as active; known only while it is told with `listing`."""
        return notice.alert_id in self._listed

    def forget(self, alert_ids: Iterable[str]) -> None:
        """These will not be asked about again."""
        for alert_id in alert_ids:
            self._knows.pop(alert_id, None)

    async def tell(
        self, due: Due, posting: Callable[[Notice], Posting], *, listing: bool = False
    ) -> None:
        """Tells it what is `due`, asked before each try; what it did not take stays unknown to it.

        Started anew it has forgotten all it knew, and out of reach it may have been started anew.
        `listing`: it is asked before which alerts are active.
        """
        when = retry_if_exception_type(UnreachableError)
        tries = retrying(self._telemetry, self.name, TRIES, when, reraise=True)
        try:
            await tries(self._tell_once, due, posting, listing)
        except UnreachableError:
            self._telemetry.note_outcome(self.name, taken=False)

    async def _tell_once(
        self,
        due: Due,
        posting: Callable[[Notice], Posting],
        listing: bool,  # noqa: FBT001 - passed on
    ) -> None:
        await self._ask_when_started()
        self._listed = await self._ask_what_is_active() if listing else frozenset()
        for alert_id in self._listed:
            known = self._knows.get(alert_id)
            if known is not None and not known.is_firing:
                log.info("%s was told again that %s fires, after its end", self.name, alert_id)
                del self._knows[alert_id]
        every = due()
        for batch in _batches(every):
            await self._tell_batch(batch, posting)
        for notice in every:  # what the last with the same labels says is all there is to know
            if not self.knows(notice):
                self._knows[notice.alert_id] = _Known(notice.is_firing, time.monotonic())

    async def _tell_batch(
        self, batch: Sequence[Notice], posting: Callable[[Notice], Posting]
    ) -> None:
        try:
            await self._post([posting(notice) for notice in batch])
        except UnreachableError as error:
            if self._is_reachable:
                log.warning("%s does not take alerts: %s", self.name, error)
            self._is_reachable = False
            self._knows.clear()
            raise
        except RefusedError as error:
            if len(batch) > 1:
                for notice in batch:
                    await self._tell_batch([notice], posting)
                return
            log.warning("%s takes no %s: %s", self.name, batch[0].fired.goal, error)
            self._telemetry.note_outcome(self.name, taken=False)
        else:
            self._telemetry.note_outcome(self.name, taken=True)
        if not self._is_reachable:
            log.info("%s is back", self.name)
        self._is_reachable = True

    def _known(self, notice: Notice) -> _Known | None:
        known = self._knows.get(notice.alert_id)
        return known if known is not None and known.is_firing == notice.is_firing else None

    async def _ask_when_started(self) -> None:
        """One that is another than last time knows nothing."""
        try:
            started = _read_status(await self._get(self._status_url)).uptime
        except _UNANSWERED:
            self._says_when_started = False
            return
        if self._started not in {None, started}:
            self._knows.clear()
        self._started, self._says_when_started = started, True

    async def _ask_what_is_active(self) -> frozenset[str]:
        """The ids of our alerts; none where it does not say, which is nobody's failure."""
        try:
            listed = _read_listed(await self._get(self._url.with_query(LISTING_FILTERS)))
        except _UNANSWERED:
            return frozenset()
        return frozenset(each.annotations.get("alert_id", "") for each in listed)

    async def _get(self, url: URL) -> bytes:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with self._session.get(url, timeout=timeout) as answer:
            answer.raise_for_status()
            return await answer.read()

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


def receiver_name(address: str) -> str:
    """Host and port: what may be logged."""
    url = URL(address)
    return f"{url.host}:{url.port}"


def _batches(notices: Iterable[Notice]) -> Iterator[Sequence[Notice]]:
    for part in in_order(notices):
        for start in range(0, len(part), BATCH):
            yield part[start : start + BATCH]
