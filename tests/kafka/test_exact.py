"""Real calls through a real Apache Kafka: every reading equals an independent SQL query."""

from __future__ import annotations

import asyncio
import random
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from stream.adapters import TimedEvent, read_events
from stream.config import Settings, load_settings
from stream.core.kpis import SCOPE_KINDS
from stream.replay import replay
from tests.kafka import live
from tests.kafka.board import Board, differences, instant_ms, with_samples
from tests.kafka.live import TopicReader, WorkerProcess
from tests.kafka_broker.broker import KafkaBroker
from tests.oracle import adapters, data_dir
from tests.oracle.sql import Expected, Oracle

WINDOWS = ("15m", "1h", "8h", "today", "7d")
IN_FLIGHT_CHECKED = 150
READINGS_PER_FLUSH = 10
SLOW_STRETCH_S = 2.0
SETTLE_TIMEOUT_S = 120.0

Places = Mapping[str, int]
Included = tuple[tuple[tuple[str, int], int], ...]
Question = tuple[int, str, str, Included]


class Case(NamedTuple):
    """A data set with what it is asked at, and the settings that differ from the defaults.

    The instants span more than a week, so that minutes leave the longest window and are forgotten.
    The stretch before instant number `slow` takes its time, so that flushes come upon it on the
    way; it is one of few hours, since each of its minutes is sent by itself.
    """

    file: str
    adapter: Any
    timezone: str
    instants: tuple[str, ...]
    queues: dict[str, Any]
    queue_teams: dict[str, str]
    thresholds: dict[str, tuple[int, int]]
    slow: int


BANK = Case(
    file="anonymous_bank/calls.tsv",
    adapter=adapters.anonymous_bank,
    timezone="Asia/Jerusalem",
    instants=(
        "1999-02-01T09:30:00+02:00",
        "1999-02-01T18:05:00+02:00",
        "1999-02-03T00:00:00+02:00",
        "1999-02-04T11:17:00+02:00",
        "1999-02-07T13:00:00+02:00",
        "1999-02-08T08:01:00+02:00",
        "1999-02-08T23:59:00+02:00",
        "1999-02-09T15:45:00+02:00",
        "1999-02-10T12:30:00+02:00",
        "1999-02-10T17:10:00+02:00",
    ),
    queues={
        "PS": {"team": "team-1", "service_level": "30s", "short_abandon": "10s"},
        "NW": {"team": "team-2"},
    },
    queue_teams={"PS": "team-1", "NW": "team-2"},
    thresholds={"PS": (30_000, 10_000)},
    slow=1,
)
SHOP = Case(
    file="shopzilla/contacts.csv",
    adapter=adapters.shopzilla,
    timezone="Asia/Kolkata",
    instants=tuple(f"2023-08-{day:02}T{hour:02}:{day:02}:00+05:30" for day, hour in (
        (1, 12), (2, 9), (3, 15), (4, 0), (5, 20), (6, 8), (7, 18), (8, 10), (9, 11), (10, 17)
    )),
    queues={},
    queue_teams={},
    thresholds={},
    slow=3,
)  # fmt: skip


class Source:
    """The file's events in the order in which they are replayed, and SQL over them.

    Both partition counts ask the same of SQL, so its answers are kept. An event's `_offset` is
    its place in that order, which says what was replayed by an instant.
    """

    def __init__(self, case: Case) -> None:
        self.events = read_events(case.adapter, [data_dir() / case.file])
        self.oracle = oracle_of(case, [source_event(*item) for item in enumerate(self.events)])
        self._expected: dict[tuple[int, str], Expected] = {}

    def expected(self, as_of_ms: int, scope: str) -> Expected:
        """What SQL gives over the events before an instant; empty windows are left out."""
        found = self._expected.get((as_of_ms, scope))
        if found is None:
            sent = bisect_left(self.events, as_of_ms, key=lambda event: event.at_ms)
            included = {("interaction", 0): sent, ("survey", 0): sent}
            expected = self.oracle.expected(as_of_ms, scope, WINDOWS, included)
            found = self._expected[as_of_ms, scope] = with_samples(expected)
        return found


@cache
def source_of(file: str) -> Source:
    """The source of a case, by its file."""
    return Source(next(case for case in (BANK, SHOP) if case.file == file))


def source_event(number: int, event: TimedEvent) -> dict[str, Any]:
    """An event as it is sent, with its number."""
    return {**orjson.loads(event.raw), "type": event.kind, "_partition": 0, "_offset": number}


async def events_in_topics(settings: Settings) -> list[dict[str, Any]]:
    """The events as they stand in the topics, each with its place, clocks left out."""
    events: list[dict[str, Any]] = []
    topics = {"interaction": settings.topics.interactions, "survey": settings.topics.surveys}
    for kind, topic in topics.items():
        async with TopicReader(settings.broker, topic) as reader:
            events += [
                {
                    **orjson.loads(record.value or b""),
                    "type": kind,
                    "_partition": record.partition,
                    "_offset": record.offset,
                }
                for record in await reader.read_to_end()
                if record.key != b"__clock__"
            ]
    return events


def contents(events: Iterable[Mapping[str, Any]]) -> list[tuple[str, bytes]]:
    """What events say, in an order of their own, without their places."""
    return sorted(
        (
            event["event_id"],
            orjson.dumps(
                {name: value for name, value in event.items() if name[0] != "_"},
                option=orjson.OPT_SORT_KEYS,
            ),
        )
        for event in events
    )


@pytest.mark.slow
@pytest.mark.timeout(480)
@pytest.mark.parametrize("case", [BANK, SHOP], ids=["anonymous_bank", "shopzilla"])
@pytest.mark.parametrize("partitions", [1, 4])
def test_every_reading_equals_sql(
    case: Case, partitions: int, kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """At ten instants, for every scope id and window, and in flight by as_of and offsets."""
    file = data_dir() / case.file
    if not file.exists():
        pytest.skip(f"no test data at {case.file}")
    settings = written_settings(case, partitions, kafka.bootstrap, topic_prefix)
    (tmp_path / "w").mkdir()
    with WorkerProcess(tmp_path / "w", settings) as worker:
        source = source_of(case.file)
        worker.wait_ready(partitions)
        checked = asyncio.run(follow(case, load_settings(tmp_path / "w"), partitions, source))
    print(f"\n{case.file}, {partitions} partitions: {checked}")  # noqa: T201 - figures for the closing note
    assert checked["figures at rest"] > 5_000
    assert checked["readings in flight"] >= 100


def written_settings(case: Case, partitions: int, bootstrap: str, prefix: str) -> dict[str, Any]:
    """The worker's settings for one case."""
    fields = {"time": "replay", "timezone": case.timezone, "queues": case.queues}
    return live.written_settings(bootstrap, prefix, partitions=partitions, **fields)


async def follow(case: Case, settings: Settings, partitions: int, source: Source) -> dict[str, int]:
    """Replays to each instant in turn and compares what the board then shows."""
    board, start_ms = Board(), 0
    figures = 0
    async with TopicReader(settings.broker, settings.topics.kpis) as reader:
        for instant in map(instant_ms, case.instants):
            part = [event for event in source.events if start_ms <= event.at_ms < instant]
            slow = instant == instant_ms(case.instants[case.slow])
            speed = (instant - start_ms) / 1000 / SLOW_STRETCH_S if slow else None
            await replay(settings, part, until_ms=instant, speed=speed)
            start_ms = instant
            for scope in SCOPE_KINDS:
                expected = source.expected(instant, scope)
                figures += await compare_at_rest(expected, board, reader, instant, scope)
    stored = await events_in_topics(settings)
    sent = [source_event(0, event) for event in source.events if event.at_ms < start_ms]
    assert contents(stored) == contents(sent), "SQL has judged what stands in the topics"
    places = {event["agent_id"]: event["_partition"] for event in stored if "agent_id" in event}
    at_rest = set(map(instant_ms, case.instants))
    on_the_way = [reading for reading in board.all if reading["as_of_ms"] not in at_rest]
    in_flight = compare_in_flight(
        oracle_of(case, stored), on_the_way, settings, {} if partitions == 1 else places
    )
    return {
        "figures at rest": figures,
        "readings in flight": in_flight,
        "of those on the way": len(on_the_way),
        "of all": len(board.all),
    }


def oracle_of(case: Case, events: list[dict[str, Any]]) -> Oracle:
    """SQL over these events, by the case's settings."""
    return Oracle(
        events,
        queue_teams=case.queue_teams,
        queue_thresholds=case.thresholds,
        timezone=case.timezone,
    )


async def compare_at_rest(
    expected: Expected, board: Board, reader: TopicReader, as_of_ms: int, scope: str
) -> int:
    """Waits until the board shows this instant, and compares all of it. Counts figures."""
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while (found := board.of(scope, as_of_ms)).keys() != expected.keys():
        board.take(await reader.poll())
        if time.monotonic() > deadline:
            differing = found.keys() ^ expected.keys()
            pytest.fail(f"{scope} at {as_of_ms}: differing keys {differing}")
    for key, figures in expected.items():
        wrong = differences(figures, found[key])
        assert not wrong, f"{scope} {key} at {as_of_ms}: {wrong}"
    return sum(map(len, expected.values()))


def compare_in_flight(
    oracle: Oracle, readings: Sequence[dict[str, Any]], settings: Settings, places: Places
) -> int:
    """Compares readings written on the way, by what input they say they include. Counts them.

    Those that one flush wrote of one scope and window are one question to SQL.
    """
    flushes: dict[Question, list[dict[str, Any]]] = {}
    for reading in readings:
        included = included_by(reading, settings, places)
        question = (reading["as_of_ms"], reading["scope"], reading["window"], included)
        flushes.setdefault(question, []).append(reading)
    checked = 0
    for question in random.Random(7).sample(sorted(flushes), len(flushes)):
        as_of_ms, scope, window, included = question
        expected = oracle.expected(as_of_ms, scope, [window], dict(included))
        for reading in flushes[question][:READINGS_PER_FLUSH]:
            assert not wrong_in_flight(reading, expected)
            checked += 1
        if checked >= IN_FLIGHT_CHECKED:
            break
    return checked


def included_by(reading: Mapping[str, Any], settings: Settings, places: Places) -> Included:
    """Up to which offset of each kind and partition a reading's events are counted."""
    kinds = {"interaction": settings.topics.interactions, "survey": settings.topics.surveys}
    alone = {"partition": places.get(reading["id"], 0), "offsets": reading.get("offsets", {})}
    return tuple(
        ((kind, part["partition"]), part["offsets"].get(topic, 0))
        for part in reading.get("parts", [alone])
        for kind, topic in kinds.items()
    )


def wrong_in_flight(reading: Mapping[str, Any], expected: Expected) -> list[str]:
    """What is wrong with one reading, where SQL gives `expected`."""
    key = (reading["id"], reading["window"])
    if key in expected:
        return (
            [f"{reading['scope']} {key} as of {reading['as_of']}", *wrong]
            if (wrong := differences(expected[key], reading["kpis"]))
            else []
        )
    return [f"{key} as of {reading['as_of']} should be empty"] if reading["has_samples"] else []
