"""A record as it may be shown to people who need not know the customer.

By what may be shown, and not by what may not: a field that nobody knows of, or a value of another
shape than it should have, may hold anything a customer said.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from stream.core.events import TEXT_MAX, Interaction, Survey

REDACTED: Final = "[redacted]"
_HIDDEN: Final = frozenset({"customer_id", "comment", "answers"})
_SHOWN: Final = frozenset({*Interaction.__struct_fields__, *Survey.__struct_fields__}) - _HIDDEN
# A clock record has these.
_CLOCK: Final = frozenset({"now", "settle"})
_QUOTED: Final = re.compile(r"'.*'", re.DOTALL)
_PLACE: Final = re.compile(r"`\$\.([a-z_]+)`")


def redacted_value(raw: bytes | None) -> Any:
    """What may be shown of a record's value: its known fields, or else only its size."""
    if raw is None:
        return None
    fields = _fields(raw)
    if fields is None:
        return f"[{len(raw)} bytes, redacted]"
    return {name[:TEXT_MAX]: _shown(name, value) for name, value in fields.items()}


def redacted_key(key: bytes | None, raw: bytes | None) -> str | None:
    """The key, where it is one of the ids that may be shown; producers may use others."""
    if key is None:
        return None
    shown = redacted_value(raw)
    values = shown.values() if isinstance(shown, dict) else ()
    text = key.decode(errors="replace")
    return text if text in values else REDACTED


def redacted_detail(detail: str) -> str:
    """What is wrong with a record, without the text that it quotes from a field not shown."""
    place = _PLACE.search(detail)
    if place is not None and place[1] in _SHOWN:
        return detail
    return _QUOTED.sub(REDACTED, detail)


def _fields(raw: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _shown(name: str, value: Any) -> Any:
    if value is None or (isinstance(value, bool | int | float) and name in _SHOWN | _CLOCK):
        return value
    is_short = isinstance(value, str) and len(value) <= TEXT_MAX
    return value if is_short and name in _SHOWN else REDACTED
