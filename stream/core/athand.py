"""The minutes under work: what is asked of them for every event.

Events come for a few minutes at a time, and rows are kept for days. Dicts and sets of them all
would take several times what the rows take themselves, so those of the minutes last used are
kept, and others are made anew from the rows when an event asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

IDS_MAX: Final = 20_000
BLOCKS_KEPT: Final = 8


class Minute(NamedTuple):
    """The open row of each combination of dimensions, and the ids absorbed."""

    open_rows: dict[int, int]
    ids: set[int]


class AtHand:
    """The minutes last used: all that the last blocks asked for, and others up to `IDS_MAX` ids."""

    def __init__(self, made: Callable[[int], Minute]) -> None:
        """None yet. `made` makes one from its rows."""
        self._made = made
        self._minutes: dict[int, Minute] = {}
        self._used_in: dict[int, int] = {}
        self._block = 0

    def __len__(self) -> int:
        """How many minutes."""
        return len(self._minutes)

    def get(self, minute: int) -> Minute:
        """A minute, from now on the one last used."""
        found = self._minutes.pop(minute, None)
        found = self._minutes[minute] = self._made(minute) if found is None else found
        self._used_in[minute] = self._block
        return found

    def note_open(self, minute: int, dims: int, row: int) -> None:
        """A row was opened: from now on the open one of its combination."""
        if minute in self._minutes:
            self._minutes[minute].open_rows[dims] = row

    def drop(self, minute: int) -> None:
        """Lets a minute go: its rows have changed otherwise."""
        self._minutes.pop(minute, None)
        self._used_in.pop(minute, None)

    def tidy(self) -> None:
        """Once a block is through: those longest unused go, and are not kept up to date then."""
        self._block += 1
        held = sum(len(minute.ids) + 1 for minute in self._minutes.values())
        for number in list(self._minutes):
            if held <= IDS_MAX or self._used_in[number] > self._block - BLOCKS_KEPT:
                return
            held -= len(self._minutes[number].ids) + 1
            self.drop(number)
