"""Alerts of another `app`: what the one before has left firing, and nobody will end.

Under another `app` workers count anew and know nothing of the alerts before. These are told for
`keep` more, so that what goes on missing its goal fires on without a gap; then they end, and are
said to be judged no longer.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from stream.kafka.codec import epoch_ms, iso
from stream.notify.book import Book, Notice
from stream.notify.transition import Transition

APP_CHANGED: Final = "app_changed"


class Succession:
    """The apps that speak in the `alerts` topic, seen from one of them. Pure."""

    def __init__(self, app: str, keep_ms: int) -> None:
        """Nobody has spoken yet."""
        self._app = app
        self._keep_ms = keep_ms
        self._first_ms: dict[str, int] = {}
        self._last_ms: dict[str, int] = {}

    def is_ours(self, transition: Transition) -> bool:
        """Whether it is of this app; a record from before `app` was written is taken for it."""
        return transition.app in {None, self._app}

    def note(self, transition: Transition) -> None:
        """A record that is read at the first start: it tells when its app was at work."""
        app, at_ms = transition.app or self._app, epoch_ms(transition.at)
        self._first_ms[app] = min(at_ms, self._first_ms.get(app, at_ms))
        self._last_ms[app] = max(at_ms, self._last_ms.get(app, at_ms))

    def superseded_by(self, transition: Transition, book: Book) -> list[str]:
        """The alerts in whose place this one stands, and that nobody else will end.

        Another app's give way to none but one that fires: they end by themselves otherwise.
        """
        own = self.is_ours(transition)
        return [
            alert_id
            for alert_id in book.superseded_by(transition)
            if self._is_ours(book, alert_id) == own or (own and transition.state == "firing")
        ]

    def long_over(self, book: Book, now_ms: int) -> list[str]:
        """At the first start: alerts of apps that had a successor for longer than `keep`."""
        return [
            notice.alert_id
            for notice in book
            if not self.is_ours(notice.fired)
            and self._succeeded_ms(notice.fired.app or "", now_ms) + self._keep_ms <= now_ms
        ]

    def end_of(self, notice: Notice, now_ms: int) -> Transition | None:
        """The end of another app's alert, once it has been told for `keep`."""
        is_left = notice.is_firing and not self.is_ours(notice.fired)
        if not is_left or now_ms < notice.seen_ms + self._keep_ms:
            return None
        # Without a KPI: its figures stay those of the firing.
        return replace(notice.fired, state="withdrawn", reason=APP_CHANGED, at=iso(now_ms), kpi="")

    def _is_ours(self, book: Book, alert_id: str) -> bool:
        notice = book.get(alert_id)
        return notice is not None and self.is_ours(notice.fired)

    def _succeeded_ms(self, app: str, now_ms: int) -> int:
        """When another app first spoke after this one's last word; now, where none has."""
        last_ms = self._last_ms.get(app, now_ms)
        later = [ms for other, ms in self._first_ms.items() if other != app and ms >= last_ms]
        return min(later, default=now_ms)
