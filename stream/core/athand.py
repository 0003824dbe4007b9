"""The minutes under work: what is asked of them for every event.

Events come for a few minutes at a time, and rows are kept for days. Dicts and sets of them all
would take several times what the rows take themselves, so those of the minutes last used are
kept, and others are made anew from the rows when an event asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

IDS_MAX: Final = 50_000


class Minute(NamedTuple):
    """The open row of each combination of dimensions, and the ids absorbed."""

    open_rows: dict[int, int]
    ids: set[int]


class AtHand:
    """The minutes last used, of up to `IDS_MAX` ids together."""

    def __init__(self, made: Callable[[int], Minute]) -> None:
        """None yet. `made` makes one from its rows."""
        self._made = made
        self._minutes: dict[int, Minute] = {}

    def get(self, minute: int) -> Minute:
        """A minute, from now on the one last used."""
        found = self._minutes.pop(minute, None)
        found = self._minutes[minute] = self._made(minute) if found is None else found
        return found

    def note_open(self, minute: int, dims: int, row: int) -> None:
        """A row was opened: from now on the open one of its combination."""
        if minute in self._minutes:
            self._minutes[minute].open_rows[dims] = row

    def drop(self, minute: int) -> None:
        """Lets a minute go: its rows have changed otherwise."""
        self._minutes.pop(minute, None)

    def tidy(self) -> None:
        """Lets those longest unused go. What was got before is no longer kept up to date."""
        held = sum(len(minute.ids) + 1 for minute in self._minutes.values())
        for number in list(self._minutes)[:-1]:
            if held <= IDS_MAX:
                return
            held -= len(self._minutes.pop(number).ids) + 1
