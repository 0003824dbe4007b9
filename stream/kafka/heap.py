"""Gives memory that is no longer used back to the system.

Catching up takes fetches of megabytes and sets of ids by the thousand, which come and go among
what is kept. glibc gives back only what is free at the heap's end, and keeps the rest for later
(`malloc_trim(3)`), which a worker that has caught up never needs again.
"""

from __future__ import annotations

import ctypes
from typing import Final

_KEPT_BYTES: Final = 0


def trim_heap() -> bool:
    """Gives back all that is free, a few milliseconds' work; whether any was (only glibc can)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(_KEPT_BYTES))
