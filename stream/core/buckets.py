"""Which windows hold which minute.

Windows overlap: a minute just past is in all of them, one of this morning in `8h` and `today`
only. Minutes held by the same set of windows share a *bucket*, and sums are kept per bucket, so
that an event is added once whatever the number of windows, a minute that passes an edge moves
from one bucket to the next, and a window's sum is the sum of its buckets. Integers throughout:
a bucket that lost its last minute is exactly zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from stream.core.rows import Pane
from stream.core.windows import Window

OUTSIDE: Final = 0
WINDOWS_MAX: Final = 60


class Move(NamedTuple):
    """Panes that go from one bucket to another."""

    source: int
    target: int
    panes: list[Pane]


class Buckets:
    """The buckets of one partition; bucket 0 is outside every window and keeps no sums."""

    def __init__(self, windows: tuple[Window, ...]) -> None:
        """No instant yet: every minute is outside until the first `advance`."""
        if len(windows) > WINDOWS_MAX:
            message = f"{len(windows)} windows: at most {WINDOWS_MAX} are possible"
            raise ValueError(message)
        self.windows = windows
        self.spans: list[tuple[int, int]] = [(0, 0)] * len(windows)
        self.masks: list[int] = [0]
        self._panes: list[int] = [0]
        self._by_mask: dict[int, int] = {0: OUTSIDE}

    def mask(self, minute: int) -> int:
        """The windows that hold `minute`: bit i for window i."""
        return sum(1 << i for i, (low, high) in enumerate(self.spans) if low <= minute < high)

    def place(self, pane: Pane) -> None:
        """Puts a new pane into its bucket."""
        pane.bucket = self._bucket(self.mask(pane.minute))
        self._panes[pane.bucket] += 1

    def forget(self, pane: Pane) -> None:
        """Takes out a pane that is gone for good."""
        self._leave(pane.bucket)

    def of_window(self, window: int) -> list[int]:
        """The buckets whose minutes `window` holds."""
        return [b for b, mask in enumerate(self.masks) if mask >> window & 1 and self._panes[b]]

    def advance(self, now_ms: int, panes: Mapping[int, Pane]) -> list[Move]:
        """Rolls every window to `now_ms`; returns what has to move, already moved in the index."""
        spans = [window.span(now_ms) for window in self.windows]
        if spans == self.spans:
            return []
        passed = _between(self.spans, spans)
        self.spans = spans
        moves: dict[tuple[int, int], Move] = {}
        for pane in _held(panes, passed):
            source, target = pane.bucket, self._bucket(self.mask(pane.minute))
            if source != target:
                self._panes[target] += 1
                pane.bucket = target
                moves.setdefault((source, target), Move(source, target, [])).panes.append(pane)
        for move in moves.values():
            for _ in move.panes:
                self._leave(move.source)
        return list(moves.values())

    def _bucket(self, mask: int) -> int:
        bucket = self._by_mask.get(mask)
        if bucket is None:
            free = next((b for b in range(1, len(self.masks)) if not self.masks[b]), None)
            if free is None:
                free = len(self.masks)
                self.masks.append(0)
                self._panes.append(0)
            bucket = self._by_mask[mask] = free
            self.masks[bucket] = mask
        return bucket

    def _leave(self, bucket: int) -> None:
        self._panes[bucket] -= 1

    def tidy(self) -> None:
        """Frees the buckets that no pane is in. Called when the sums have moved too."""
        for bucket in range(1, len(self.masks)):
            if self.masks[bucket] and not self._panes[bucket]:
                del self._by_mask[self.masks[bucket]]
                self.masks[bucket] = 0


def _between(old: list[tuple[int, int]], new: list[tuple[int, int]]) -> list[range]:
    """The minutes that an edge has passed: only they can change their windows."""
    passed = {
        range(min(a, b), max(a, b))
        for before, after in zip(old, new, strict=True)
        for a, b in zip(before, after, strict=True)
        if a != b
    }
    return list(passed)


def _held(panes: Mapping[int, Pane], passed: list[range]) -> list[Pane]:
    """The panes in the passed minutes, by whichever walk is the shorter."""
    if sum(len(minutes) for minutes in passed) < len(panes):
        minutes = {minute for span in passed for minute in span}
        return [panes[minute] for minute in minutes if minute in panes]
    return [pane for pane in panes.values() if any(pane.minute in span for span in passed)]
