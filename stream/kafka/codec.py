"""What the worker writes to Kafka, apart from rows: JSON by orjson, one function per record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson
from msgspec import Struct, to_builtins

from stream.core.alerts import AlertState
from stream.core.goals import Judgement
from stream.core.kpis import definitions
from stream.core.measures import Thresholds
from stream.core.readings import Reading, ReadingKey
from stream.core.verdicts import AlertKey, Announcement
from stream.core.windows import MINUTE_MS
from stream.kafka.formats import decode_stored

ALERT: Final = b"a"
CHECKPOINT_KEY: Final = b"c"
CHECKPOINT_FORMAT: Final = 1


class Told(Struct):
    """What a partition has told the rollups: its cut, its last sequence, and what it has not.

    `untold_minutes`: those with changes that were not told; None where it may be any.
    """

    cut: int
    sequence: int
    untold_minutes: list[int] | None


class Checkpoint(Struct, kw_only=True):
    """What a partition's stored state includes; one record, written with every flush.

    `writer` and `sequence` name the flush. `offsets`: per input topic, the first offset not
    included; `topic_ids`: of which topics. `partitions`: how many the topics had.
    `kept_from_minute`: older minutes were forgotten. `layouts`: the measure ids by which rows
    were written, by fingerprint; `layout`: the last of them. `since_ms`: measures that a changed
    definition began anew. `told`: what the rollups know. `sources`: of rollups, each source's
    last report. `begun_ms`: when the last alert began.
    """

    format: int
    writer: str
    sequence: int
    now_ms: int
    revision: int
    offsets: dict[str, int]
    clocks: dict[str, int]
    partitions: int
    kept_from_minute: int
    layout: str
    layouts: dict[str, list[str]]
    since_ms: dict[str, int] = {}
    told: Told | None = None
    topic_ids: dict[str, str] = {}
    sources: dict[str, int] = {}
    begun_ms: int = -1


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """The checkpoint record's value."""
    return orjson.dumps(to_builtins(checkpoint))


def decode_checkpoint(value: bytes) -> Checkpoint:
    """The checkpoint in `value`.

    Raises:
        UnknownFormatError: if another version wrote it.
    """
    return decode_stored(value, Checkpoint, CHECKPOINT_FORMAT, "the stored checkpoint")


def encode_alert_key(key: AlertKey) -> bytes:
    """The changelog key of an alert's state."""
    return ALERT + orjson.dumps(list(key))


def decode_alert_key(raw: bytes) -> AlertKey:
    """The alert that a changelog key names."""
    return AlertKey(*orjson.loads(raw[1:]))


def encode_alert_state(state: AlertState) -> bytes:
    """An alert's state, for the changelog."""
    return orjson.dumps([getattr(state, field.name) for field in fields(state)])


def decode_alert_state(value: bytes) -> AlertState:
    """An alert's state from the changelog."""
    return AlertState(*orjson.loads(value))


@lru_cache(maxsize=1_024)
def iso(at_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds; a flush's readings share a few instants."""
    whole, part = divmod(at_ms, 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{part:03}Z"


def epoch_ms(instant: str) -> int:
    """Undoes `iso`, and takes any other RFC 3339 with an offset."""
    return round(datetime.fromisoformat(instant).timestamp() * 1000)


def kpi_key(key: ReadingKey | Reading) -> bytes:
    """The key of the `kpis` topic: scope/id/window."""
    return f"{key.scope}/{key.scope_id}/{key.window}".encode()


def reading_fields(reading: Reading) -> dict[str, Any]:
    """A reading's own part, the same on the topic and from `kpi-stream compute`."""
    return {
        "scope": reading.scope,
        "id": reading.scope_id,
        "window": reading.window,
        "as_of": iso(reading.as_of_ms),
        "kpis": {
            kpi.name: {"value": value, "samples": samples}
            for kpi, value, samples in reading.figures
        },
    }


class ReadingCodec:
    """Encodes readings for the `kpis` topic; definitions are looked up once per queue."""

    def __init__(self, thresholds: Thresholds) -> None:
        """`thresholds` are named in the definitions."""
        self._thresholds = thresholds
        self._definitions: dict[tuple[str, str], dict[str, str]] = {}

    def encode(self, reading: Reading, revision: int, origin: Mapping[str, Any]) -> bytes:
        """The reading with its window, definitions, goals, and `origin`: the input it includes."""
        names = self._names(reading)
        record = reading_fields(reading)
        for name, figure in record["kpis"].items():
            figure["definition"] = names[name]
        record |= {
            "v": 1,
            "from": iso(reading.from_minute * MINUTE_MS),
            "to": iso(reading.to_minute * MINUTE_MS),
            "team": reading.team,
            "revision": revision,
            "goals": {name: _goal_fields(judgement) for name, judgement in reading.judgements},
        }
        record |= origin
        if reading.complete_from:
            since = {name: iso(minute * MINUTE_MS) for name, minute in reading.complete_from}
            record["complete_since"] = since
        return orjson.dumps(record)

    def _names(self, reading: Reading) -> dict[str, str]:
        place = (reading.scope, reading.scope_id if reading.scope == "queue" else "")
        names = self._definitions.get(place)
        if names is None:
            names = definitions(reading.scope, reading.scope_id, self._thresholds)
            self._definitions[place] = names
        return names


def _goal_fields(judgement: Judgement) -> dict[str, Any]:
    return {
        "verdict": judgement.verdict.word,
        "target": str(judgement.terms.target),
        "amber": judgement.amber,
    }


def alert_topic_key(announcement: Announcement) -> bytes:
    """The key of the `alerts` topic: scope/id/goal."""
    scope, key = announcement.transition.alert.scope, announcement.key
    return f"{scope}/{key.scope_id}/{key.goal}".encode()


def encode_announcement(announcement: Announcement, app: str, leads: Mapping[str, str]) -> bytes:
    """A transition with all that its reader needs: who, what, since when, how sure, what to do."""
    goal, judgement = announcement.goal, announcement.judgement
    transition, alert = announcement.transition, announcement.transition.alert
    record: dict[str, Any] = {
        "v": 1,
        "app": app,
        "alert_id": alert.alert_id,
        "goal": announcement.key.goal,
        "scope": alert.scope,
        "id": announcement.key.scope_id,
        "state": transition.change,
        "reason": transition.reason,
        "at": iso(transition.at_ms),
        "since": iso(alert.since_ms),
        "fired_at": None if alert.fired_ms is None else iso(alert.fired_ms),
        "team": announcement.team,
        "lead": leads.get(announcement.team or ""),
    }
    if goal is not None:
        record |= {
            "kpi": goal.kpi.name,
            "unit": goal.kpi.unit,
            "window": goal.window,
            "severity": goal.severity,
            "purpose": goal.purpose,
            "what_to_do": goal.what_to_do,
        }
    if judgement is not None:
        record |= {
            "verdict": judgement.verdict.word,
            "value": judgement.value,
            "samples": judgement.samples,
            "target": str(judgement.terms.target),
        }
    if (tally := announcement.tally) is not None:
        record |= {"agents_judged": tally.judged, "agents_missing": tally.missing}
    return orjson.dumps(record)
