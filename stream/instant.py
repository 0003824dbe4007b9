"""An instant, as a person types it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from stream.core.events import TIME_MS_MAX, epoch_ms

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Instant(click.ParamType):
    """RFC 3339 with an offset, or integer epoch milliseconds."""

    name = "instant"
    _expected = "RFC 3339 with an offset, or epoch ms"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Epoch milliseconds."""
        if isinstance(value, int):
            return value
        try:
            at = _EPOCH + timedelta(milliseconds=int(value)) if value.isdigit() else None
            at = at or datetime.fromisoformat(value)
            if at.tzinfo is not None and not 0 <= epoch_ms(at) <= TIME_MS_MAX:
                self.fail(f"{value!r}: not between 1970 and 2100", param, ctx)
        except (ValueError, OverflowError):
            self.fail(f"{value!r}: expected {self._expected}", param, ctx)
        if at.tzinfo is None:
            self.fail(f"{value!r}: which time zone? Add an offset, such as +02:00", param, ctx)
        return epoch_ms(at)
