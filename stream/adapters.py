"""Files to events, by an adapter: a Python generator function of the user's own."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from stream.core.events import (
    Event,
    EventDecoder,
    Ignored,
    Interaction,
    Kind,
    Refusal,
    Survey,
    event_time_ms,
    from_mapping,
    kind_of,
    routing_key,
)

Adapter = Callable[[str], Iterable[Any]]
_KINDS: Final[tuple[Kind, ...]] = ("interaction", "survey")
_DECODERS: Final = {kind: EventDecoder(kind) for kind in _KINDS}


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
    except (ImportError, OSError, SyntaxError) as error:
        raise AdapterError(f"adapter {name!r}: cannot load {place!r}: {error}") from error
    found = getattr(module, function, None)
    if not callable(found):
        raise AdapterError(f"adapter {name!r}: {place!r} has no function {function!r}")
    return found  # type: ignore[no-any-return]


def read_events(adapter: Adapter, files: Sequence[Path]) -> list[TimedEvent]:
    """All events of all files, in the order of event time; ties stay in the files' order.

    Raises:
        AdapterError: naming the file and the record that is no event.
    """
    events = [event for file in files for event in _read_file(adapter, file)]
    events.sort(key=lambda event: event.at_ms)
    return events


def _read_file(adapter: Adapter, file: Path) -> Iterator[TimedEvent]:
    for number, item in enumerate(adapter(str(file)), start=1):
        try:
            made = timed(_validated(item))
        except (ValueError, TypeError) as error:
            raise AdapterError(f"{file}: record {number} is no event: {error}") from error
        yield made


def _validated(item: Any) -> Event:
    """The event in a dict, or one made by hand, held to what a worker accepts."""
    if isinstance(item, Mapping):
        return from_mapping(dict(item))
    if not isinstance(item, Interaction | Survey):
        raise TypeError(f"expected a dict, an Interaction or a Survey, got {item!r}")
    event = _DECODERS[kind_of(item)].decode(_encode(item))
    if isinstance(event, Ignored):
        raise ValueError(f"`$.{event.reason}`: not that of a finished contact")  # noqa: TRY004
    if isinstance(event, Refusal):
        raise ValueError(event.detail)  # noqa: TRY004
    return event


def timed(event: Event) -> TimedEvent:
    """The event with its time, kind, key and JSON."""
    return TimedEvent(
        event_time_ms(event), kind_of(event), routing_key(event), event, _encode(event)
    )


def _encode(event: Event) -> bytes:
    fields = {n: v for n in event.__struct_fields__ if (v := getattr(event, n)) is not None}
    return orjson.dumps(msgspec.to_builtins(fields))


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
