"""What the tests of the core are made with: literal instants, short events, small engines."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from stream.core.arrays import Ints
from stream.core.dims import Dims
from stream.core.engine import Engine
from stream.core.events import Event, EventDecoder, Interaction, Survey
from stream.core.goals import Goal, Terms, parse_target
from stream.core.kpis import CATALOGUE, SCOPE_KINDS
from stream.core.rows import RowStore, StoredRows
from stream.core.rules import Rules
from stream.core.verdicts import AlertKey
from stream.core.windows import parse_window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream.core.kpis import ScopeKind
    from stream.core.readings import Reading

NOON: Final = "2024-06-03T12:00:00Z"
BERLIN: Final = ZoneInfo("Europe/Berlin")
_NUMBERS: Final = itertools.count()


def ms(text: str) -> int:
    """Epoch milliseconds of a literal instant such as `2024-06-03T12:00:00Z`."""
    instant = datetime.fromisoformat(text)
    assert instant.tzinfo is not None, "a literal instant says its offset"
    return round(instant.timestamp() * 1000)


def minute(text: str) -> int:
    """The minute, since 1970, in which a literal instant lies."""
    return ms(text) // 60_000


def call(ended_at: str | int = "2024-06-03T11:59:00Z", **fields: Any) -> Interaction:
    """A handled call of agent a1 a minute before noon, unless told otherwise."""
    at_ms = ms(ended_at) if isinstance(ended_at, str) else ended_at
    event = {"event_id": f"i{next(_NUMBERS)}", "interaction_id": "c", "outcome": "handled"}
    return Interaction(**{**event, "agent_id": "a1", "ended_at": at_ms, **fields})


def survey(answered_at: str | int = "2024-06-03T11:59:00Z", **fields: Any) -> Survey:
    """An answered survey about agent a1 a minute before noon, unless told otherwise."""
    at_ms = ms(answered_at) if isinstance(answered_at, str) else answered_at
    event = {"event_id": f"s{next(_NUMBERS)}", "agent_id": "a1"}
    return Survey(**{**event, "answered_at": at_ms, **fields})


def goal(target: str = "<= 5m", **fields: Any) -> Goal:
    """A goal on the agents' handle time in the last hour, unless told otherwise."""
    kpi = CATALOGUE[fields.pop("kpi", "handle_time")]
    names = {"clear", "warn"} & fields.keys()
    bounds = {name: parse_target(fields.pop(name), kpi) for name in names}
    terms = Terms(parse_target(target, kpi), min_samples=fields.pop("min_samples", 1), **bounds)
    usual = {"name": "g", "purpose": "p", "scope": "agent", "window": "1h", "what_to_do": "w"}
    return Goal(**{**usual, "kpi": kpi, "terms": terms, **fields})


def engine(
    windows: Sequence[str] = ("15m", "1h"),
    *,
    at: str | None = NOON,
    kinds: Sequence[ScopeKind] = SCOPE_KINDS,
    zone: ZoneInfo = BERLIN,
    **rules: Any,
) -> Engine:
    """An engine of these windows whose now is noon, unless told otherwise."""
    spans = tuple(parse_window(name, zone) for name in windows)
    made = Engine(Rules(spans, tuple(kinds), **rules))
    if at is not None:
        made.tick(ms(at))
    return made


def with_events(*events: Event, **options: Any) -> Engine:
    """An engine that has counted these events, none of which it may refuse."""
    made = engine(**options)
    assert made.apply(events).refused == []
    return made


def figures(made: Engine, kind: ScopeKind, scope_id: str, window: str) -> dict[str, Any]:
    """The values of one scope's KPIs now; nothing where it has no event in the window."""
    for reading in made.read_all(kind, window):
        if reading.scope_id == scope_id:
            return {figure.kpi.name: figure.value for figure in reading.figures}
    return {}


def handled(made: Engine, window: str = "1h", agent: str = "a1") -> int:
    """How many contacts an agent handled in a window."""
    count: int | None = figures(made, "agent", agent, window).get("handled")
    return count or 0


def stored(store: RowStore[Dims], rows: Ints) -> StoredRows[Dims]:
    """Rows as they would be read back."""
    keys = [store.key(row) for row in rows.tolist()]
    return StoredRows(
        minute=np.array([key.minute for key in keys], dtype=np.int64),
        segment=np.array([key.segment for key in keys], dtype=np.int64),
        dims=[key.dims for key in keys],
        dims_at=np.arange(len(keys)),
        latest_ms=store.latest_ms[rows],
        ids=store.ids(rows),
        measures=store.measures(rows),
    )


def restarted(made: Engine, **rules: Any) -> Engine:
    """A new engine with the rows and alerts of another: what a restart makes of it."""
    fields = {"windows": made.rules.windows, "kinds": made.rules.kinds, "goals": made.rules.goals}
    new = Engine(Rules(**{**fields, **rules}))
    store = made.rows
    places = [row for pane in store.panes.values() for row in pane.rows]
    new.restore_rows(stored(store, np.array(places, dtype=np.int64)))
    for goal_name, states in made.verdicts.states.items():
        for scope_id, state in states.items():
            new.restore_alert(AlertKey(goal_name, scope_id), state)
    return new


def shown(readings: Sequence[Reading]) -> list[tuple[str, str, str]]:
    """Whom readings are of, in order."""
    return sorted((reading.scope, reading.scope_id, reading.window) for reading in readings)


def from_mapping(fields: Mapping[str, Any]) -> Event:
    """The event in a dict of the schema's shape with its `type`."""
    rest = {name: value for name, value in fields.items() if name != "type"}
    event = EventDecoder(fields["type"]).decode(msgspec.json.encode(rest))
    assert isinstance(event, Interaction | Survey), event
    return event
