"""Takes records of the `alerts` topic into the book: which are ours to tell, what they change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from stream.notify.book import Book
from stream.notify.memory import Change
from stream.notify.rosters import Rosters
from stream.notify.succession import Succession
from stream.notify.telemetry import Telemetry
from stream.notify.transition import Transition, decode_transition

log = logging.getLogger(__name__)


class Intake:
    """One notifier's. `is_first_start`: nothing is remembered, so all that was ever said is new."""

    def __init__(
        self, apps: Succession, rosters: Rosters, telemetry: Telemetry, now_ms: Callable[[], int]
    ) -> None:
        """`now_ms` says when something was read."""
        self.is_first_start = False
        self._apps = apps
        self._rosters = rosters
        self._telemetry = telemetry
        self._now_ms = now_ms
        self._strangers: set[str | None] = set()

    def take(self, records: Sequence[Any], book: Book) -> Change:
        """Notes records; what of it is to be kept."""
        change = Change()
        for record in records:
            place = f"{record.topic}[{record.partition}] at {record.offset}"
            try:
                transition = decode_transition(record.value)
            except ValueError as error:
                self._telemetry.refused.labels(kind="alert").inc()
                log.warning("%s is no alert: %s", place, error)
            else:
                if self._is_to_be_told(transition, place):
                    self._take_one(self._with_team(transition), book, change)
        return change

    def _take_one(self, transition: Transition, book: Book, change: Change) -> None:
        gone = self._apps.superseded_by(transition, book)
        book.forget(gone)
        for alert_id in gone:
            change.forget(alert_id)
        notice = book.take(transition, self._lead(transition), self._now_ms())
        if notice is not None:
            change.notice(notice)

    def _is_to_be_told(self, transition: Transition, place: str) -> bool:
        """Whether it is ours, or at the first start of an app before us; else it is refused."""
        if self.is_first_start:
            self._apps.note(transition)
            return True
        if self._apps.is_ours(transition) or transition.has_ended:
            return True
        self._telemetry.refused.labels(kind="app").inc()
        if transition.app not in self._strangers:
            self._strangers.add(transition.app)
            log.warning("%s is of app %s, whose own notifier tells it", place, transition.app)
        return False

    def _with_team(self, transition: Transition) -> Transition:
        """Of an agent whose events name no team, with the roster's."""
        if transition.scope != "agent" or transition.team is not None:
            return transition
        return replace(transition, team=self._rosters.current.team(transition.id))

    def _lead(self, transition: Transition) -> str | None:
        """Who leads the one it is about: by the roster, else by the goals file."""
        roster = self._rosters.current
        own = roster.lead(transition.id) if transition.scope == "agent" else None
        return own or transition.lead
