"""Blocks of events column by column: whatever is mixed in one, each event has its own."""

from __future__ import annotations

from stream.core.columns import contributions_of, digests_of, dims_of, event_digests, times_of
from stream.core.dims import lasting
from stream.core.events import Event, event_time_ms, kind_of
from stream.core.measures import Thresholds
from tests.core.build import call, survey

MIXED: list[Event] = [
    call(5, event_id="1"),
    survey("2024-06-03T00:00:00Z", event_id="1", csat=5),
    call("2024-06-03T01:00:00Z", event_id="2", talk_ms=7),
    survey(6, event_id="3"),
]


def test_a_digest_is_eight_bytes_that_every_machine_agrees_on() -> None:
    """Literal digests of BLAKE2b keyed by the kind: ids outlive the process that made them."""
    assert event_digests("interaction", ["e1"])[0].hex() == "441efefe95217cca"
    assert event_digests("survey", ["e1"])[0].hex() == "316859104ec7ea9b"


def test_every_dimension_comes_from_its_own_field() -> None:
    """None is taken for another."""
    names = ["agent_id", "site_id", "team_id", "queue", "channel", "campaign", "product", "reason"]
    fields = {name: name for name in names}
    found = dims_of([call(**fields), survey(**fields), call(agent_id=None)])
    assert found == [tuple(names), tuple(names), (None,) * 8]
    kept = lasting(found)
    assert kept == found
    assert kept[0].reason == "reason"
    assert kept[0].queue is kept[1].queue


def test_each_event_of_a_mixed_block_has_its_own_time_id_and_measures() -> None:
    """Kinds are gathered and put back in their places."""
    assert times_of(MIXED).tolist() == [event_time_ms(event) for event in MIXED]
    assert [digest.tobytes() for digest in digests_of(MIXED)] == [
        event_digests(kind_of(event), [event.event_id])[0] for event in MIXED
    ]
    alone = [contributions_of([event], Thresholds())[0].tolist() for event in MIXED]
    assert contributions_of(MIXED, Thresholds()).tolist() == alone


def test_a_block_of_none_has_columns_of_nothing() -> None:
    """Where all records of a fetch were refused."""
    assert times_of([]).shape == digests_of([]).shape == (0,)
    assert contributions_of([], Thresholds()).shape[0] == 0
