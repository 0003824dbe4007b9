"""Files to events, by an adapter: a Python generator function of the user's own."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from stream.core.events import (
    KINDS,
    Event,
    EventDecoder,
    Ignored,
    Interaction,
    Kind,
    Refusal,
    Survey,
    event_time_ms,
    kind_of,
    routing_key,
)

Adapter = Callable[[str], Iterable[Any]]

log = logging.getLogger(__name__)


class AdapterError(Exception):
    """An adapter cannot be found, or yields something that is no event; says where."""


class TimedEvent(NamedTuple):
    """An event with what is needed to order, route and send it. `raw` is its JSON."""

    at_ms: int
    kind: Kind
    key: str
    event: Event
    raw: bytes


def load_adapter(name: str) -> Adapter:
    """The function that `MODULE:FUNCTION` or `PATH.py:FUNCTION` names.

    Raises:
        AdapterError: if there is no such module, file or function.
    """
    place, _, function = name.rpartition(":")
    if not place or not function:
        raise AdapterError(f"adapter {name!r}: expected MODULE:FUNCTION or PATH.py:FUNCTION")
    try:
        module = _load_file(Path(place)) if place.endswith(".py") else _import(place)
    except Exception as error:
        raise AdapterError(f"adapter {name!r}: cannot load {place!r}: {error}") from error
    found = getattr(module, function, None)
    if not callable(found):
        raise AdapterError(f"adapter {name!r}: {place!r} has no function {function!r}")
    return found  # type: ignore[no-any-return]


def read_events(adapter: Adapter, files: Sequence[Path]) -> list[TimedEvent]:
    """All events of all files, in the order of event time; ties stay in the files' order.

    Fields that no event has are ignored, as a worker ignores them, and named in the log.

    Raises:
        AdapterError: naming the file and the record that is no event.
    """
    decoders = {kind: EventDecoder(kind) for kind in KINDS}
    events = [event for file in files for event in _read_file(adapter, file, decoders)]
    events.sort(key=lambda event: event.at_ms)
    for kind, decoder in decoders.items():
        for name, count in decoder.unknown_fields.items():
            log.warning("%s field %r is not known and was ignored %d times", kind, name, count)
    return events


def _read_file(
    adapter: Adapter, file: Path, decoders: Mapping[Kind, EventDecoder]
) -> Iterator[TimedEvent]:
    count = 0
    try:
        for item in adapter(str(file)):
            count += 1
            yield timed(_validated(item, decoders))
    except _NoEventError as error:
        raise AdapterError(f"{file}: record {count} is no event: {error}") from error
    except Exception as error:
        message = f"{file}: the adapter failed after record {count}: {error!r}"
        raise AdapterError(message) from error


class _NoEventError(Exception):
    """What an adapter yielded is no event; says why."""


def _validated(item: Any, decoders: Mapping[Kind, EventDecoder]) -> Event:
    """The event in a dict, or one made by hand, held to what a worker accepts."""
    if isinstance(item, Mapping):
        kind, fields = item.get("type"), {n: v for n, v in item.items() if n != "type"}
        if kind not in KINDS:
            expected = " or ".join(repr(name) for name in KINDS)
            raise _NoEventError(f"`$.type`: expected {expected}, got {kind!r}")
    elif isinstance(item, Interaction | Survey):
        kind, fields = kind_of(item), _filled(item)
    else:
        raise _NoEventError(f"expected a dict, an Interaction or a Survey, got {item!r}")
    try:
        raw = orjson.dumps(fields)
    except TypeError as error:
        raise _NoEventError(str(error)) from error
    event = decoders[kind].decode(raw)
    if isinstance(event, Ignored):
        raise _NoEventError(f"`$.{event.reason}`: not that of a finished contact")
    if isinstance(event, Refusal):
        raise _NoEventError(event.detail)
    return event


def timed(event: Event) -> TimedEvent:
    """The event with its time, kind, key and JSON."""
    return TimedEvent(
        event_time_ms(event),
        kind_of(event),
        routing_key(event),
        event,
        orjson.dumps(_filled(event)),
    )


def _filled(event: Event) -> dict[str, Any]:
    """The fields that the event has."""
    return {n: v for n in event.__struct_fields__ if (v := getattr(event, n)) is not None}


def _import(name: str) -> Any:
    if "" not in sys.path:
        sys.path.insert(0, "")  # a console script, unlike `python -m`, does not look here
    return importlib.import_module(name)


def _load_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
