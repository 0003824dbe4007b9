"""What an event may be counted by: its dimensions, which make a row together with its minute."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
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


def lasting(dims: Sequence[Dims]) -> list[Dims]:
    """The same, to be kept: of names that are in many combinations, one copy."""
    columns = map(_interned, zip(*dims, strict=True))
    # As `Dims._make` does, without a step in Python for each.
    return list(map(tuple.__new__, repeat(Dims), zip(*columns, strict=True)))


def _interned(names: Sequence[str | None]) -> list[str | None]:
    if None in names:
        return [None if name is None else intern(name) for name in names]
    return list(map(intern, names))  # type: ignore[arg-type]
