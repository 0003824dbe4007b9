"""What is written to Kafka apart from rows: state comes back, and readers find what they need."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.alerts import AlertState
from stream.core.measures import Threshold, Thresholds
from stream.core.readings import Reading
from stream.core.verdicts import AlertKey
from stream.kafka.codec import (
    CHECKPOINT_KEY,
    Checkpoint,
    ReadingCodec,
    decode_alert_key,
    decode_alert_state,
    decode_checkpoint,
    encode_alert_key,
    encode_alert_state,
    encode_checkpoint,
    iso,
    kpi_key,
    reading_fields,
)
from stream.kafka.formats import UnknownFormatError
from stream.kafka.recovery import sort_records
from tests.core.build import call, engine, goal, ms

NAMES = st.text(min_size=1, max_size=20)
COUNTS = st.dictionaries(NAMES, st.integers(0, 2**53), max_size=3)
STATES = st.builds(
    AlertState,
    st.sampled_from(["pending", "firing"]),
    st.integers(0, 2**45),
    st.none() | st.integers(0, 2**45),
    NAMES,
    st.sampled_from(["agent", "queue"]),
)
CHECKPOINTS = st.builds(
    Checkpoint,
    format=st.just(1),
    writer=NAMES,
    sequence=st.integers(0, 2**53),
    now_ms=st.integers(0, 2**45),
    revision=st.integers(0, 2**53),
    offsets=COUNTS,
    clocks=COUNTS,
    partitions=st.integers(1, 1_000),
    kept_from_minute=st.integers(0, 2**40),
    layout=NAMES,
    layouts=st.dictionaries(NAMES, st.lists(NAMES, max_size=3), max_size=3),
    since_ms=COUNTS,
)


@given(CHECKPOINTS)
def test_a_checkpoint_comes_back(checkpoint: Checkpoint) -> None:
    """Every field of it."""
    assert decode_checkpoint(encode_checkpoint(checkpoint)) == checkpoint


@given(st.builds(AlertKey, NAMES, NAMES), STATES)
def test_an_alert_comes_back_under_its_key(key: AlertKey, state: AlertState) -> None:
    """Whatever its goal's and its agent's names consist of."""
    raw = encode_alert_key(key)
    assert decode_alert_key(raw) == key
    assert decode_alert_state(encode_alert_state(state)) == state
    assert sort_records({raw: encode_alert_state(state)}).alerts == {key: state}


@pytest.mark.parametrize("value", [b'{"format":9}', b'{"format":0,"offsets":[]}', b"{}"])
def test_a_checkpoint_of_another_format_is_refused(value: bytes) -> None:
    """A newer version's state is not guessed at, and its format is asked before its fields."""
    with pytest.raises(UnknownFormatError, match=r"stored checkpoint has format (9|0|None); "):
        sort_records({CHECKPOINT_KEY: value})


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_717_408_800_007, "2024-06-03T10:00:00.007Z"),
        (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
    ],
)
def test_instants_are_written_to_the_millisecond(at_ms: int, text: str) -> None:
    """In UTC, whatever the zone of the machine."""
    assert iso(at_ms) == text


def reading() -> Reading:
    """The queue's reading of two calls, of whom one waited too long."""
    goals = (goal(">= 80%", kpi="service_level", scope="queue", name="sl"),)
    made = engine(goals=goals)
    made.begin_judging()
    made.apply([call(queue="a/b", wait_ms=1_000), call(queue="a/b", wait_ms=60_000)])
    made.tick(ms("2024-06-03T12:00:30Z"))
    (found,) = [r for r in made.read_all("queue", "1h") if r.scope_id == "a/b"]
    return found


def test_a_reading_says_what_a_checker_needs() -> None:
    """Its window, as_of, included offsets, each figure's definition and samples, and goals."""
    found = reading()
    written = json.loads(
        ReadingCodec(Thresholds()).encode(found, 7, {"offsets": {"interactions": 42}})
    )
    assert (written["v"], written["revision"], written["offsets"]) == (1, 7, {"interactions": 42})
    assert written["as_of"] == "2024-06-03T12:00:30.000Z"
    assert (written["from"], written["to"]) == (
        "2024-06-03T11:01:00.000Z",
        "2024-06-03T12:01:00.000Z",
    )
    assert written["kpis"]["service_level"] == {
        "value": 0.5,
        "samples": 2,
        "definition": "service_level/1:wait<=20000ms,short<=5000ms,by-end",
    }
    assert written["goals"] == {"sl": {"verdict": "missed", "target": ">= 0.8", "amber": False}}
    assert kpi_key(found) == b"queue/a/b/1h"


def test_a_queues_own_threshold_is_in_its_definition() -> None:
    """Definitions are looked up per queue, and one queue's is not another's."""
    thresholds = Thresholds(by_queue={"a/b": Threshold(30_000, 10_000)})
    codec = ReadingCodec(thresholds)
    found = reading()
    other = found._replace(scope_id="c")
    names = [
        json.loads(codec.encode(r, 1, {}))["kpis"]["service_level"]["definition"]
        for r in (found, other, found)
    ]
    own = "service_level/1:wait<=30000ms,short<=10000ms,by-end"
    assert names == [own, "service_level/1:wait<=20000ms,short<=5000ms,by-end", own]


def test_compute_and_the_topic_say_the_same() -> None:
    """A reading's own part is one function's."""
    found = reading()
    written = json.loads(ReadingCodec(Thresholds()).encode(found, 1, {}))
    own = reading_fields(found)
    for figure in written["kpis"].values():
        del figure["definition"]
    assert {name: written[name] for name in own} == own
