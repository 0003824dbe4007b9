"""A record of the `alerts` topic as its reader takes it: what it does not know it ignores."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import DecodeError, Struct, json

from stream.core.alerts import Change
from stream.core.goals import Severity
from stream.core.kpis import ScopeKind

ENDED: Final = frozenset({"resolved", "ended_no_data", "withdrawn"})
VERSION: Final = 1


class Transition(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One transition of an alert, by `schemas/alert.v1.json`."""

    v: int
    alert_id: str
    goal: str
    scope: ScopeKind
    id: str
    state: Change
    reason: str
    at: str
    since: str
    app: str | None = None
    fired_at: str | None = None
    team: str | None = None
    lead: str | None = None
    kpi: str = ""
    unit: str = ""
    window: str = ""
    severity: Severity = "warning"
    purpose: str = ""
    what_to_do: str = ""
    verdict: Literal["no_data", "met", "unproven", "missed"] = "no_data"
    value: float | None = None
    samples: int = 0
    target: str = ""
    agents_judged: int | None = None
    agents_missing: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it ends an alert that has fired."""
        return self.state in ENDED and self.fired_at is not None

    @property
    def is_widespread(self) -> bool:
        """Whether at least half of the team's agents who are judged on the KPI miss it."""
        if self.scope != "team" or not self.agents_judged or self.agents_missing is None:
            return False
        return 2 * self.agents_missing >= self.agents_judged


_DECODER: Final = json.Decoder(Transition)


def decode_transition(value: bytes | None) -> Transition:
    """The transition in a record's value.

    Raises:
        ValueError: if it is none, or of another version; says where.
    """
    if value is None:
        raise ValueError("a tombstone")
    try:
        found = _DECODER.decode(value)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    if found.v != VERSION:
        raise ValueError(f"v: {found.v}; this version reads {VERSION}")
    return found
