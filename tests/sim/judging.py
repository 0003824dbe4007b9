"""Bugs planted in what is said of events and figures: repeats, stale parts, verdicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from stream.core import rollup
from stream.core.engine import EARLY, LATE, Applied, Engine
from stream.core.readings import Readings
from stream.core.rollup import Rollup
from stream.core.verdicts import Verdicts


def held_for_ever(patch: pytest.MonkeyPatch) -> None:
    """Once a part was stale, the rollup judges nobody any more."""

    def hold(self: Verdicts, held: bool) -> None:
        vars(self)["held"] = held or vars(self).get("held", False)

    kept = property(lambda self: vars(self)["held"], hold)
    patch.setattr(Verdicts, "held", kept, raising=False)


def forgotten_while_held(patch: pytest.MonkeyPatch) -> None:
    """What changes while verdicts are held is not judged afterwards."""
    original = Verdicts.judge

    def judge(self: Verdicts, buckets: Any, now_ms: int) -> Any:
        if self.held:
            for watched in self.watched.values():
                watched.table.unjudged[:] = 0
        return original(self, buckets, now_ms)

    patch.setattr(Verdicts, "judge", judge)


def judged_by_stale_parts(patch: pytest.MonkeyPatch) -> None:
    """A stale part is flagged, and everybody is judged as ever."""
    never = property(lambda _: False, lambda *_: None)
    patch.setattr(Verdicts, "held", never, raising=False)


def never_stale(patch: pytest.MonkeyPatch) -> None:
    """A part counts as fresh, however old it is."""
    patch.setattr(rollup, "STALE_AFTER_MS", 10**15)


def back_and_fresh_at_once(patch: pytest.MonkeyPatch) -> None:
    """A part that came back counts as fresh before it has reached the end of the windows."""
    original = Rollup.roll

    def roll(self: Rollup, wall_ms: int) -> None:
        with pytest.MonkeyPatch.context() as blind:
            blind.setattr(rollup, "ceil_minute", lambda _: 0)
            original(self, wall_ms)

    patch.setattr(Rollup, "roll", roll)


def pending_alerts_wait_for_events(patch: pytest.MonkeyPatch) -> None:
    """An alert that only time can make fire is looked at when its figure changes."""
    original: Any = Verdicts._slots_to_judge

    def slots(self: Verdicts, watched: Any, _: Any) -> Any:
        return original(self, watched, {})

    patch.setattr(Verdicts, "_slots_to_judge", slots)


def ids_asked_after_lateness(patch: pytest.MonkeyPatch) -> None:
    """Whether an event is a repeat is asked only once it is neither late nor early.

    One that is late shows nothing of it: with its minute, its id is forgotten at the very instant
    from which on it is late. But an event that was ahead of now when it counted may be too far
    ahead for a worker that was started with a smaller `skew`: its repeats are repeats.
    """
    original: Any = Engine._admit

    def admit(self: Engine, at_ms: Any, minutes: Any, digests: Any) -> Any:
        low, high = self._accepted_span()
        outside = (minutes < low) | (at_ms > high)
        asked = np.flatnonzero(~outside)
        refused = [(at, LATE if minutes[at] < low else EARLY) for at in np.flatnonzero(outside)]
        if not len(asked):
            return [], refused
        accepted, _ = original(self, at_ms[asked], minutes[asked], digests[asked])
        return asked[accepted].tolist(), refused

    patch.setattr(Engine, "_admit", admit)


def repeats_told_as_events(patch: pytest.MonkeyPatch) -> None:
    """Repeats do not count, and metrics say that they did."""
    original = Engine.apply

    def apply(self: Engine, events: Any) -> Applied:
        applied = original(self, events)
        return Applied(applied.applied + applied.duplicates, 0, applied.refused)

    patch.setattr(Engine, "apply", apply)


def emptied_keys_stay(patch: pytest.MonkeyPatch) -> None:
    """Who has left every window keeps an empty reading for ever."""
    patch.setattr(Readings, "_take_tombstones", lambda _: [])


JUDGING: Final[tuple[Callable[[pytest.MonkeyPatch], None], ...]] = (
    held_for_ever,
    forgotten_while_held,
    judged_by_stale_parts,
    never_stale,
    back_and_fresh_at_once,
    pending_alerts_wait_for_events,
    ids_asked_after_lateness,
    repeats_told_as_events,
    emptied_keys_stay,
)
