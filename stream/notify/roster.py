"""Who is who: names or pseudonyms, teams, sites, leads, shifts, by agent id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import ConfigDict, Field, ValidationError

from stream.fields import Strict
from stream.yamlfile import Faults, read_yaml

ROSTER_FILE: Final = "roster.yaml"
AGENTS_MAX: Final = 100_000
VERSION: Final = 1

Text = Annotated[str, Field(min_length=1, max_length=200)]


class Entry(Strict):
    """What is known of one agent; all of it may be left out."""

    name: Text | None = None
    team: Text | None = None
    site: Text | None = None
    lead: Text | None = None
    shift: Text | None = None
    hired: date | None = None
    skills: Annotated[tuple[Text, ...], Field(max_length=100)] = ()


class Record(Entry):
    """An entry as the value of a record of the roster topic, whose key is the agent's id."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    v: int


class _File(Strict):
    agents: Annotated[dict[Text, Entry], Field(max_length=AGENTS_MAX)] = Field(default_factory=dict)


class Roster:
    """The entries by agent id; asking for nobody's gives nothing."""

    def __init__(self, entries: Mapping[str, Entry] | None = None) -> None:
        """Holds these."""
        self._entries = dict(entries or {})

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        """Ids with their entries, sorted."""
        return iter(sorted(self._entries.items()))

    def over(self, other: Self) -> Roster:
        """This one's entries, and the other's where this one has none."""
        return Roster({**other._entries, **self._entries})

    def name(self, agent: str) -> str | None:
        """An agent's name, if it is known."""
        entry = self._entries.get(agent)
        return None if entry is None else entry.name

    def team(self, agent: str) -> str | None:
        """An agent's team, if it is known."""
        entry = self._entries.get(agent)
        return None if entry is None else entry.team

    def lead(self, agent: str) -> str | None:
        """Who leads an agent, if it is known."""
        entry = self._entries.get(agent)
        return None if entry is None else entry.lead


def load_roster(file: Path) -> Roster:
    """The roster in `file`; nobody's where there is no such file.

    Raises:
        Faults: all of them at once, each naming its agent and field.
    """
    if not file.exists():
        return Roster()
    raw = read_yaml(file) or {}
    try:
        return Roster(_File.model_validate(raw).agents)
    except ValidationError as error:
        raise Faults([_explain(fault) for fault in error.errors()]) from error


def decode_entry(value: bytes) -> Entry:
    """The entry in a record of the roster topic; what it does not know it ignores.

    Raises:
        ValueError: if it is none, or of another version; names the field.
    """
    try:
        record = Record.model_validate_json(value)
    except ValidationError as error:
        raise ValueError("; ".join(_place(fault) for fault in error.errors())) from error
    if record.v != VERSION:
        raise ValueError(f"v: {record.v}; this version reads {VERSION}")
    return Entry(**{name: getattr(record, name) for name in Entry.model_fields})


def _explain(fault: Any) -> str:
    """From the outside in: whose entry, which field, what is wrong."""
    place = fault["loc"]
    if place[:1] == ("agents",) and len(place) > 1:
        return f"roster: agent {place[1]!r}: {_place({**fault, 'loc': place[2:]})}"
    return f"roster: {_place(fault)}"


def _place(fault: Any) -> str:
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "no such field"
    place = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    if not place.isprintable():
        place = repr(place)
    return f"{place}: {message}" if place else message
