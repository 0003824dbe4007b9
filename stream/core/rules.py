"""What a partition is run by: windows, scopes, goals, thresholds and tolerances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream.core.goals import Goal
from stream.core.kpis import ScopeKind
from stream.core.measures import Thresholds
from stream.core.windows import Window


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one partition. `skew_ms`: how far ahead of now an event may be (None: any).

    `shared_kinds`: the scopes to which other partitions contribute as well, and whose figures
    are therefore summed elsewhere (`rollup.py`).

    `keep_all`: refuse nothing as late and forget nothing, as an audit of the past needs it.
    """

    windows: tuple[Window, ...]
    kinds: tuple[ScopeKind, ...]
    goals: tuple[Goal, ...] = ()
    thresholds: Thresholds = field(default_factory=Thresholds)
    queue_teams: Mapping[str, str] = field(default_factory=dict)
    skew_ms: int | None = 300_000
    keep_all: bool = False
    shared_kinds: tuple[ScopeKind, ...] = ()
