"""What is accepted as an event, and that nothing else ever is, or breaks the worker."""

from __future__ import annotations

import json
import string
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.core.events import (
    TEXT_MAX,
    UNKNOWN_NAMES_MAX,
    Event,
    EventDecoder,
    Ignored,
    Interaction,
    Kind,
    Refusal,
    Survey,
    epoch_ms,
    event_time_ms,
    kind_of,
    routing_key,
)
from tests.core.build import NOON, call, ms, survey

CALL: Final[dict[str, Any]] = {
    "event_id": "e",
    "interaction_id": "c",
    "ended_at": ms(NOON),
    "outcome": "handled",
}
SURVEY: Final[dict[str, Any]] = {"event_id": "e", "answered_at": ms(NOON)}
FULL_CALL: Final = (
    CALL
    | {"v": 1, "leg": 2, "agent_id": "a1", "team_id": "t1", "site_id": "s1", "queue": "q1"}
    | {"channel": "voice", "campaign": "c1", "product": "p1", "reason": "r1"}
    | {"customer_id": "k1", "direction": "outbound", "transferred_by": "agent"}
    | {"queued_at": ms(NOON), "connected_at": NOON, "wait_ms": 0, "ring_ms": 1, "talk_ms": 2}
    | {"hold_ms": 3, "wrap_ms": 4, "active_ms": 5, "first_response_ms": 6, "resolved": False}
    | {"wrap_code": "w1", "ended_by": "customer", "survey_sent": True, "opportunity": True}
    | {"units": 0, "sale_minor": 10**12, "cost_minor": 0, "currency": "EUR"}
    | {"failure_source": "f1", "detected_by": "d1", "tenure_days": 0, "phase": "ended"}
)
FULL_SURVEY: Final = (
    SURVEY
    | {"v": 1, "interaction_id": "c", "agent_id": "a1", "team_id": "t1", "site_id": "s1"}
    | {"queue": "q1", "channel": "voice", "campaign": "c1", "product": "p1", "reason": "r1"}
    | {"customer_id": "k1", "sent_at": NOON, "form": "f1", "csat": 1, "nps": 0, "ces": 7}
    | {"resolved": True, "answers": {"speed": "negative"}, "comment": ""}
)


def decode(kind: Kind, fields: dict[str, Any]) -> Event | Refusal | Ignored:
    """What becomes of a record with these fields."""
    return EventDecoder(kind).decode(json.dumps(fields).encode())


def test_the_required_fields_are_enough() -> None:
    """All else is unknown, but for version, leg, direction and phase."""
    event = decode("interaction", CALL)
    assert event == Interaction(**CALL)
    assert isinstance(event, Interaction)
    assert (event.v, event.leg, event.direction, event.phase) == (1, 1, "inbound", "ended")
    assert event.wait_ms is None
    assert decode("survey", SURVEY) == Survey(**SURVEY)


@pytest.mark.parametrize(
    ("kind", "fields", "type_"),
    [("interaction", FULL_CALL, Interaction), ("survey", FULL_SURVEY, Survey)],
)
def test_every_field_has_a_value_that_is_accepted(
    kind: Kind, fields: dict[str, Any], type_: type
) -> None:
    """The full examples name every field there is, at or near its limits."""
    assert set(fields) == set(type_.__struct_fields__)  # type: ignore[attr-defined]  # a Struct
    assert isinstance(decode(kind, fields), type_)


@pytest.mark.parametrize("kind", ["interaction", "survey"])
def test_null_is_unknown_in_every_optional_field(kind: Kind) -> None:
    """An absent field and a null mean the same."""
    full, required = {"interaction": (FULL_CALL, CALL), "survey": (FULL_SURVEY, SURVEY)}[kind]
    event = decode(kind, required | dict.fromkeys(full.keys() - required.keys()))
    assert isinstance(event, Interaction | Survey)
    assert all(getattr(event, name) is None for name in full.keys() - required.keys())


@pytest.mark.parametrize(
    ("kind", "name"),
    [*(("interaction", name) for name in CALL), *(("survey", name) for name in SURVEY)],
)
def test_a_missing_or_null_required_field_is_named(kind: Kind, name: str) -> None:
    """A record without it is refused with the field's name."""
    fields = {"interaction": CALL, "survey": SURVEY}[kind]
    missing = decode(kind, {key: value for key, value in fields.items() if key != name})
    assert missing == Refusal("invalid", f"Object missing required field `{name}`")
    null = decode(kind, fields | {name: None})
    assert isinstance(null, Refusal)
    assert null.detail.endswith(f"`$.{name}`")


_TEXTS: Final = ("event_id", "interaction_id", "agent_id", "team_id", "site_id", "queue", "channel")
_MORE_TEXTS: Final = ("campaign", "product", "reason", "customer_id")
_CALL_TEXTS: Final = ("wrap_code", "ended_by", "failure_source", "detected_by")
_DURATIONS: Final = ("wait_ms", "ring_ms", "talk_ms", "hold_ms", "wrap_ms", "active_ms")
_NO_TEXT: Final[tuple[object, ...]] = (0, True, "", "x" * 201, [], {})
_NO_DURATION: Final[tuple[object, ...]] = (-1, 2_678_400_001, 1.5, 1e3, "1", True, [], 10**30)
_NO_INSTANT: Final[tuple[object, ...]] = (
    *(-1, 4_102_444_800_001, 10**30, 1.5, True, "", "noon", "2024-06-03", "12:00:00Z", [], {}),
    *("2024-06-03T12:00:00", "2024-06-03T24:00:01Z", "2024-02-30T12:00:00Z", "1717416000000"),
    *("1969-12-31T23:59:59.999Z", "2100-01-01T00:00:00.001Z", "0001-01-01T00:00:00+23:59"),
    *("9999-12-31T23:59:59-23:59",),
)
_NO_FLAG: Final[tuple[object, ...]] = (0, 1, "true", "", [])
_WRONG_CALL: Final = {
    **dict.fromkeys((*_TEXTS, *_MORE_TEXTS, *_CALL_TEXTS), _NO_TEXT),
    **dict.fromkeys((*_DURATIONS, "first_response_ms"), _NO_DURATION),
    "ended_at": _NO_INSTANT,
    **dict.fromkeys(("resolved", "survey_sent", "opportunity"), _NO_FLAG),
    **dict.fromkeys(("sale_minor", "cost_minor"), (-1, 10**12 + 1, 0.5, "1")),
    "queued_at": ("noon", 1.5, -1),
    "connected_at": ("noon", 1.5, -1),
    "outcome": ("Handled", "answered", "", 1),
    "leg": (0, -1, 1_001, 1.5, "1", True),
    "direction": ("in", "INBOUND", 1),
    "transferred_by": ("customer", "", 1),
    "units": (-1, 1_000_001, 0.5, "1"),
    "currency": ("", "eur", "EURO", "EU", "EUR\n", 978),
    "tenure_days": (-1, 36_501, 0.5, "1"),
    "phase": (1, [], False),
}
_WRONG_SURVEY: Final = {
    **dict.fromkeys((*_TEXTS, *_MORE_TEXTS, "form"), _NO_TEXT),
    "answered_at": _NO_INSTANT,
    "sent_at": ("noon", 1.5, -1),
    "csat": (0, 6, 4.5, "5", True),
    "nps": (-1, 11, 9.5, "10"),
    "ces": (0, 8, 0.5, "7"),
    "resolved": _NO_FLAG,
    "answers": ([], {"speed": "good"}, {"speed": 1}, {str(i): "neutral" for i in range(101)}),
    "comment": (0, "x" * 4_001),
}


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        *(("interaction", name, v) for name, values in _WRONG_CALL.items() for v in values),
        *(("survey", name, v) for name, values in _WRONG_SURVEY.items() for v in values),
    ],
)
def test_a_wrong_type_or_range_is_refused_naming_the_field(
    kind: Kind, name: str, value: object
) -> None:
    """Whatever is wrong with a field, the dead letter says which field it is."""
    fields = {"interaction": CALL, "survey": SURVEY}[kind]
    refusal = decode(kind, fields | {name: value})
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "invalid"
    assert f"`$.{name}" in refusal.detail


@pytest.mark.parametrize("value", [0, 2, "1", 1.5, True])
def test_another_version_has_a_reason_of_its_own(value: object) -> None:
    """A producer that is ahead of the worker is told apart from a faulty one."""
    refusal = decode("interaction", CALL | {"v": value})
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, "`$.v`" in refusal.detail) == ("version", True)


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        (0, 0),
        (4_102_444_800_000, 4_102_444_800_000),
        ("1970-01-01T00:00:00Z", 0),
        ("2100-01-01T00:00:00Z", 4_102_444_800_000),
        ("2024-06-03T12:00:00Z", 1_717_416_000_000),
        ("2024-06-03t14:00:00+02:00", 1_717_416_000_000),
        ("2024-06-03T17:45:00+05:45", 1_717_416_000_000),
        ("2024-06-03T12:00:00.0019Z", 1_717_416_000_001),
        ("1970-01-01T00:00:00.000999-00:00", 0),
    ],
)
def test_a_time_is_milliseconds_or_a_text_with_an_offset(instant: object, expected: int) -> None:
    """Both spellings are one instant; below the millisecond is cut, not rounded."""
    event = decode("interaction", CALL | {"ended_at": instant})
    assert isinstance(event, Interaction)
    assert event_time_ms(event) == expected


def test_microseconds_are_cut() -> None:
    """A datetime just before a minute stays in it."""
    instant = datetime(2024, 6, 3, 11, 59, 59, 999_999, tzinfo=UTC)
    assert epoch_ms(instant) == ms(NOON) - 1


def test_event_time_is_the_end_or_the_answer() -> None:
    """Neither when a contact began nor when a survey was sent decides its minute."""
    ended = decode("interaction", CALL | {"queued_at": 1, "connected_at": 2})
    answered = decode("survey", SURVEY | {"sent_at": 1})
    assert isinstance(ended, Interaction)
    assert isinstance(answered, Survey)
    assert (event_time_ms(ended), event_time_ms(answered)) == (ms(NOON), ms(NOON))


def test_a_kind_follows_from_the_type() -> None:
    """Ids are unique within it."""
    assert (kind_of(call()), kind_of(survey())) == ("interaction", "survey")


@pytest.mark.parametrize(
    ("event", "key"),
    [
        (call(agent_id="a1", queue="q1"), "a1"),
        (call(agent_id=None, queue="q1"), "q1"),
        (call(agent_id=None, interaction_id="c1"), "c1"),
        (survey(agent_id=None, interaction_id="c1"), "c1"),
        (survey(agent_id=None, event_id="e1"), "e1"),
    ],
)
def test_a_record_is_keyed_by_agent_then_queue_then_contact(event: Event, key: str) -> None:
    """What belongs together is on one partition, and everything has a key."""
    assert routing_key(event) == key


def test_unknown_fields_are_counted_and_harm_nothing() -> None:
    """The event is the same without them; the counter shows a producer's misspelling."""
    decoder = EventDecoder("interaction")
    raw = json.dumps(CALL | {"waitms": 3, "nested": {"deep": [1, None, "x"]}}).encode()
    assert decoder.decode(raw) == Interaction(**CALL)
    decoder.decode(json.dumps(CALL | {"waitms": None}).encode())
    assert decoder.unknown_fields == {"waitms": 2, "nested": 1}


def test_unknown_fields_of_a_refused_record_are_not_counted() -> None:
    """The counter is about accepted records."""
    decoder = EventDecoder("survey")
    assert isinstance(decoder.decode(b'{"event_id":"e","typo":1}'), Refusal)
    assert decoder.unknown_fields == {}


def test_the_names_of_unknown_fields_are_bounded() -> None:
    """Past a hundred names the rest is counted together, and a long name is cut."""
    decoder = EventDecoder("survey")
    decoder.decode(json.dumps(SURVEY | {"x" * 999: 1}).encode())
    for number in range(200):
        decoder.decode(json.dumps(SURVEY | {f"n{number}": 1}).encode())
    assert len(decoder.unknown_fields) == UNKNOWN_NAMES_MAX + 1
    assert decoder.unknown_fields["(other)"] == 200 - (UNKNOWN_NAMES_MAX - 1)
    assert max(map(len, decoder.unknown_fields)) == TEXT_MAX
    decoder.decode(json.dumps(SURVEY | {"n0": 1}).encode())
    assert decoder.unknown_fields["n0"] == 2


@pytest.mark.parametrize("more", [{}, {"ended_at": None}, {"new": 1}, {"v": 2}])
def test_another_phase_is_ignored_whatever_else_it_says(more: dict[str, Any]) -> None:
    """A contact still under way is reserved for later, not wrong."""
    assert decode("interaction", CALL | {"phase": "started"} | more) == Ignored("phase")


def test_a_survey_has_no_phase() -> None:
    """There it is an unknown field like any other."""
    assert isinstance(decode("survey", SURVEY | {"phase": "started"}), Survey)


_GOOD: Final = json.dumps(CALL).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"1",
        b'"text"',
        b"{",
        _GOOD[:-1],
        _GOOD + b"x",
        _GOOD + _GOOD,
        b"[" + _GOOD + b"]",
        b"\xef\xbb\xbf" + _GOOD,
        b"\x00" + _GOOD,
        _GOOD[:-1] + b', "x": NaN}',
        _GOOD[:-1] + b', "x": Infinity}',
        _GOOD[:-1] + b', "wait_ms": NaN}',
        _GOOD[:-1] + b', "wait_ms": 01}',
        _GOOD[:-1] + b', "queue": "\\ud800"}',
        _GOOD[:-1] + b', "queue": "\\udc00\\ud800"}',
        _GOOD[:-1] + b', "\\ud800": 1}',
        _GOOD[:-1] + b', "\xff": 1}',
        _GOOD[:-1] + b", 'queue': 1}",
        _GOOD[:-1] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=range(25),
)
def test_what_is_no_json_object_is_malformed(raw: bytes) -> None:
    """Truncated, doubled, too deep, not UTF-8, half a surrogate: refused, not raised."""
    refusal = EventDecoder("interaction").decode(raw)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "malformed"


@pytest.mark.parametrize("name", ["event_id", "agent_id", "customer_id"])
def test_a_text_that_is_not_utf8_is_refused(name: str) -> None:
    """No event holds text that could not be written again."""
    fields = {key: value for key, value in CALL.items() if key != name}
    raw = json.dumps(fields).encode()[:-1] + b', "%s": "\xed\xa0\x80"}' % name.encode()
    assert isinstance(EventDecoder("interaction").decode(raw), Refusal)


def test_a_tombstone_is_refused_with_its_own_reason() -> None:
    """A record without a value says nothing."""
    assert EventDecoder("survey").decode(None) == Refusal("tombstone", "the record has no value")


@pytest.mark.parametrize("extra", [b"", b', "unknown": 1'])
def test_of_a_key_given_twice_the_last_counts(extra: bytes) -> None:
    """On the fast path and on the slow one alike."""
    raw = _GOOD[:-1] + b', "queue": "q1", "queue": "q2"' + extra + b"}"
    event = EventDecoder("interaction").decode(raw)
    assert isinstance(event, Interaction)
    assert event.queue == "q2"


_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["handled", "ended", "started", "2024-06-03T12:00:00Z", ms(NOON)]),
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
_RECORDS = st.dictionaries(
    st.sampled_from([*FULL_CALL, *FULL_SURVEY]) | st.text(string.printable, max_size=4), _JSON
)


@given(raw=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode()))
@example(raw=b"\xff")
@settings(max_examples=300, deadline=None)
def test_no_bytes_raise(raw: bytes) -> None:
    """Whatever a record's value is, the decoder returns."""
    kinds: tuple[Kind, ...] = ("interaction", "survey")
    for kind in kinds:
        assert isinstance(EventDecoder(kind).decode(raw), Refusal | Ignored)


@given(fields=_RECORDS, cut=st.none() | st.integers(0, 200), kind=st.sampled_from(["i", "s"]))
@settings(max_examples=400, deadline=None)
def test_no_record_raises_and_what_is_accepted_can_be_counted(
    fields: dict[str, Any], cut: int | None, kind: str
) -> None:
    """Near-valid records, whole or truncated: an event has a time in range and encodable ids."""
    name: Kind = "interaction" if kind == "i" else "survey"
    base: dict[str, Any] = {"interaction": CALL, "survey": SURVEY}[name]
    decoded = EventDecoder(name).decode(json.dumps(base | fields).encode()[:cut])
    assert isinstance(decoded, Interaction | Survey | Refusal | Ignored)
    if isinstance(decoded, Interaction | Survey):
        assert 0 <= event_time_ms(decoded) <= 4_102_444_800_000
        routing_key(decoded).encode()
