"""A record of the `alerts` topic as its reader takes it: what it does not know it ignores."""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from typing import Final, Literal

from msgspec import DecodeError, Struct, json

from stream.core.alerts import Change
from stream.core.events import TIME_MS_MAX, epoch_ms
from stream.core.goals import Severity
from stream.core.kpis import ScopeKind

ENDED: Final = frozenset({"resolved", "ended_no_data", "withdrawn"})
VERSION: Final = 1
# Many times the longest by the schema; with its end it is kept in one record of Kafka.
VALUE_BYTES_MAX: Final = 64 * 1024


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
    """The transition in a record's value: one that can be put into words.

    Raises:
        ValueError: if it is none, or of another version; says where.
    """
    if value is None:
        raise ValueError("a tombstone")
    if len(value) > VALUE_BYTES_MAX:
        raise ValueError(f"{len(value)} bytes, more than {VALUE_BYTES_MAX}")
    try:
        found = _DECODER.decode(value)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    if found.v != VERSION:
        raise ValueError(f"v: {found.v}; this version reads {VERSION}")
    for name in ("at", "since", "fired_at"):
        _check_instant(name, getattr(found, name))
    _check_target(found.target)
    return found


def _check_instant(name: str, instant: str | None) -> None:
    """Whether people's clocks can show it, and lengths of time be told by it."""
    if instant is None:
        return
    try:
        at = datetime.fromisoformat(instant)
        is_sound = at.tzinfo is not None and 0 <= epoch_ms(at) <= TIME_MS_MAX
    except (ValueError, OverflowError):
        is_sound = False
    if not is_sound:
        raise ValueError(f"{name}: {instant[:40]!r} is no instant with an offset, 1970 to 2100")


def _check_target(target: str) -> None:
    bound = target.partition(" ")[2]
    try:
        is_sound = not bound or isfinite(float(bound))
    except ValueError:
        is_sound = False
    if not is_sound:
        raise ValueError(f"target: {target[:40]!r} has no number for its bound")
