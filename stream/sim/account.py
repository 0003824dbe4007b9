"""What the auditor knows of an input partition."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.sim.counting import Fields
from stream.sim.rowbook import RowBook


@dataclass(slots=True)
class Account:
    """What the auditor knows of one input partition: what was accepted, up to where, as of when."""

    number: int
    now: int
    offsets: dict[str, int] = field(default_factory=dict)
    accepted: dict[tuple[str, str], Fields] = field(default_factory=dict)
    rows: RowBook = field(default_factory=RowBook)
