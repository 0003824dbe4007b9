"""What the changelog holds: ids in rows, alerts under way, how far minutes were forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.config import Settings
from stream.core.columns import event_digests
from stream.core.events import Kind
from stream.core.measures import measure_ids
from stream.core.rowids import ID_BYTES
from stream.kafka.recovery import StoredState, sort_records
from stream.kafka.rowcodec import RowDecoder
from tests.kafka.live import TopicReader


@dataclass
class Stored:
    """The stored state of all partitions."""

    ids: list[tuple[int, bytes]] = field(default_factory=list)
    alerts: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    kept_from: dict[int, int] = field(default_factory=dict)
    offsets: dict[int, dict[str, int]] = field(default_factory=dict)

    @staticmethod
    def digest(kind: Kind, event_id: str) -> bytes:
        """What stands for an event in a row."""
        return event_digests(kind, [event_id])[0]


async def read_state(settings: Settings) -> Stored:
    """Reads the changelogs from their beginning to their end."""
    stored = Stored()
    for number, records in (await _latest(settings, settings.changelog)).items():
        _sort(stored, number, records, settings)
    if settings.partitions > 1:  # one alone sees whole queues, and needs no rollups
        for records in (await _latest(settings, settings.rollups_changelog)).values():
            _note_alerts(stored, sort_records(records))
    return stored


async def _latest(settings: Settings, topic: str) -> dict[int, dict[bytes, bytes]]:
    """By partition, the last value of each key."""
    latest: dict[int, dict[bytes, bytes]] = {n: {} for n in range(settings.partitions)}
    async with TopicReader(settings.broker, topic) as reader:
        for record in await reader.read_to_end():
            assert record.key is not None
            if record.value is None:
                latest[record.partition].pop(record.key, None)
            else:
                latest[record.partition][record.key] = record.value
    return latest


def _sort(stored: Stored, number: int, records: dict[bytes, bytes], settings: Settings) -> None:
    state = sort_records(records)
    assert state.checkpoint is not None, f"partition {number} has no checkpoint"
    decoder = RowDecoder(
        measure_ids(settings.thresholds()),
        {int(name, 16): layout for name, layout in state.checkpoint.layouts.items()},
    )
    stored.kept_from[number] = state.checkpoint.kept_from_minute
    stored.offsets[number] = state.checkpoint.offsets
    for ids in decoder.decode(state.rows).ids:
        stored.ids += [(number, ids[at : at + ID_BYTES]) for at in range(0, len(ids), ID_BYTES)]
    _note_alerts(stored, state)


def _note_alerts(stored: Stored, state: StoredState) -> None:
    for key, alert in state.alerts.items():
        stored.alerts[key.goal, key.scope_id] = (alert.status, alert.alert_id)
