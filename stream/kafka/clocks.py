"""A replay's clock records: they alone move now, which is the files' and not the wall's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from stream.core.events import EpochMs

CLOCK_KEY: Final = b"__clock__"


class Clock(msgspec.Struct):
    """A clock record: the instant a replay has come to, and whether it ends there."""

    now: EpochMs
    settle: bool = False


_KEY: Final = attrgetter("key")
_DECODER: Final = msgspec.json.Decoder(Clock)


class Clocks:
    """One partition's clocks: now is the least of those of the topics that a replay feeds."""

    def __init__(self, fed: tuple[str, ...]) -> None:
        """No clock yet from any of the topics in `fed`."""
        self.by_topic: dict[str, int] = {}
        self._fed = fed

    def restore(self, by_topic: Mapping[str, int]) -> None:
        """Goes on from stored clocks."""
        self.by_topic = dict(by_topic)

    def take(self, topic: str, value: bytes | None) -> Clock | None:
        """Notes a topic's clock, and returns the partition's, once every topic has one.

        Raises:
            ValueError: if the record is no clock; says what is wrong with it.
        """
        try:
            clock = _DECODER.decode(value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"no clock: {error}") from error
        self.by_topic[topic] = max(clock.now, self.by_topic.get(topic, 0))
        if any(name not in self.by_topic for name in self._fed):
            return None
        return Clock(min(self.by_topic[name] for name in self._fed), clock.settle)


def clocks_in(block: Sequence[Any]) -> list[int]:
    """The positions of the clocks among consumed records."""
    if CLOCK_KEY not in map(_KEY, block):
        return []
    return [position for position, record in enumerate(block) if record.key == CLOCK_KEY]
