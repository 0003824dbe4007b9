"""What all stages of a partition have in common: records in, a frozen flush out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from faust.types import TP

from stream.core.board import Board
from stream.kafka.delivery import Delivery, Flush

SLOW_AT_ONCE: Final = 20


class Stage(Protocol):
    """One kind of state of one partition. Nothing in it waits.

    `included`: per topic, the first offset that the state does not include. `must_commit`: the
    next flush commits though nothing may have changed.
    """

    number: int
    included: dict[str, int]
    must_commit: bool

    @property
    def engine(self) -> Board[Any]:
        """Its figures."""
        ...

    @property
    def is_dirty(self) -> bool:
        """Whether a flush has something to commit."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether so much waits for a flush that no more may come in."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether it knows all that its figures need, once it has caught up on its topics."""
        ...

    def catch_up(self) -> None:
        """Begins readings and verdicts."""
        ...

    def parts(self, block: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """A block in parts, between which others have to have their turn."""
        ...

    def apply(self, topic: str, block: Sequence[Any]) -> None:
        """Takes in a block of one topic."""
        ...

    def freeze(self, now_ms: int | None) -> Flush:
        """Rolls to `now_ms` (None: as the topics' clocks say) and takes all that changed."""
        ...


def cut_behind(block: Sequence[Any], slow: Sequence[int]) -> Iterator[Sequence[Any]]:
    """A block cut behind each `SLOW_AT_ONCE` of the records at these positions.

    They take milliseconds each, and a replay's blocks may hold thousands: taken in at one go, these
    would keep the flush from ending its transaction, which Kafka then gives up and fences.
    """
    start = 0
    for position in slow[SLOW_AT_ONCE - 1 :: SLOW_AT_ONCE]:
        yield block[start : position + 1]
        start = position + 1
    if start < len(block):
        yield block[start:]


class Recovered(NamedTuple):
    """A stage with its state back, where its topics go on, and where they ended just now."""

    stage: Stage
    resume: dict[TP, int]
    ends: dict[TP, int]


class Lane(Protocol):
    """One kind of stage: its name, its way to Kafka, and its recovery."""

    name: str
    delivery: Delivery

    async def recover(self, number: int) -> Recovered:
        """Fences whoever wrote before, then reads a partition's state back."""
        ...
