"""The same engine without Kafka: all KPIs of some files at one instant, for audits and tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stream.adapters import TimedEvent
from stream.config import Settings
from stream.core.engine import Engine
from stream.core.kpis import ScopeKind
from stream.core.readings import Reading
from stream.core.rules import Rules

_BLOCK = 5_000


def compute(
    settings: Settings,
    events: Sequence[TimedEvent],
    as_of_ms: int,
    scopes: Sequence[ScopeKind],
    windows: Sequence[str],
) -> Iterator[Reading]:
    """A reading of every scope id and window that has something in it at `as_of_ms`."""
    known = {window.name: window for window in settings.parsed_windows()}
    engine = Engine(
        Rules(
            windows=tuple(known[name] for name in windows),
            kinds=tuple(scopes),
            thresholds=settings.thresholds(),
            queue_teams=settings.queue_teams(),
            keep_all=True,
        )
    )
    engine.tick(as_of_ms)
    for start in range(0, len(events), _BLOCK):
        engine.apply([timed.event for timed in events[start : start + _BLOCK]])
    for scope in scopes:
        for window in windows:
            yield from sorted(engine.read_all(scope, window), key=lambda r: r.scope_id)
