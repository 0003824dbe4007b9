"""The events that come in: finished contacts and answered surveys, version 1.

Times are integer epoch milliseconds or RFC 3339 strings with an offset; durations are integer
milliseconds; money is in minor units. An absent field and a `null` both mean *unknown*, never 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

TEXT_MAX: Final = 200
COMMENT_MAX: Final = 4_000
DURATION_MS_MAX: Final = 31 * 24 * 3_600_000
MONEY_MINOR_MAX: Final = 10**12
TIME_MS_MAX: Final = 4_102_444_800_000  # 2100-01-01
UNKNOWN_NAMES_MAX: Final = 100

Kind = Literal["interaction", "survey"]
Outcome = Literal[
    "handled", "abandoned", "callback", "voicemail", "overflowed", "no_answer", "other"
]

Text = Annotated[str, Meta(min_length=1, max_length=TEXT_MAX)]
Duration = Annotated[int, Meta(ge=0, le=DURATION_MS_MAX)]
Money = Annotated[int, Meta(ge=0, le=MONEY_MINOR_MAX)]
EpochMs = Annotated[int, Meta(ge=0, le=TIME_MS_MAX)]
ZonedTime = Annotated[datetime, Meta(tz=True)]
Instant = EpochMs | ZonedTime

_DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Interaction(Struct, kw_only=True, gc=False, forbid_unknown_fields=True):
    """One finished contact, or one leg of it. Its event time is `ended_at` (wrap included)."""

    event_id: Text
    interaction_id: Text
    ended_at: Instant
    outcome: Outcome
    v: Literal[1] | None = 1
    leg: Annotated[int, Meta(ge=1, le=1_000)] | None = 1
    agent_id: Text | None = None
    team_id: Text | None = None
    site_id: Text | None = None
    queue: Text | None = None
    channel: Text | None = None
    campaign: Text | None = None
    product: Text | None = None
    reason: Text | None = None
    customer_id: Text | None = None
    direction: Literal["inbound", "outbound", "internal"] | None = "inbound"
    transferred_by: Literal["agent", "queue", "flow"] | None = None
    queued_at: Instant | None = None
    connected_at: Instant | None = None
    wait_ms: Duration | None = None
    ring_ms: Duration | None = None
    talk_ms: Duration | None = None
    hold_ms: Duration | None = None
    wrap_ms: Duration | None = None
    active_ms: Duration | None = None
    first_response_ms: Duration | None = None
    resolved: bool | None = None
    wrap_code: Text | None = None
    ended_by: Text | None = None
    survey_sent: bool | None = None
    opportunity: bool | None = None
    units: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    sale_minor: Money | None = None
    cost_minor: Money | None = None
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3)] | None = None
    failure_source: Text | None = None
    detected_by: Text | None = None
    tenure_days: Annotated[int, Meta(ge=0, le=36_500)] | None = None
    phase: Literal["ended"] | None = "ended"


class Survey(Struct, kw_only=True, gc=False, forbid_unknown_fields=True):
    """One answered survey. Its event time is `answered_at`."""

    event_id: Text
    answered_at: Instant
    v: Literal[1] | None = 1
    interaction_id: Text | None = None
    agent_id: Text | None = None
    team_id: Text | None = None
    site_id: Text | None = None
    queue: Text | None = None
    channel: Text | None = None
    campaign: Text | None = None
    product: Text | None = None
    reason: Text | None = None
    customer_id: Text | None = None
    sent_at: Instant | None = None
    form: Text | None = None
    csat: Annotated[int, Meta(ge=1, le=5)] | None = None
    nps: Annotated[int, Meta(ge=0, le=10)] | None = None
    ces: Annotated[int, Meta(ge=1, le=7)] | None = None
    resolved: bool | None = None
    answers: (
        Annotated[
            dict[
                Annotated[str, Meta(max_length=TEXT_MAX)],
                Literal["positive", "neutral", "negative"],
            ],
            Meta(max_length=100),
        ]
        | None
    ) = None
    comment: Annotated[str, Meta(max_length=COMMENT_MAX)] | None = None


Event = Interaction | Survey
KINDS: Final[tuple[Kind, ...]] = ("interaction", "survey")
_TYPES: Final[dict[Kind, type[Event]]] = {"interaction": Interaction, "survey": Survey}
TIME_FIELDS: Final[dict[Kind, str]] = {"interaction": "ended_at", "survey": "answered_at"}


class Refusal(Struct, frozen=True, gc=False):
    """Why a record was not accepted: a `reason` from a short list, and the field and place."""

    reason: str
    detail: str


class Ignored(Struct, frozen=True, gc=False):
    """A well-formed record that version 1 does not count, such as a contact still under way."""

    reason: str


def epoch_ms(instant: int | datetime) -> int:
    """Milliseconds since 1970 UTC; a datetime's microseconds are cut, not rounded."""
    if type(instant) is int:
        return instant
    return (instant - _EPOCH) // _MILLISECOND  # type: ignore[operator]


def event_time_ms(event: Event) -> int:
    """The event time: when the contact ended, or when the survey was answered."""
    return epoch_ms(event.ended_at if type(event) is Interaction else event.answered_at)  # type: ignore[union-attr]


def kind_of(event: Event) -> Kind:
    """The kind under which the event's id is unique."""
    return "interaction" if type(event) is Interaction else "survey"


def routing_key(event: Event) -> str:
    """The key a record should have: agent, else queue, else the interaction (else the event)."""
    return event.agent_id or event.queue or event.interaction_id or event.event_id


class EventDecoder:
    """Decodes and validates records of one kind, each by itself.

    Joining a block into one JSON array would be unsafe: three records that are each invalid can
    decode as three valid events. The event types refuse unknown fields, so that the fast path
    pays nothing for counting them: only a record that has some is looked at twice.
    """

    def __init__(self, kind: Kind) -> None:
        """Builds the decoders of `kind`."""
        self.unknown_fields: Counter[str] = Counter()
        self._event = msgspec.json.Decoder(_TYPES[kind])
        self._object = msgspec.json.Decoder(dict[str, msgspec.Raw])
        self._fields = frozenset(_TYPES[kind].__struct_fields__)
        self._time = attrgetter(TIME_FIELDS[kind])

    def decode(self, raw: bytes | None) -> Event | Refusal | Ignored:
        """The event in `raw`, or why it is none. Never raises, whatever `raw` holds."""
        try:
            event = self._event.decode(raw)  # type: ignore[arg-type]
        except (*_DECODE_ERRORS, TypeError):
            return self._explain(raw)
        if type(self._time(event)) is not int and (fault := _untimely(event)):
            return Refusal("invalid", fault)
        return event

    def decode_block(self, raws: Sequence[bytes | None]) -> list[Event | Refusal | Ignored]:
        """The same for many: at one go where all are plain events, and else one by one."""
        events: list[Event | Refusal | Ignored]
        try:
            events = list(map(self._event.decode, raws))  # type: ignore[arg-type]
        except (*_DECODE_ERRORS, TypeError):
            return list(map(self.decode, raws))
        if set(map(type, map(self._time, events))) == {int}:
            return events
        return list(map(self.decode, raws))

    def _explain(self, raw: bytes | None) -> Event | Refusal | Ignored:
        if raw is None:
            return Refusal("tombstone", "the record has no value")
        try:
            fields = self._object.decode(raw)
        except _DECODE_ERRORS as error:
            return Refusal("malformed", f"not a JSON object: {error}")
        if "phase" in self._fields and _names_other_phase(fields.get("phase")):
            return Ignored("phase")
        unknown = [name for name in fields if name not in self._fields]
        known = {name: value for name, value in fields.items() if name in self._fields}
        try:
            event = self._event.decode(msgspec.json.encode(known))
        except _DECODE_ERRORS as error:
            reason = "version" if str(error).endswith("`$.v`") else "invalid"
            return Refusal(reason, f"{error}{_undecodable(known)}")
        if fault := _untimely(event):
            return Refusal("invalid", fault)
        self._count_unknown(unknown)
        return event

    def _count_unknown(self, names: list[str]) -> None:
        for name in names:
            room = name in self.unknown_fields or len(self.unknown_fields) < UNKNOWN_NAMES_MAX
            self.unknown_fields[name[:TEXT_MAX] if room else "(other)"] += 1


def _undecodable(fields: dict[str, msgspec.Raw]) -> str:
    """Where text is not UTF-8, which msgspec reports without naming the field."""
    for name, value in fields.items():
        try:
            msgspec.json.decode(value)
        except UnicodeDecodeError:
            return f" - at `$.{name}`"
        except (msgspec.MsgspecError, RecursionError):
            continue
    return ""


def _untimely(event: Event) -> str | None:
    """What is wrong with the event's time: the range of a text is beyond what its type can say."""
    if 0 <= event_time_ms(event) <= TIME_MS_MAX:
        return None
    return f"Expected a time from 1970 to 2100 - at `$.{TIME_FIELDS[kind_of(event)]}`"


def _names_other_phase(phase: msgspec.Raw | None) -> bool:
    """Whether a record says of itself that its contact has not ended: reserved, not wrong."""
    if phase is None:
        return False
    try:
        name = msgspec.json.decode(phase)
    except _DECODE_ERRORS:
        return False
    return isinstance(name, str) and name != "ended"
