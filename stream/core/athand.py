"""The minutes under work: what is asked of them for every event.

Events come for a few minutes at a time, and rows are kept for days. Dicts and sets of them all
would take several times what the rows take themselves, so those of the minutes last used are
kept, and others are made anew from the rows when an event asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

IDS_MAX: Final = 20_000
BLOCKS_KEPT: Final = 8


class Minute(NamedTuple):
    """The open row of each combination of dimensions, and the ids absorbed."""

    open_rows: dict[int, int]
    ids: set[int]


@dataclass(slots=True)
class _Kept:
    """A minute, the block it was last used in, and how much of the room it took after that."""

    minute: Minute
    used_in: int
    size: int = 0


class AtHand:
    """The minutes last used: all that the last blocks asked for, and others up to `IDS_MAX` ids."""

    def __init__(self, made: Callable[[int], Minute]) -> None:
        """None yet. `made` makes one from its rows."""
        self._made = made
        self._kept: dict[int, _Kept] = {}
        self._used: list[int] = []
        self._block = 0
        self._size = 0

    def __len__(self) -> int:
        """How many minutes."""
        return len(self._kept)

    def get(self, minute: int) -> Minute:
        """A minute, from now on the one last used."""
        kept = self._kept.pop(minute, None) or _Kept(self._made(minute), self._block)
        kept.used_in = self._block
        self._kept[minute] = kept
        self._used.append(minute)
        return kept.minute

    def note_open(self, minute: int, dims: Sequence[int], rows: Sequence[int]) -> None:
        """Rows were opened: from now on the open ones of their combinations."""
        if minute in self._kept:
            self._kept[minute].minute.open_rows.update(zip(dims, rows, strict=True))

    def drop(self, minute: int) -> None:
        """Lets a minute go: its rows have changed otherwise."""
        kept = self._kept.pop(minute, None)
        if kept is not None:
            self._size -= kept.size

    def clear(self) -> None:
        """Lets all minutes go."""
        for minute in list(self._kept):
            self.drop(minute)

    def tidy(self) -> None:
        """Once a block is through: those longest unused go, and are not kept up to date then."""
        self._block += 1
        used, self._used = set(self._used), []
        for kept in [self._kept[minute] for minute in used if minute in self._kept]:
            before, kept.size = kept.size, len(kept.minute.ids) + 1
            self._size += kept.size - before
        while self._size > IDS_MAX:
            oldest = next(iter(self._kept))
            if self._kept[oldest].used_in > self._block - BLOCKS_KEPT:
                return
            self.drop(oldest)
