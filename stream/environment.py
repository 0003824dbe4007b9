"""The variables that are meant for us, `KPI_STREAM_*`, and what is wrong with them as such."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from typing import Final

from stream.yamlfile import is_unicode

PREFIX: Final = "KPI_STREAM_"
NESTED: Final = "__"


def faulty_variables(environment: Mapping[str, str], settings: AbstractSet[str]) -> Iterator[str]:
    """A line for each variable that names none of `settings`, or whose value is no text.

    Either would pass in silence: the one as if it were not there, the other until it is to be
    written to Kafka.
    """
    for name in sorted(_ours(environment)):
        if name[len(PREFIX) :].lower().partition(NESTED)[0] not in settings:
            yield f"{name}: no such setting"
        elif not is_unicode(environment[name]):
            yield f"{name}: not UTF-8"


def forget_variables(environment: MutableMapping[str, str]) -> None:
    """Takes ours out: what has settings of its own must not end up at somebody's real broker."""
    for name in _ours(environment):
        del environment[name]


def _ours(environment: Mapping[str, str]) -> list[str]:
    return [name for name in environment if name.upper().startswith(PREFIX)]
