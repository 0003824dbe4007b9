"""Durations as people write them: `500ms`, `20s`, `1m30s`, `2h`."""

from __future__ import annotations

import re
from typing import Final

_UNIT_MS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_LONGEST_MS: Final = 366 * 86_400_000
_DURATION: Final = re.compile("".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in _UNIT_MS))


def parse_duration_ms(value: object) -> int:
    """Milliseconds from `500ms`, `20s`, `1m30s`, `2h`.

    Raises:
        ValueError: if `value` is something else; a bare number has no unit.
    """
    match = _DURATION.fullmatch(value.replace(" ", "")) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        # Aliases let a small YAML file hold a list whose text would fill the memory.
        shown = repr(value) if isinstance(value, str | int | float) else type(value).__name__
        message = f"{shown[:60]}: expected a duration with its unit, such as '20s' or '1m30s'"
        raise ValueError(message)
    parts = zip(match.groups(), _UNIT_MS.values(), strict=True)
    total_ms = sum(float(number or 0) * unit_ms for number, unit_ms in parts)
    if total_ms > _LONGEST_MS:
        raise ValueError(f"{str(value)[:20]!r}: longer than a year")
    return round(total_ms)
