"""What may be shown of a record, and that nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.events import EventDecoder, Interaction, Refusal, Survey
from stream.core.redaction import REDACTED, redacted_detail, redacted_key, redacted_value

PRIVATE = "Mrs Jones, 0171 555"


def test_ids_and_comments_are_hidden_and_the_rest_is_shown() -> None:
    """What a person needs to mend the record is there."""
    survey = {"event_id": "s1", "agent_id": "a", "csat": 9, "resolved": True, "nps": None}
    hidden = {"customer_id": PRIVATE, "comment": PRIVATE, "answers": {PRIVATE: PRIVATE}}
    shown = redacted_value(json.dumps(survey | hidden).encode())
    assert shown == survey | dict.fromkeys(hidden, REDACTED)


@pytest.mark.parametrize(
    "raw",
    [
        f'{{"comment": "{PRIVATE}"'.encode(),
        f'["{PRIVATE}"]'.encode(),
        json.dumps({"phone": PRIVATE, "agent_id": {"name": PRIVATE}}).encode(),
        json.dumps({"queue": PRIVATE * 20, "talk_ms": [PRIVATE], "now": PRIVATE}).encode(),
        json.dumps({"comment": PRIVATE, "customer_id": 1715552}).encode(),
        f'{{"a": "{PRIVATE}", "a": {{"a": "{PRIVATE}"}}}}'.encode(),
        PRIVATE.encode("utf-16"),
        b"{" * 10_000,
    ],
)
def test_nothing_else_passes(raw: bytes) -> None:
    """Unknown fields, known ones of another shape, and what is no JSON object."""
    shown = json.dumps(redacted_value(raw))
    assert "Jones" not in shown
    assert "555" not in shown


# Few of them in each: a text of hundreds of characters takes its time to be made up.
LONG = st.recursive(st.text(min_size=201, max_size=250), st.lists, max_leaves=3)


@given(st.dictionaries(st.text(), LONG, min_size=1, max_size=4))
def test_no_long_or_nested_text_passes(fields: dict[str, Any]) -> None:
    """Whatever the field is called."""
    assert set(redacted_value(json.dumps(fields).encode()).values()) == {REDACTED}


def test_a_key_is_shown_where_it_is_an_id_of_ours() -> None:
    """A producer may key by customer, which costs it speed only."""
    raw = json.dumps({"agent_id": "ann", "customer_id": PRIVATE}).encode()
    assert redacted_key(b"ann", raw) == "ann"
    assert redacted_key(PRIVATE.encode(), raw) == REDACTED
    assert redacted_key(REDACTED.encode(), None) == REDACTED
    assert redacted_key(None, raw) is None


@pytest.mark.parametrize(
    ("fields", "is_quoted"),
    [({"outcome": "handld"}, True), ({"answers": {"why": PRIVATE}}, False)],
)
def test_details_quote_only_what_may_be_shown(fields: dict[str, Any], *, is_quoted: bool) -> None:
    """As the decoder words them: a slip in an outcome helps, an answer is the customer's."""
    least = {"event_id": "e", "interaction_id": "i", "ended_at": 1, "answered_at": 1}
    raw = json.dumps({"outcome": "handled", **least, **fields}).encode()
    kind = "survey" if "answers" in fields else "interaction"
    own = Survey if kind == "survey" else Interaction
    known = {k: v for k, v in json.loads(raw).items() if k in own.__struct_fields__}
    refusal = EventDecoder(kind).decode(json.dumps(known).encode())  # type: ignore[arg-type]
    assert isinstance(refusal, Refusal)
    assert "Invalid enum value" in refusal.detail
    shown = redacted_detail(refusal.detail)
    assert (shown == refusal.detail) is is_quoted
    assert "Jones" not in shown
