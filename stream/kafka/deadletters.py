"""Dead letters: a refused record with the reason and its origin in headers after its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from stream.kafka.delivery import Headers, Outgoing, fits

DETAIL_MAX: Final = 500
REASON: Final = "kpi-reason"
DETAIL: Final = "kpi-detail"
TOPIC: Final = "kpi-topic"
PARTITION: Final = "kpi-partition"
OFFSET: Final = "kpi-offset"
TIMESTAMP: Final = "kpi-timestamp"
# Not among them: it stays with the record when it is refused again, so that a loop is seen.
REPLAYS: Final = "kpi-replays"
# The last, with the size, where a record was too large to be written here.
LEFT_OUT: Final = "kpi-left-out"
_DIGITS_MAX: Final = 18
_OURS: Final = (REASON, DETAIL, TOPIC, PARTITION, OFFSET, TIMESTAMP)


class Origin(NamedTuple):
    """From where a refused record came; `timestamp_ms` is None where its worker did not say."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int | None = None


class DeadLetter(NamedTuple):
    """A refused record, why it was refused, and from where it came.

    `place`: partition and offset of the dead letter itself. `refused_ms`: when it was written.
    `headers`: the refused record's own. `replays`: how often it was re-submitted before.
    `is_left_out`: the record was too large to be written here, and is only at its origin.
    """

    place: tuple[int, int]
    refused_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    reason: str
    detail: str
    origin: Origin
    replays: int
    is_left_out: bool = False


def dead_letter(record: Any, reason: str, detail: str, origin: Origin) -> Outgoing:
    """A refused record as it is written: unchanged, or left out where no topic of ours takes it.

    A flush with a record that is refused would fail for ever.
    """
    ours = dead_letter_headers(reason, detail, origin)
    whole = Outgoing(record.key, record.value, [*record.headers, *ours])
    if fits(whole):
        return whole
    size = str(len(record.value or b"")).encode()
    return Outgoing(None, None, [*ours, (LEFT_OUT, size)])


def dead_letter_headers(reason: str, detail: str, origin: Origin) -> Headers:
    """Why and from where a record was refused, to be written after its own headers."""
    headers = [
        (REASON, reason.encode()),
        (DETAIL, detail[:DETAIL_MAX].encode(errors="replace")),
        (TOPIC, origin.topic.encode()),
        (PARTITION, str(origin.partition).encode()),
        (OFFSET, str(origin.offset).encode()),
    ]
    if origin.timestamp_ms is not None:
        headers.append((TIMESTAMP, str(origin.timestamp_ms).encode()))
    return headers


def read_letter(record: Any) -> DeadLetter | None:
    """The dead letter in a consumed record; None where somebody else put the record there.

    Never raises, whatever the record holds.
    """
    own, ours = _apart(record.headers)
    partition, offset = _number(ours.get(PARTITION)), _number(ours.get(OFFSET))
    if REASON not in ours or TOPIC not in ours or partition is None or offset is None:
        return None
    replays = [value for name, value in own if name == REPLAYS]
    return DeadLetter(
        (record.partition, record.offset),
        record.timestamp,
        record.key,
        record.value,
        own,
        _text(ours[REASON]),
        _text(ours.get(DETAIL)),
        Origin(_text(ours[TOPIC]), partition, offset, _number(ours.get(TIMESTAMP))),
        (_number(replays[-1]) or 0) if replays else 0,
        record.key is None and record.value is None and record.headers[-1][0] == LEFT_OUT,
    )


def resubmission(letter: DeadLetter) -> Outgoing:
    """The refused record as it was, with a header that says how often it was re-submitted."""
    own = [header for header in letter.headers if header[0] != REPLAYS]
    mark = (REPLAYS, str(letter.replays + 1).encode())
    return Outgoing(letter.key, letter.value, [*own, mark], letter.origin.timestamp_ms)


def _apart(headers: Sequence[tuple[str, bytes | None]]) -> tuple[Headers, dict[str, bytes | None]]:
    """The record's own headers, and the last of each of our names.

    A record may have brought headers of these names itself: a dead letter that somebody copied
    back has them.
    """
    own: list[Any] = []
    ours: dict[str, bytes | None] = {}
    for name, value in reversed(headers):
        if name in _OURS and name not in ours:
            ours[name] = value
        else:
            own.append((name, value))
    own.reverse()
    return own, ours


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="replace")


def _number(raw: bytes | None) -> int | None:
    """A decimal number that is sure to fit in Kafka's 64 bits."""
    return int(raw) if raw is not None and raw.isdigit() and len(raw) <= _DIGITS_MAX else None
