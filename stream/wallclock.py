"""The clock on the wall; the core is told the time and never asks."""

from __future__ import annotations

import time


def wall_clock_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
