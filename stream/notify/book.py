"""What there is to tell: every alert that fires, and those that have just ended.

Pure: transitions and instants in, notices out. A repeated transition changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from stream.notify.transition import Transition


class Notice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An alert that has fired, by its firing and, once it has ended, its end.

    `seen_ms`, `end_seen_ms`: when this was read. Who it is about and for, `lead` included, is
    said by the firing for life: receivers know an alert by it.
    """

    fired: Transition
    seen_ms: int
    lead: str | None = None
    end: Transition | None = None
    end_seen_ms: int | None = None

    @property
    def alert_id(self) -> str:
        """The alert's id."""
        return self.fired.alert_id

    @property
    def is_firing(self) -> bool:
        """Whether it has not ended."""
        return self.end is None

    @property
    def latest(self) -> Transition:
        """The last transition that has figures."""
        return self.end if self.end is not None and self.end.kpi else self.fired


class Book:
    """The notices by alert id, in the order in which they were seen."""

    def __init__(self, notices: Iterable[Notice] = ()) -> None:
        """Goes on from these."""
        ordered = sorted(notices, key=lambda notice: (notice.seen_ms, notice.alert_id))
        self._notices = {notice.alert_id: notice for notice in ordered}

    def __iter__(self) -> Iterator[Notice]:
        """In the order in which they were seen."""
        return iter(self._notices.values())

    def __len__(self) -> int:
        return len(self._notices)

    def get(self, alert_id: str) -> Notice | None:
        """The notice of an alert, if it is known."""
        return self._notices.get(alert_id)

    def superseded_by(self, transition: Transition) -> list[str]:
        """The alerts of the same goal and id that fire under other ids: nobody will end them.

        An alert's place has one alert at a time. A worker that has lost its state, or repeats after
        a crash where the broker has no transactions, begins again under another id.
        """
        if transition.state not in {"pending", "firing"}:
            return []
        return [
            notice.alert_id
            for notice in self
            if notice.is_firing
            and notice.alert_id != transition.alert_id
            and _place(notice.fired) == _place(transition)
        ]

    def take(self, transition: Transition, lead: str | None, now_ms: int) -> Notice | None:
        """Notes a transition; the notice that is new or has changed, if one has.

        An end without its firing is nothing to tell: nobody was told that it had begun.
        """
        known = self._notices.get(transition.alert_id)
        if transition.state == "firing" and known is None:
            new = Notice(fired=transition, seen_ms=now_ms, lead=lead)
        elif transition.has_ended and known is not None and known.is_firing:
            end_ms = max(now_ms, known.seen_ms)
            new = Notice(
                fired=known.fired,
                seen_ms=known.seen_ms,
                lead=known.lead,
                end=transition,
                end_seen_ms=end_ms,
            )
        else:
            return None
        self._notices[new.alert_id] = new
        return new

    def forget(self, alert_ids: Iterable[str]) -> None:
        """Leaves out notices of alerts that have ended and were told."""
        for alert_id in alert_ids:
            del self._notices[alert_id]


def _place(transition: Transition) -> tuple[str, str, str]:
    return transition.scope, transition.id, transition.goal
