"""A dead letter as it is shown: whole, or without what is the customer's."""

from __future__ import annotations

from typing import Any

from stream.core.redaction import redacted_detail, redacted_key, redacted_value
from stream.kafka.codec import iso
from stream.kafka.deadletters import DeadLetter


def redacted(letter: DeadLetter) -> dict[str, Any]:
    """What helps to mend it. Its own headers may hold anything, and are named only."""
    return {
        **_common(letter),
        "detail": redacted_detail(letter.detail),
        "key": redacted_key(letter.key, letter.value),
        "value": redacted_value(letter.value),
        "headers": [name for name, _ in letter.headers],
    }


def whole(letter: DeadLetter) -> dict[str, Any]:
    """All of it, as text; what is none is written out."""
    return {
        **_common(letter),
        "detail": letter.detail,
        "key": _text(letter.key),
        "value": _text(letter.value),
        "headers": {name: _text(value) for name, value in letter.headers},
    }


def _common(letter: DeadLetter) -> dict[str, Any]:
    return {
        "at": iso(letter.refused_ms),
        "reason": letter.reason,
        "topic": letter.origin.topic,
        "partition": letter.origin.partition,
        "offset": letter.origin.offset,
        "replays": letter.replays,
    }


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="backslashreplace")
