"""Whether Kafka is heard: what is known of alerts may be said to be so now only while it is. Pure.

A notifier that was frozen, or is cut off, may have been replaced meanwhile: what it knows to fire
may be over, and another has told of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# An idle broker answers twice a second.
CUT_OFF_MS: Final = 15_000


class Hearing:
    """When the partitions of a topic were answered for."""

    def __init__(self) -> None:
        """Nobody was asked yet."""
        self.all_ms: int | None = None
        self._last_ms: int | None = None
        self._since_ms = 0
        self._first_ms: dict[int, int] = {}
        self._has_caught_up = True

    def begin(self, now_ms: int) -> None:
        """Kafka has just said where the topic ends, and it is read up to there."""
        self._last_ms = now_ms

    def note(self, answered_ms: Mapping[int, int | None], lag: int) -> None:
        """When each partition was last answered for, and how many records are not yet read.

        After a silence it is caught up with once each was answered for twice: the first answer may
        have lain in a socket since before.
        """
        heard = {number: at_ms for number, at_ms in answered_ms.items() if at_ms is not None}
        if not heard:
            return
        last_ms = max(heard.values())
        was_silent = self._last_ms is not None and last_ms - self._last_ms > CUT_OFF_MS
        was_put_back = not self._has_caught_up and last_ms < self._since_ms  # the clock
        if was_silent or was_put_back:
            self._since_ms, self._first_ms, self._has_caught_up = last_ms, {}, False
        self._last_ms = last_ms
        for number, at_ms in heard.items():
            if at_ms >= self._since_ms:
                self._first_ms.setdefault(number, at_ms)
        if len(heard) < len(answered_ms):
            return
        self.all_ms = min(heard.values())
        if not lag and all(ms > self._first_ms.get(n, ms) for n, ms in heard.items()):
            self._has_caught_up = True

    def is_cut_off(self, now_ms: int) -> bool:
        """Whether nothing was heard for long, or not yet all that was missed meanwhile.

        A partition that stays silent is not waited for long: others have news.
        """
        if self._last_ms is None:
            return False
        if now_ms - self._last_ms > CUT_OFF_MS:
            return True
        return not self._has_caught_up and now_ms - self._since_ms <= CUT_OFF_MS
