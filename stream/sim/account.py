"""What the auditor knows of an input partition, and what that has told the rollups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stream.sim.counting import Fields
from stream.sim.rowbook import RowBook
from stream.sim.view import Tallies


@dataclass(slots=True)
class Account:
    """What the auditor knows of one input partition: what was accepted, up to where, as of when."""

    number: int
    now: int
    offsets: dict[str, int] = field(default_factory=dict)
    accepted: dict[tuple[str, str], Fields] = field(default_factory=dict)
    rows: RowBook = field(default_factory=RowBook)


@dataclass(frozen=True, slots=True)
class Report:
    """What a source has told the rollups, and how many of its accepted events that includes."""

    offset: int
    source: int
    sequence: int
    part: dict[str, Any]
    count: int
    tallies: Tallies
