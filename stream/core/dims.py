"""What an event may be counted by: its dimensions, which make a row together with its minute."""

from __future__ import annotations

from sys import intern
from typing import NamedTuple


class Dims(NamedTuple):
    """The dimensions of a row, as the event named them; `None` where it did not."""

    agent: str | None
    site: str | None
    team: str | None
    queue: str | None
    channel: str | None
    campaign: str | None
    product: str | None
    reason: str | None


def lasting(dims: Dims) -> Dims:
    """The same, to be kept: of names that are in many combinations, one copy."""
    if None in dims:
        return Dims(*(None if name is None else intern(name) for name in dims))
    return Dims._make(map(intern, dims))  # type: ignore[arg-type]
