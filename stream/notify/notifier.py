"""The notifier at work: reads transitions, writes down what there is to tell, and has it told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from stream.config import Settings
from stream.notify.alertmanager import Alertmanager
from stream.notify.book import Book, Notice
from stream.notify.courier import Courier, Reading
from stream.notify.digest import Digest, behind_their_team, receiver_of
from stream.notify.inbox import Inbox
from stream.notify.intake import Intake
from stream.notify.labels import Posting, posting
from stream.notify.letter import Letter, write_letter
from stream.notify.memory import FORMAT, Change, Memory, Progress, Told
from stream.notify.message import Message, Wording
from stream.notify.rosters import Rosters
from stream.notify.succession import Succession
from stream.notify.telemetry import Telemetry
from stream.wallclock import wall_clock_ms

log = logging.getLogger(__name__)

# As Prometheus: an Alertmanager that is started anew so soon after an end still hears of it.
ENDS_KEPT_MS: Final = 15 * 60_000
ENDS_KEPT_MAX_MS: Final = 24 * 3_600_000
STALL_S: Final = 60.0


class Receivers(NamedTuple):
    """Who is told. `couriers` are made from what leads were told last."""

    alertmanagers: Sequence[Alertmanager] = ()
    couriers: Callable[[Mapping[str, Told]], Sequence[Courier]] = lambda _: ()


class Notifier:
    """One site's notifier. Nothing that a receiver does holds up another, or the reading."""

    def __init__(
        self,
        settings: Settings,
        wording: Wording,
        rosters: Rosters,
        telemetry: Telemetry,
        memory: Memory,
        inbox: Inbox,
        receivers: Receivers,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        """`now_ms` is the wall clock's."""
        self._settings = settings.notify
        self._wording = wording
        self._rosters = rosters
        self._telemetry = telemetry
        self._memory = memory
        self._inbox = inbox
        self._alertmanagers = receivers.alertmanagers
        self._new_couriers = receivers.couriers
        self._couriers: dict[str, Courier] = {}
        self._now_ms = now_ms
        self._news = [asyncio.Event() for _ in receivers.alertmanagers]
        self._read_at = time.monotonic()
        self._was_cut_off = False
        self._apps = Succession(settings.app, settings.notify.keep)
        self._intake = Intake(self._apps, rosters, telemetry, now_ms)
        self.book = Book()

    @property
    def detail(self) -> str:
        """How it goes, in a line."""
        firing = sum(notice.is_firing for notice in self.book)
        found = f"{firing} alerts fire, {self._inbox.lag} records are not read yet"
        return f"hears nothing of Kafka; {found}" if self._inbox.is_cut_off else found

    @property
    def is_stuck(self) -> bool:
        """Whether nothing was asked of Kafka for a minute."""
        return time.monotonic() - self._read_at > STALL_S

    async def run(self) -> None:
        """Goes on from what is remembered, until it is cancelled.

        Raises:
            MemoryLostError: if what was told cannot be written down any more.
        """
        await self._catch_up()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._sweep())
            for alertmanager, news in zip(self._alertmanagers, self._news, strict=True):
                tasks.create_task(self._keep_telling(alertmanager, news))
            for courier in self._couriers.values():
                tasks.create_task(self._keep_writing(courier))

    async def _catch_up(self) -> None:
        """Reads to the topic's end before anybody is told: of what it holds much is over."""
        found = await self._memory.open()
        self.book = Book(found.notices)
        self._couriers = {courier.name: courier for courier in self._new_couriers(found.told)}
        progress, source = found.progress, self._inbox.source
        is_same = progress is not None and progress.topic_id in ("", source.topic_id)
        if progress is not None and not is_same:
            log.warning("%s is not the topic that was read before: reading all of it", source.topic)
        self._intake.is_first_start = progress is None
        ends = await self._inbox.open(progress.offsets if progress and is_same else {})
        while not self._inbox.has_reached(ends):
            records = await self._inbox.read()
            self._show_heard()
            if progress is None:
                self._intake.take(records, self.book)
            else:
                await self._take(records)
        if progress is None:
            await self._begin()
        log.info("%s", self.detail)

    async def _begin(self) -> None:
        """Nobody was ever told anything, so what has ended is no news; it is all kept at once."""
        self.book.forget([notice.alert_id for notice in self.book if not notice.is_firing])
        self.book.forget(self._apps.long_over(self.book, self._now_ms()))
        self._intake.is_first_start = False
        change = Change()
        for notice in self.book:
            change.notice(notice)
        await self._save(change)

    async def _read(self) -> None:
        while True:
            self._read_at = time.monotonic()
            await self._take(await self._inbox.read())
            self._note_cut_off()
            self._show()

    def _note_cut_off(self) -> None:
        """Says so; what was held back is told as soon as it is over."""
        was_cut_off, self._was_cut_off = self._was_cut_off, self._inbox.is_cut_off
        if self._was_cut_off and not was_cut_off:
            log.warning("hearing nothing of Kafka: telling only of what receivers hold as active")
        elif was_cut_off and not self._was_cut_off:
            log.info("Kafka is heard again")
            self._wake()

    async def _take(self, records: Sequence[Any]) -> None:
        """Notes what records say and how far was read; wakes who has to tell of it."""
        change = self._intake.take(records, self.book)
        has_news = bool(change.records)
        if records:
            await self._save(change)
        if has_news:
            self._wake()

    def _wake(self) -> None:
        for news in [*self._news, *(courier.news for courier in self._couriers.values())]:
            news.set()

    async def _save(self, change: Change) -> None:
        """Keeps a change with how far was read."""
        offsets = dict(self._inbox.next_offsets)
        change.progress(Progress(FORMAT, offsets, self._inbox.source.topic_id))
        await self._memory.save(change)

    async def _keep_telling(self, alertmanager: Alertmanager, news: asyncio.Event) -> None:
        """What is new at once, and every `resend` all that fires besides.

        Cut off from Kafka only what it holds as active: what fires does not end for lack of news,
        and what another notifier has ended does not begin again.
        """

        def may_tell(notice: Notice) -> bool:
            return not self._inbox.is_cut_off or alertmanager.lists(notice)

        def news_of() -> list[Notice]:
            return [n for n in self.book if alertmanager.lacks(n) and may_tell(n)]

        def due() -> list[Notice]:
            found = [n for n in self.book if n.is_firing or alertmanager.lacks(n)]
            return [n for n in found if may_tell(n)]

        while True:
            doubtful = self._inbox.is_cut_off or not all(n.is_firing for n in self.book)
            await alertmanager.tell(due, self._posting, listing=doubtful)
            tell_all_at = time.monotonic() + self._settings.resend / 1000
            while (left_s := tell_all_at - time.monotonic()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await news.wait()
                news.clear()
                await alertmanager.tell(news_of, self._posting)

    async def _keep_writing(self, courier: Courier) -> None:
        """What is due to one lead, as it is due."""

        def read() -> Reading:
            own = [n for n in self.book if receiver_of(n, self._couriers) == courier.name]
            return Reading(own, behind_their_team(self.book))

        def write(digest: Digest, key: str) -> Letter:
            return write_letter(digest, key, self._words)

        await courier.run(read, write, self._save_told, self._now_ms)

    async def _save_told(self, lead: str, told: Told) -> None:
        change = Change()
        change.told(lead, told)
        await self._memory.save(change)

    def _words(self, notice: Notice) -> Message:
        return self._wording.message(notice, self._rosters.current)

    def _posting(self, notice: Notice) -> Posting:
        return posting(notice, self._words(notice), self._now_ms(), self._settings.keep)

    async def _sweep(self) -> None:
        """Ends what nobody else will; forgets what has ended and is known to everybody."""
        while True:
            await asyncio.sleep(self._settings.resend / 1000)
            now_ms = self._now_ms()
            await self._end_what_is_left(now_ms)
            hidden = behind_their_team(self.book)
            await self._forget([n.alert_id for n in self.book if self._is_over(n, hidden, now_ms)])

    async def _end_what_is_left(self, now_ms: int) -> None:
        change = Change()
        for end in [self._apps.end_of(notice, now_ms) for notice in self.book]:
            if end is not None and (notice := self.book.take(end, None, now_ms)) is not None:
                change.notice(notice)
        if change.records:
            await self._memory.save(change)
            self._wake()

    def _is_over(self, notice: Notice, hidden: set[str], now_ms: int) -> bool:
        if notice.end_seen_ms is None:
            return False
        age_ms = now_ms - notice.end_seen_ms
        if age_ms >= ENDS_KEPT_MAX_MS:  # a receiver that is gone for good has no claim on it
            return True
        courier = self._couriers.get(receiver_of(notice, self._couriers) or "")
        if courier is not None and not courier.knows(notice) and notice.alert_id not in hidden:
            return False
        if not self._alertmanagers:
            return True
        return all(a.has_kept(notice, ENDS_KEPT_MS) for a in self._alertmanagers)

    async def _forget(self, alert_ids: Iterable[str]) -> None:
        gone = list(alert_ids)
        change = Change()
        for alert_id in gone:
            change.forget(alert_id)
        await self._memory.save(change)
        self.book.forget(gone)
        for alertmanager in self._alertmanagers:
            alertmanager.forget(gone)

    def _show_heard(self) -> None:
        if self._inbox.heard_ms is not None:
            self._telemetry.heard.set(self._inbox.heard_ms / 1000)

    def _show(self) -> None:
        self._show_heard()
        self._telemetry.lag.set(self._inbox.lag)
        self._telemetry.firing.set(sum(notice.is_firing for notice in self.book))
        for alertmanager in self._alertmanagers:
            unknown = sum(not alertmanager.knows(notice) for notice in self.book)
            self._telemetry.waiting.labels(receiver=alertmanager.name).set(unknown)
        if self._couriers:
            self._show_couriers()

    def _show_couriers(self) -> None:
        waiting = dict.fromkeys(self._couriers, 0)
        unaddressed = 0
        for notice in self.book:
            name = receiver_of(notice, self._couriers)
            if name is None:
                unaddressed += 1
            else:
                waiting[name] += not self._couriers[name].knows(notice)
        self._telemetry.unaddressed.set(0 if self._alertmanagers else unaddressed)
        for name, count in waiting.items():
            self._telemetry.waiting.labels(receiver=name).set(count)
