"""The stored rows: each holds as many events as were accepted of its minute and dimensions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import orjson

from stream.sim.counting import MINUTE, Fields
from stream.sim.log import Record
from stream.sim.view import expect

DIMENSIONS: Final = (
    *("agent_id", "site_id", "team_id", "queue", "channel", "campaign", "product", "reason"),
)
_WORD: Final = 8
_HEAD_WORDS: Final = 3

Cell = tuple[int, tuple[Any, ...]]
"""A minute and a combination of dimensions."""


class RowBook:
    """One partition's rows as they are stored, and the events that they have to hold.

    The layout of a row is the system's own: `rowcodec.py` says where its ids begin.
    """

    def __init__(self) -> None:
        """None."""
        self._events: Counter[Cell] = Counter()
        self._stored: dict[bytes, int] = {}

    def accept(self, event: Fields) -> None:
        """An event counts from now on."""
        dims = tuple(event.get(name) for name in DIMENSIONS)
        self._events[event["at"] // MINUTE, dims] += 1

    def judge(self, records: Sequence[Record]) -> None:
        """The rows of one flush, once all it includes was accepted."""
        for record in records:
            if record.key is None or record.key[:1] != b"r":
                continue
            if record.value is None:
                self._stored.pop(record.key, None)
                continue
            self._stored[record.key] = found = _ids_in(record.value)
            cell = int.from_bytes(record.key[1:5]), tuple(orjson.loads(record.key[7:]))
            expected = self._events[cell]
            expect(found == expected, f"the row of {cell} holds {found} events, not {expected}")

    def judge_rest(self, oldest: int) -> None:
        """Every accepted event not yet forgotten is stored, and no row from before `oldest`."""
        held: Counter[Cell] = Counter()
        for key, ids in self._stored.items():
            minute = int.from_bytes(key[1:5])
            expect(minute >= oldest, f"a row of minute {minute} is stored, {oldest} is the oldest")
            held[minute, tuple(orjson.loads(key[7:]))] += ids
        kept = Counter({cell: n for cell, n in self._events.items() if cell[0] >= oldest})
        expect(held == kept, f"stored rows hold {held - kept} too many, {kept - held} too few")


def _ids_in(value: bytes) -> int:
    """How many events a row has absorbed: what is left behind its head and its measures."""
    filled = int.from_bytes(value[2 * _WORD : _HEAD_WORDS * _WORD], "little").bit_count()
    return len(value) // _WORD - _HEAD_WORDS - filled
