"""What aiokafka's fetcher asks about a partition, without a consumer."""

from __future__ import annotations

from aiokafka import TopicPartition


class Position:
    """A partition's position, and the assignment it belongs to."""

    def __init__(self, at: int) -> None:
        self.active = True
        self.paused = False
        self.position = at

    def state_value(self, _: TopicPartition) -> Position:
        """That of the only partition."""
        return self

    def consumed_to(self, position: int) -> None:
        """Moves on."""
        self.position = position
