"""Rolling and calendar windows, in whole minutes since 1970 UTC.

A window of length W at instant t holds the events with event time in [⌈t⌉ − W, ⌈t⌉), where ⌈t⌉ is
t rounded up to the minute, or to the hour for windows of more than a day. `today` is the local
calendar day that contains t, from its midnight to ⌈t⌉.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

MINUTE_MS: Final = 60_000
HOUR_MINUTES: Final = 60
DAY_MINUTES: Final = 24 * HOUR_MINUTES
LONGEST_DAY_MINUTES: Final = 26 * HOUR_MINUTES
WINDOW_MINUTES_MAX: Final = 92 * DAY_MINUTES
TODAY: Final = "today"

_UNIT_MINUTES: Final = {"m": 1, "h": HOUR_MINUTES, "d": DAY_MINUTES}
_UTC: Final = ZoneInfo("UTC")


def ceil_minute(now_ms: int) -> int:
    """The minute that is `now_ms` rounded up: an exact minute stays."""
    return -(-now_ms // MINUTE_MS)


@dataclass(frozen=True, slots=True)
class Window:
    """One window: its name, its longest length and, for a calendar window, its time zone."""

    name: str
    length_minutes: int
    zone: ZoneInfo | None = None

    def span(self, now_ms: int) -> tuple[int, int]:
        """The half-open range of minutes that the window holds at `now_ms`."""
        end = ceil_minute(now_ms)
        if self.zone is not None:
            return _midnight(now_ms, self.zone), end
        if self.length_minutes > DAY_MINUTES:
            end = -(-end // HOUR_MINUTES) * HOUR_MINUTES
        return end - self.length_minutes, end


def parse_window(name: str, zone: ZoneInfo = _UTC) -> Window:
    """The window called `name`: a number and m, h or d (`15m`, `1h`, `7d`), or `today`.

    Raises:
        ValueError: if it is neither, or longer than 92 days.
    """
    if name == TODAY:
        return Window(name, LONGEST_DAY_MINUTES, zone)
    match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", name)
    minutes = int(match[1]) * _UNIT_MINUTES[match[2]] if match else 0
    if not 0 < minutes <= WINDOW_MINUTES_MAX:
        message = f"window {name!r}: expected 'today', or a length up to 92d such as '15m' or '8h'"
        raise ValueError(message)
    return Window(name, minutes)


def retention_minutes(windows: tuple[Window, ...]) -> int:
    """How long a minute is kept: the longest window plus an hour."""
    return max(window.length_minutes for window in windows) + HOUR_MINUTES


def _midnight(now_ms: int, zone: ZoneInfo) -> int:
    """The minute at which the local day of `now_ms` began (its first instant, where it has two)."""
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=now_ms)).astimezone(zone)
    start = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return int(start.timestamp()) // 60
