"""One bad record never costs its block-mates anything, and is itself accounted for once.

The defence is that records are decoded one by one, each refusal where it happens
(`PartitionStage._apply_run`): nothing a record holds may raise, take a neighbour with it, or pass
without a trace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.kafka.clocks import CLOCK_KEY
from stream.kafka.delivery import Flush, Outgoing
from stream.kafka.intake import KIND_HEADER
from stream.kafka.partition import PartitionStage
from stream.kafka.partitioner import partition_of
from tests.kafka.test_partition import MINUTE_MS, NOON_MS, Record, call, stage

TOPICS: Final = ("interactions", "surveys", "agent-facts")
GOOD: Final = call(0).value or b""
ANSWER: Final = json.dumps({"event_id": "s", "answered_at": NOON_MS - 1, "csat": 5}).encode()


def edited(**fields: Any) -> bytes:
    """The good call with other fields."""
    return json.dumps({**json.loads(GOOD), "event_id": "poison", **fields}).encode()


def with_text(text: str) -> bytes:
    """The good call with JSON text spliced in before its end."""
    return GOOD[:-1] + b", " + text.encode("utf-8", "surrogatepass") + b"}"


# By what is wrong with it: the value, and the reason under which it is refused everywhere.
POISON: Final[Mapping[str, tuple[bytes | None, str]]] = {
    "tombstone": (None, "tombstone"),
    "empty": (b"", "malformed"),
    "blank": (b" \n", "malformed"),
    "truncated": (GOOD[:-9], "malformed"),
    "cut in a character": ('{"event_id": "ü'.encode()[:-1], "malformed"),
    "doubled": (GOOD + GOOD, "malformed"),
    "three in an array": (b"[" + b",".join([GOOD] * 3) + b"]", "malformed"),
    "open array": (b"[" + GOOD, "malformed"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, "malformed"),
    "utf-16": (GOOD.decode().encode("utf-16"), "malformed"),
    "latin-1": (b"\xff\xfe{}", "malformed"),
    "nul": (b"\x00" * 64, "malformed"),
    "NaN": (with_text('"talk_ms": NaN'), "malformed"),
    "infinity": (with_text('"x": -Infinity'), "malformed"),
    "half a surrogate": (with_text(r'"queue": "\ud800"'), "malformed"),
    "half a surrogate as bytes": (with_text('"agent_id": "\ud800"'), "invalid"),
    "half a surrogate as a name": (with_text(r'"\udfff": 1'), "malformed"),
    "deep": (with_text('"x": ' + "[" * 50_000 + "]" * 50_000), "malformed"),
    "deep and open": (b'{"a":' * 50_000, "malformed"),
    "a number": (b"7", "malformed"),
    "a text": (b'"call"', "malformed"),
    "null": (b"null", "malformed"),
    "no field": (b"{}", "invalid"),
    "nulls everywhere": (b'{"event_id": null, "ended_at": null, "answered_at": null}', "invalid"),
    "huge text": (edited(event_id="x" * 900_000, answered_at=1), "invalid"),
    "huge integer": (with_text('"ended_at": ' + "9" * 5_000 + ', "answered_at": 1e999'), "invalid"),
    "another version": (edited(v=2, answered_at=NOON_MS), "version"),
    "wrong type": (edited(queue=7, answered_at=NOON_MS), "invalid"),
    "before time": (edited(ended_at=-1, answered_at=-1), "invalid"),
    "the last of two is wrong": (with_text('"queue": "q", "queue": 7'), "invalid"),
}
# What only one kind of topic refuses: the other kind's records among them.
POISON_CALLS: Final[Mapping[str, tuple[bytes | None, str]]] = {
    **POISON,
    "a survey among the calls": (ANSWER, "invalid"),
    "an outcome nobody knows": (edited(outcome="lost"), "invalid"),
    "a negative wait": (edited(wait_ms=-1), "invalid"),
    "a year of talk": (edited(talk_ms=366 * 86_400_000), "invalid"),
    "too late": (edited(ended_at=NOON_MS - 9 * 86_400_000), "late"),
    "too early": (edited(ended_at=NOON_MS + 300_001), "early"),
}
POISON_ANSWERS: Final[Mapping[str, tuple[bytes | None, str]]] = {
    **POISON,
    "a call among the surveys": (GOOD, "invalid"),
    "six of five": (ANSWER[:-2] + b"6}", "invalid"),
}
KEYS: Final = (None, b"", b"q", b"\xff\x00\xc3", b"k" * 5_000)
HEADERS: Final[tuple[tuple[tuple[str, bytes | None], ...], ...]] = (
    (),
    (("trace", b"\xff\x00"), ("trace", b"again")),
    ((KIND_HEADER, b"\xff"),),
    ((KIND_HEADER, None), ("", b"")),
    (("kpi-reason", b"late"), ("kpi-topic", b"elsewhere")),
)


def poison_for(topic: str) -> Mapping[str, tuple[bytes | None, str]]:
    """What a topic refuses."""
    return POISON_ANSWERS if topic == "surveys" else POISON_CALLS


def refused(made: PartitionStage) -> dict[str, float]:
    """How many records were refused, by reason; none where none were."""
    return {
        sample.labels["reason"]: sample.value
        for metric in made.site.telemetry.refused.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.value
    }


def dead_letters(flush: Flush) -> list[Outgoing]:
    """The refused records in a flush."""
    return flush.outputs.pop(TP("dead-letters", flush.partition), [])


def shown(made: PartitionStage) -> list[Any]:
    """Every reading of every scope, and every row's ids and measures."""
    kinds = made.site.rules.kinds
    windows = [window.name for window in made.site.rules.windows]
    rows = made.engine.rows
    places = np.array([row for pane in rows.panes.values() for row in pane.rows], dtype=np.int64)
    keys = [str(rows.key(place)) for place in places.tolist()]
    stored = sorted(zip(keys, rows.ids(places), rows.measures(places).tolist(), strict=True))
    readings = [made.engine.read_all(kind, window) for kind in kinds for window in windows]
    return [stored, readings]


def in_topic(topic: str, values: Sequence[tuple[bytes | None, Any, Any]]) -> list[Record]:
    """Records in a row."""
    return [
        Record(topic, 0, offset, key, value, headers)
        for offset, (value, key, headers) in enumerate(values, start=70)
    ]


@pytest.mark.parametrize("topic", TOPICS)
def test_every_poison_is_refused_once_with_its_reason_and_origin(topic: str) -> None:
    """One of each in one block, good ones between: each in dead letters, unchanged, in order."""
    made = stage(late_to_dead_letters=True)
    made.freeze(NOON_MS)
    poison = poison_for(topic)
    good = ANSWER if topic == "surveys" else GOOD
    values = [value for value, _ in poison.values()]
    block = in_topic(
        topic, [(v, b"k", (("t", b"\xff"),)) for value in values for v in (value, good)]
    )
    made.apply(topic, block)
    letters = dead_letters(made.freeze(NOON_MS))
    assert [(letter.key, letter.value) for letter in letters] == [(b"k", v) for v in values]
    for place, letter, (name, (_, reason)) in zip(block[::2], letters, poison.items(), strict=True):
        headers = dict(letter.headers)
        assert headers["kpi-reason"] == reason.encode(), (name, headers)
        assert headers["kpi-topic"] == topic.encode()
        assert headers["kpi-offset"] == str(place.offset).encode()
        assert headers["kpi-timestamp"] == str(place.timestamp).encode()
        assert headers["t"] == b"\xff"
    assert len(made.engine.rows) == 1
    assert sum(refused(made).values()) == len(poison)


GOOD_ONES: Final = st.lists(
    st.fixed_dictionaries(
        {
            "ended_at": st.integers(NOON_MS - 20 * MINUTE_MS, NOON_MS),
            "agent_id": st.sampled_from(["a", "b", None]),
            "talk_ms": st.integers(0, 9_000),
        }
    ),
    max_size=12,
)
BAD_ONES: Final = st.lists(
    st.tuples(
        st.sampled_from(sorted(POISON_CALLS)), st.sampled_from(KEYS), st.sampled_from(HEADERS)
    ),
    max_size=8,
)


@given(
    good=GOOD_ONES,
    bad=BAD_ONES,
    order=st.randoms(use_true_random=False),
    cut=st.integers(1, 20),
    topic=st.sampled_from(["interactions", "agent-facts"]),
)
@settings(max_examples=120, deadline=None)
def test_good_records_among_poison_count_as_if_alone(
    good: list[dict[str, Any]],
    bad: list[tuple[str, Any, Any]],
    order: Any,
    cut: int,
    topic: str,
) -> None:
    """At random places, in blocks of any size: rows, readings and what else is written agree."""
    events = [(edited(event_id=f"g{n}", **f), b"q", ()) for n, f in enumerate(good)]
    poisoned = [(POISON_CALLS[name][0], key, headers) for name, key, headers in bad]
    mixed: list[tuple[bool, Any]] = [(True, event) for event in events]
    for each in poisoned:
        mixed.insert(order.randint(0, len(mixed)), (False, each))
    alone, among = stage(), stage(late_to_dead_letters=True)
    records = in_topic(topic, [value for _, value in mixed])
    for made, block in (
        (alone, [r for r, (is_good, _) in zip(records, mixed, strict=True) if is_good]),
        (among, records),
    ):
        made.freeze(NOON_MS)
        for start in range(0, len(block), cut):
            made.apply(topic, block[start : start + cut])
    assert shown(among) == shown(alone)
    letters = dead_letters(among.freeze(NOON_MS))
    origins = [int(dict(letter.headers)["kpi-offset"]) for letter in letters]
    expected = [r.offset for r, (is_good, _) in zip(records, mixed, strict=True) if not is_good]
    assert sorted(origins) == expected
    assert sum(refused(among).values()) == len(bad)
    assert among.included.get(topic) == (records[-1].offset + 1 if records else None)


@pytest.mark.parametrize("headers", HEADERS)
def test_odd_headers_cost_a_moved_record_nothing(headers: Any) -> None:
    """The kind is what the mover said last; an unknown one is a contact, as without a header."""
    right = partition_of("a-1", 4)
    value = edited(agent_id="a-1")
    here, there = stage((right + 1) % 4, 4), stage(right, 4)
    here.apply("interactions", in_topic("interactions", [(value, b"q", headers)]))
    (moved,) = here.freeze(NOON_MS).outputs[TP("agent-facts", right)]
    assert moved.value == value
    assert tuple(moved.headers) == (*headers, (KIND_HEADER, b"interaction"))
    there.freeze(NOON_MS)
    there.apply("agent-facts", in_topic("agent-facts", [(value, moved.key, tuple(moved.headers))]))
    there.apply("agent-facts", in_topic("agent-facts", [(value, moved.key, headers)]))
    (reading,) = there.engine.read_all("agent", "1h")
    assert {f.kpi.name: f.value for f in reading.figures}["handled"] == 1
    assert refused(there) == {}


def test_a_moved_survey_is_a_survey_whatever_its_producer_had_said() -> None:
    """The header that the mover adds comes after the producer's own of that name, and wins."""
    right = partition_of("a-1", 4)
    value = json.dumps({**json.loads(ANSWER), "agent_id": "a-1"}).encode()
    here, there = stage((right + 1) % 4, 4), stage(right, 4)
    lie = ((KIND_HEADER, b"interaction"),)
    here.apply("surveys", in_topic("surveys", [(value, b"q", lie)]))
    (moved,) = here.freeze(NOON_MS).outputs[TP("agent-facts", right)]
    there.freeze(NOON_MS)
    there.apply("agent-facts", in_topic("agent-facts", [(value, b"a-1", tuple(moved.headers))]))
    (reading,) = there.engine.read_all("agent", "1h")
    assert {f.kpi.name: f.value for f in reading.figures}["surveys"] == 1


def test_an_unknown_agent_and_a_wrong_key_are_no_poison() -> None:
    """There is no list of agents, and the key is only a hint: both count."""
    made = stage()
    made.freeze(NOON_MS)
    values = [
        (edited(event_id=f"e{n}", agent_id="never seen"), key, ()) for n, key in enumerate(KEYS)
    ]
    made.apply("interactions", in_topic("interactions", values))
    (reading,) = made.engine.read_all("agent", "1h")
    assert {f.kpi.name: f.value for f in reading.figures}["handled"] == len(KEYS)


@pytest.mark.parametrize("time", ["live", "replay"])
def test_broken_clocks_cost_their_block_nothing(time: str) -> None:
    """Live they are ignored and counted; in a replay each is refused once, and now stays."""
    made = stage(time=time)
    if time == "live":
        made.freeze(NOON_MS)
    bad = (None, b"", b'{"now": NaN}', b'{"x":' * 50_000, b'{"now": 1, "settle": 7}')
    values = [(value, CLOCK_KEY, ()) for value in bad]
    good = [(edited(event_id=f"e{n}"), b"q", ()) for n in range(len(bad))]
    made.apply("interactions", in_topic("interactions", [*values, *good]))
    made.apply("interactions", in_topic("interactions", [*good, *values]))
    assert len(made.engine.rows.ids(np.array([0]))[0]) == 8 * len(bad)
    assert refused(made) == ({"invalid": 2 * len(bad)} if time == "replay" else {})
    ignored = made.site.telemetry.ignored.labels(reason="clock")._value.get()
    assert ignored == (0 if time == "replay" else 2 * len(bad))
    assert made.engine.now_ms == (None if time == "replay" else NOON_MS)


def test_a_contact_under_way_is_ignored_once_and_is_no_dead_letter() -> None:
    """It is well formed and reserved for later, so it is counted by itself."""
    made = stage()
    made.apply("interactions", in_topic("interactions", [(edited(phase="started"), b"q", ())]))
    assert dead_letters(made.freeze(NOON_MS)) == []
    assert made.site.telemetry.ignored.labels(reason="phase")._value.get() == 1
    assert (refused(made), len(made.engine.rows)) == ({}, 0)
