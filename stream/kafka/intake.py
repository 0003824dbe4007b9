"""What a partition's records are: events to be counted here, or refused, ignored or moved on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
from faust.types import TP

from stream.core.engine import LATE
from stream.core.events import (
    KINDS,
    Event,
    EventDecoder,
    Ignored,
    Interaction,
    Kind,
    Refusal,
    Survey,
    routing_key,
)
from stream.kafka.deadletters import Origin, dead_letter
from stream.kafka.delivery import Flush, Outgoing, fits
from stream.kafka.partitioner import partitions_of
from stream.kafka.site import Site

KIND_HEADER: Final = "kpi-kind"
PENDING_RECORDS_MAX: Final = 10_000
PENDING_BYTES_MAX: Final = 64 * 1024 * 1024
_PLACES_CACHED_MAX: Final = 200_000
_AGENT: Final = attrgetter("agent_id")
_EVENTS: Final = {Interaction, Survey}


class Intake:
    """Sorts one partition's records, and holds what is to be written of those not counted."""

    def __init__(self, site: Site, number: int) -> None:
        """Nothing has come yet."""
        self._site = site
        self._number = number
        self._decoders = {kind: EventDecoder(kind) for kind in KINDS}
        self._places: dict[str, int] = {}
        self._dead: list[Outgoing] = []
        self._moved: dict[int, list[Outgoing]] = {}
        self._pending_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether so many refused or moved records wait that no more may come in."""
        records = len(self._dead) + sum(map(len, self._moved.values()))
        return records > PENDING_RECORDS_MAX or self._pending_bytes > PENDING_BYTES_MAX

    def sort(
        self, topic: str, block: Sequence[Any]
    ) -> Iterator[tuple[Kind, Sequence[Event], Sequence[Any]]]:
        """The events to be counted by kind, each with its record.

        A bad record costs its neighbours nothing but a slower look at each of them.
        """
        for kind, records in self._by_kind(topic, block):
            found = self._decoders[kind].decode_block([record.value for record in records])
            self._note_unknown_fields(kind)
            if self._are_all_ours(topic, found):
                yield kind, found, records  # type: ignore[misc]
                continue
            ours = [
                (event, record)
                for event, record in zip(found, records, strict=True)
                if self._is_ours(topic, kind, event, record)
            ]
            if ours:
                yield kind, [event for event, _ in ours], [record for _, record in ours]  # type: ignore[misc]

    def refuse(self, topic: str, record: Any, reason: str, detail: str) -> None:
        """Has a record written to the dead letters; one that is late only where that is asked."""
        telemetry = self._site.telemetry
        telemetry.refused.labels(reason=reason).inc()
        if reason == LATE and not self._site.settings.late_to_dead_letters:
            return
        telemetry.dead_letters.labels(reason=reason).inc()
        origin = Origin(topic, self._number, record.offset, record.timestamp)
        letter = dead_letter(record, reason, detail, origin)
        self._dead.append(letter)
        self._pending_bytes += len(letter.value or b"")

    def write(self, flush: Flush) -> None:
        """Puts what was refused and moved into a flush."""
        topology = self._site.topology
        if self._dead:
            number = self._number % topology.partitions_of(topology.dead_letters)
            place = TP(topology.dead_letters, number)
            flush.outputs.setdefault(place, []).extend(self._dead)
            self._dead = []
        for number, records in self._moved.items():
            flush.outputs.setdefault(TP(topology.agent_facts, number), []).extend(records)
        self._moved = {}
        self._pending_bytes = 0

    def _by_kind(self, topic: str, block: Sequence[Any]) -> Iterator[tuple[Kind, Sequence[Any]]]:
        topology = self._site.topology
        if topic == topology.interactions:
            yield "interaction", block
        elif topic == topology.surveys:
            yield "survey", block
        else:
            marks = [dict(record.headers).get(KIND_HEADER) == b"survey" for record in block]
            for kind, is_survey in (("interaction", False), ("survey", True)):
                records = [r for r, mark in zip(block, marks, strict=True) if mark == is_survey]
                if records:
                    yield kind, records  # type: ignore[misc]

    def _are_all_ours(self, topic: str, found: Sequence[Event | Refusal | Ignored]) -> bool:
        """Whether all are events, and on the partition on which they should be."""
        if not set(map(type, found)) <= _EVENTS:
            return False
        if topic == self._site.topology.agent_facts:
            return True
        keys = list(map(_AGENT, found))
        if None in keys:
            keys = list(map(routing_key, found))  # type: ignore[arg-type]
        places = set(map(self._places.get, keys))
        if None in places:
            self._look_up({key for key in keys if key not in self._places})
            places = set(map(self._places.get, keys))
        return places == {self._number}

    def _is_ours(
        self, topic: str, kind: Kind, event: Event | Refusal | Ignored, record: Any
    ) -> bool:
        """Whether it is to be counted here. What is not is seen to."""
        if isinstance(event, Refusal):
            self.refuse(topic, record, event.reason, event.detail)
            return False
        if isinstance(event, Ignored):
            self._site.telemetry.ignored.labels(reason=event.reason).inc()
            return False
        if topic == self._site.topology.agent_facts:
            return True
        key = routing_key(event)
        place = self._place(key)
        if place != self._number:
            self._move(record, kind, event, place, key)
        return place == self._number

    def _place(self, key: str) -> int:
        if key not in self._places:
            self._look_up({key})
        return self._places[key]

    def _look_up(self, keys: set[str]) -> None:
        if len(self._places) + len(keys) > _PLACES_CACHED_MAX:
            self._places.clear()
        numbers = partitions_of([key.encode() for key in keys], self._site.topology.partitions)
        self._places.update(zip(keys, numbers, strict=True))

    def _move(self, record: Any, kind: Kind, event: Event, place: int, key: str) -> None:
        """Sends a record that another partition owns on: it costs speed only.

        Unchanged, or without the fields that are not counted where with them it is too large.
        """
        mark = (KIND_HEADER, kind.encode())
        moved = Outgoing(key.encode(), record.value, [*record.headers, mark])
        if not fits(moved):
            moved = Outgoing(key.encode(), msgspec.json.encode(event), [mark])
        self._moved.setdefault(place, []).append(moved)
        self._pending_bytes += len(moved.value or b"")
        self._site.telemetry.misplaced.inc()

    def _note_unknown_fields(self, kind: Kind) -> None:
        unknown = self._decoders[kind].unknown_fields
        for name, count in unknown.items():
            self._site.telemetry.count_unknown_field(name, count)
        unknown.clear()
