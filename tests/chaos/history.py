"""What a `read_committed` consumer has seen from offset 0 on, record by record."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, Self

import orjson

from stream.config import Settings
from stream.kafka.clocks import CLOCK_KEY
from tests.chaos.feed import SERIAL, Place
from tests.kafka.board import Board
from tests.kafka.live import Seen, TopicReader

TOPICS: Final = ("interactions", "surveys", "agent_facts", "kpis", "alerts", "dead_letters")
KEPT_READINGS: Final = 2_000
Offsets = dict[tuple[int | None, str], int]


class History:
    """All that stands in the topics; `read` goes on from where it was."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self.places: dict[int, list[Place]] = defaultdict(list)
        self.facts: dict[int, list[Place]] = defaultdict(list)
        self.letters: dict[int, list[str]] = defaultdict(list)
        self.alerts: list[dict[str, Any]] = []
        self.ends: dict[tuple[str, int], int] = {}
        self.board = Board()
        self.readings = 0
        self.readings_twice = 0
        self.readings_out_of_order = 0
        self.kept: list[dict[str, Any]] = []
        self._newest: dict[str, tuple[int, int, Offsets]] = {}
        self._settings = settings
        self._rng = random.Random(seed)
        self._readers: dict[str, TopicReader] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for name in TOPICS:
            reader = TopicReader(self._settings.broker, getattr(self._settings.topics, name))
            self._readers[name] = await self._stack.enter_async_context(reader)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def read(self) -> None:
        """Takes in all that has come since."""
        await self.read_inputs()
        for letter in await self._readers["dead_letters"].read_to_end():
            if (serial := serial_of(letter)) is not None:
                self.letters[serial].append(letter.headers["kpi-reason"].decode())
        self.alerts += [
            orjson.loads(alert.value or b"")
            for alert in await self._readers["alerts"].read_to_end()
        ]
        await self.read_readings()

    async def read_inputs(self) -> None:
        """Takes in what workers count alone: what was sent first, then what they have moved."""
        for name in ("interactions", "surveys"):
            self._note_places(self.places, name, await self._readers[name].read_to_end())
        self._note_places(
            self.facts, "agent_facts", await self._readers["agent_facts"].read_to_end()
        )

    async def read_readings(self) -> None:
        """Takes in the readings alone."""
        seen = await self._readers["kpis"].read_to_end()
        self.board.take(seen)
        for reading in self.board.all:
            self._note_reading(reading)
        self.board.all.clear()

    def _note_places(self, places: dict[int, list[Place]], topic: str, records: list[Seen]) -> None:
        named = getattr(self._settings.topics, topic)
        for record in records:
            self.ends[named, record.partition] = record.offset + 1
            serial = serial_of(record)
            if serial is not None:
                places[serial].append((topic, record.partition, record.offset))
            else:
                assert record.key == CLOCK_KEY, f"{topic}: a record that nobody sent: {record}"

    def _note_reading(self, reading: dict[str, Any]) -> None:
        """Each key's revisions rise: one seen again, or an older one later, is a zombie's.

        Of all readings an even sample is kept.
        """
        self.readings += 1
        key = f"{reading['scope']}/{reading['id']}/{reading['window']}"
        last = self._newest.get(key)
        if last is not None:
            revision, as_of_ms, before = last
            offsets = offsets_of(reading)
            self.readings_twice += reading["revision"] == revision
            self.readings_out_of_order += (
                reading["revision"] < revision
                or reading["as_of_ms"] < as_of_ms
                or any(offsets.get(place, 0) < at for place, at in before.items())
            )
        self._newest[key] = (reading["revision"], reading["as_of_ms"], offsets_of(reading))
        if len(self.kept) < KEPT_READINGS:
            self.kept.append(reading)
        elif (place := self._rng.randrange(self.readings)) < KEPT_READINGS:
            self.kept[place] = reading

    def stands(self, serial: int) -> bool:
        """Whether a record is in its topic."""
        return serial in self.places


def offsets_of(reading: Mapping[str, Any]) -> Offsets:
    """What input a reading says that it includes, of each partition that it is made of."""
    parts = reading.get("parts") or [{"partition": None, "offsets": reading["offsets"]}]
    return {
        (part["partition"], topic): at for part in parts for topic, at in part["offsets"].items()
    }


def serial_of(record: Seen) -> int | None:
    """The number that a record was sent with, whoever has passed it on."""
    raw = record.headers.get(SERIAL)
    return None if raw is None else int(raw)
