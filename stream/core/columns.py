"""A block of events column by column: what is asked of all of them at once.

Attributes are fetched for a whole block by C code, and numpy does the rest; a loop over events
in Python would cost several times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Final, cast

import numpy as np

from stream.core.arrays import Digests, Ints
from stream.core.contributions import CONTRIBUTIONS
from stream.core.dims import Dims
from stream.core.events import TIME_FIELDS, Event, Kind, epoch_ms, kind_of
from stream.core.measures import COLUMNS, Thresholds
from stream.core.rowids import ID_BYTES

_TIMES: Final = {kind: attrgetter(name) for kind, name in TIME_FIELDS.items()}
_IDS: Final = attrgetter("event_id")
_DIMS: Final = attrgetter(
    *("agent_id", "site_id", "team_id", "queue", "channel", "campaign", "product", "reason")
)
# Never Python's `hash()`, which is salted. A copied state is half the work of a new one.
_HASHES: Final[dict[Kind, Any]] = {
    "interaction": blake2b(digest_size=ID_BYTES, key=b"interaction"),
    "survey": blake2b(digest_size=ID_BYTES, key=b"survey"),
}


def event_digests(kind: Kind, event_ids: Iterable[str]) -> list[bytes]:
    """Eight bytes for each id, which stand for it and its kind."""
    found = []
    for event_id in event_ids:
        state = _HASHES[kind].copy()
        state.update(event_id.encode())
        found.append(state.digest())
    return found


def times_of(events: Sequence[Event]) -> Ints:
    """Each event's time in milliseconds."""
    return cast("Ints", _gathered(events, _times, np.zeros(len(events), dtype=np.int64)))


def digests_of(events: Sequence[Event]) -> Digests:
    """Each event's digest."""
    return cast("Digests", _gathered(events, _digests, np.zeros(len(events), dtype=np.uint64)))


def contributions_of(events: Sequence[Event], thresholds: Thresholds) -> Ints:
    """What each event adds to its row: [event, column]."""

    def of_kind(kind: Kind, alike: Sequence[Any]) -> Ints:
        return CONTRIBUTIONS[kind](alike, thresholds)

    nothing = np.zeros((len(events), COLUMNS), dtype=np.int64)
    return cast("Ints", _gathered(events, of_kind, nothing))


def dims_of(events: Iterable[Event]) -> list[Dims]:
    """The dimensions that each event names, as tuples that are equal to `Dims`."""
    return cast("list[Dims]", list(map(_DIMS, events)))


def _times(kind: Kind, events: Sequence[Event]) -> Ints:
    instants = list(map(_TIMES[kind], events))
    try:
        return np.array(instants, dtype=np.int64)
    except TypeError:  # some are datetimes
        return np.array([epoch_ms(instant) for instant in instants], dtype=np.int64)


def _digests(kind: Kind, events: Sequence[Event]) -> Digests:
    return np.frombuffer(b"".join(event_digests(kind, map(_IDS, events))), dtype="<u8")


def _gathered(
    events: Sequence[Event], of_kind: Callable[[Kind, Sequence[Any]], Any], found: Any
) -> Any:
    """What `of_kind` finds for events that are all of one kind, for a block of any."""
    for kind, positions in _kinds(events):
        if len(positions) == len(events):
            return of_kind(kind, events)
        found[positions] = of_kind(kind, [events[position] for position in positions])
    return found


def _kinds(events: Sequence[Event]) -> Iterator[tuple[Kind, Sequence[int]]]:
    """The kinds in a block, each with its events' positions."""
    types = set(map(type, events))
    if len(types) == 1:
        yield kind_of(events[0]), range(len(events))
        return
    for found in types:
        positions = [i for i, event in enumerate(events) if type(event) is found]
        yield kind_of(events[positions[0]]), positions
