"""The schemas against the product: what it accepts, and what it writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.config import Settings, Topics
from stream.core.alerts import Change, Reason
from stream.core.engine import Engine
from stream.core.events import (
    TEXT_MAX,
    TIME_MS_MAX,
    EventDecoder,
    Ignored,
    Interaction,
    Kind,
    Survey,
)
from stream.core.goals import Goal, Severity, Terms, Verdict, parse_target
from stream.core.kpis import CATALOGUE, SCOPE_KINDS, Unit
from stream.core.measures import Threshold, Thresholds
from stream.core.rules import Rules
from stream.core.windows import parse_window
from stream.kafka.codec import (
    ReadingCodec,
    alert_topic_key,
    encode_announcement,
    kpi_key,
)
from stream.kafka.deadletters import Origin, dead_letter_headers
from tests.core.build import from_mapping
from tests.schemas.contracts import SCHEMAS, examples, faults, schema
from tests.schemas.test_schemas import label, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS: tuple[Kind, ...] = ("interaction", "survey")
NOW_MS = 1_772_440_872_500  # 2026-03-02T08:41:12.5Z
HOUR_MS = 3_600_000


def accepts(kind: Kind, document: Any) -> bool:
    """Whether the product takes the document for an event."""
    raw = json.dumps(document).encode()
    return isinstance(EventDecoder(kind).decode(raw), Interaction | Survey)


# ---------------------------------------------------------------- what comes in


@pytest.mark.parametrize(
    ("kind", "file"), [e for e in examples("good") if e[0] in KINDS], ids=label
)
def test_good_events_are_accepted(kind: Kind, file: Path) -> None:
    """A good example is an event for the decoder, too."""
    assert accepts(kind, load(file))


@pytest.mark.parametrize(("kind", "file"), [e for e in examples("bad") if e[0] in KINDS], ids=label)
def test_bad_events_are_refused(kind: Kind, file: Path) -> None:
    """A bad example is none for the decoder, either."""
    assert not accepts(kind, load(file))


@pytest.mark.parametrize(("kind", "event"), [("interaction", Interaction), ("survey", Survey)])
def test_schemas_have_the_decoders_fields(kind: str, event: type[Interaction | Survey]) -> None:
    """Neither knows a field that the other does not, nor demands one."""
    document = schema(kind)
    assert set(document["properties"]) == set(event.__struct_fields__)
    required = event.__struct_fields__[: -len(event.__struct_defaults__) or None]
    assert set(document["required"]) == set(required)


EPOCH_TIMES = (0, 1, NOW_MS, TIME_MS_MAX, TIME_MS_MAX + 1, -1)
TIME_TEXTS = (
    "2026-03-02T08:41:12Z",
    "2026-03-02t08:41:12.123456789z",
    "2024-02-29T23:59:59.9+14:00",
    "2026-03-02T08:41:12-00:00",
    "2026-02-29T08:41:12Z",
    "2026-04-31T08:41:12Z",
    "2026-13-01T08:41:12Z",
    "2026-03-02T24:00:00Z",
    "2026-03-02T08:41:60Z",
    "2026-03-02T08:41:12",
    "2026-03-02T08:41Z",
    "2026-03-02T08:41:12+24:00",
    "0000-01-01T00:00:00Z",
    "2026-03-02",
    "1772440872500",
)
NUMBERS = (0, 1, 2, 5, 6, 7, 8, 10, 11, 1_000, 1_001, 36_500, 36_501, -1, 0.5, 4.5)
LARGE = (1_000_000, 1_000_001, 2_678_400_000, 2_678_400_001, 10**12, 10**12 + 1, 2**64)
TEXTS = ("", " ", "a", "x" * TEXT_MAX, "😀" * TEXT_MAX, "x" * (TEXT_MAX + 1), "\x00", "1")
COMMENTS = ("x" * 4_000, "x" * 4_001)
WORDS = (
    *("handled", "abandoned", "Handled", "inbound", "outbound", "agent", "flow", "ended"),
    *("queued", "EUR", "eur", "EURO", "positive", "neutral"),
)
OTHERS: tuple[Any, ...] = (
    *(None, True, False, [], ["positive"], {}),
    *({"q": "positive"}, {"": "negative"}, {"q": "good"}, {"q": None}, {"q" * 201: "neutral"}),
    {f"q{n}": "neutral" for n in range(100)},
    {f"q{n}": "neutral" for n in range(101)},
)
VALUES = (*EPOCH_TIMES, *TIME_TEXTS, *NUMBERS, *LARGE, *TEXTS, *COMMENTS, *WORDS, *OTHERS)
LEAST: dict[Kind, dict[str, Any]] = {
    "interaction": {
        "event_id": "e",
        "interaction_id": "i",
        "ended_at": NOW_MS,
        "outcome": "handled",
    },
    "survey": {"event_id": "e", "answered_at": NOW_MS},
}


@st.composite
def candidates(draw: st.DrawFn) -> tuple[Kind, dict[str, Any]]:
    """Documents that are events but for a few fields with values of any property's kind.

    Left out are the differences that `schemas/README.md` names: whole floats such as 5.0, and
    the two spellings of times that the decoder takes beyond RFC 3339.
    """
    kind = draw(st.sampled_from(KINDS))
    names = st.sampled_from([*schema(kind)["properties"], "of_another_version"])
    document = LEAST[kind] | draw(st.dictionaries(names, st.sampled_from(VALUES), max_size=4))
    for name in draw(st.lists(st.sampled_from(list(LEAST[kind])), max_size=1)):
        if draw(st.booleans()):
            del document[name]
    return kind, document


@settings(max_examples=1_000)
@given(candidates())
def test_schema_and_decoder_agree(candidate: tuple[Kind, dict[str, Any]]) -> None:
    """What the schema calls valid the decoder accepts, and nothing else."""
    kind, document = candidate
    assert accepts(kind, document) == (faults(kind, document) == []), faults(kind, document)


@pytest.mark.parametrize("kind", KINDS)
def test_schema_and_decoder_agree_field_by_field(kind: Kind) -> None:
    """Each field alone, with every one of those values: no combination is needed to differ."""
    breaches = [
        (name, value)
        for name in schema(kind)["properties"]
        for value in VALUES
        if accepts(kind, document := LEAST[kind] | {name: value}) != (not faults(kind, document))
    ]
    assert breaches == []


@pytest.mark.parametrize(
    ("field", "value", "valid", "accepted"),
    [
        ("talk_ms", 5.0, True, False),
        ("ended_at", "2026-03-02 08:41:12Z", False, True),
        ("ended_at", "2026-03-02T08:41:12+0100", False, True),
    ],
)
def test_the_differences_are_those_the_readme_names(
    field: str, value: Any, valid: bool, accepted: bool
) -> None:
    """5.0 is an integer to JSON Schema; and the decoder forgives two spellings of a time."""
    document = LEAST["interaction"] | {field: value}
    assert (faults("interaction", document) == []) is valid
    assert accepts("interaction", document) is accepted


def test_other_phases_are_ignored_not_refused() -> None:
    """Version 1 does not describe a contact under way, and the worker does not refuse it."""
    document = LEAST["interaction"] | {"phase": "queued"}
    assert faults("interaction", document) != []
    decoded = EventDecoder("interaction").decode(json.dumps(document).encode())
    assert isinstance(decoded, Ignored)


# ---------------------------------------------------------------- what goes out


def goals() -> tuple[Goal, ...]:
    """One goal that is missed, one that is met, one that stays unproven, and one without data."""
    csat, level = CATALOGUE["csat"], CATALOGUE["service_level"]
    handle, nps = CATALOGUE["handle_time"], CATALOGUE["nps"]

    def goal(name: str, kpi: str, scope: Any, text: str, samples: int, for_ms: int) -> Goal:
        terms = Terms(parse_target(text, CATALOGUE[kpi]), min_samples=samples)
        return Goal(
            name=name,
            purpose=f"Shows {kpi}.",
            kpi=CATALOGUE[kpi],
            scope=scope,
            window="1h",
            terms=terms,
            what_to_do="Look closer.",
            for_ms=for_ms,
        )

    return (
        goal("agent-csat", csat.name, "agent", ">= 85%", 1, 60_000),
        goal("agent-handle-time", handle.name, "agent", "<= 6m30s", 1, 0),
        goal("queue-level", level.name, "queue", ">= 80%", 1, 0),
        goal("queue-nps", nps.name, "queue", ">= -20", 1, 0),
        goal("team-csat", csat.name, "team", ">= 85%", 1_000, 0),
    )


def engine() -> Engine:
    """Every scope, three windows, a queue with thresholds of its own, and the goals above."""
    return Engine(
        Rules(
            windows=tuple(parse_window(name) for name in ("15m", "1h", "today")),
            kinds=SCOPE_KINDS,
            goals=goals(),
            thresholds=Thresholds(Threshold(), {"sales": Threshold(60_000, 10_000)}),
            queue_teams={"sales": "s"},
        )
    )


def traffic() -> Iterator[dict[str, Any]]:
    """An hour of contacts over every dimension, all of them slow, and low answers."""
    for n in range(40):
        place = {"agent_id": f"a/{n % 3}", "team_id": "t", "site_id": "x", "channel": "voice"}
        place |= {"queue": ("sales", "help")[n % 2], "campaign": "spring"}
        contact = {"event_id": f"e{n}", "interaction_id": f"i{n}", "ended_at": NOW_MS - n * 60_000}
        work = {"talk_ms": 400_000 + n, "wait_ms": n * 1_000, "hold_ms": n, "wrap_ms": 7}
        outcome = "abandoned" if n % 5 == 0 else "handled"
        yield {"type": "interaction", "outcome": outcome, **contact, **place, **work}
        answer = {"event_id": f"s{n}", "answered_at": NOW_MS - n * 60_000, "csat": 1 + n % 4}
        scores = {"nps": n % 11, "ces": 1 + n % 7} if n % 2 == 0 else {}
        yield {"type": "survey", **answer, **place, **scores}


def run() -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """All that a partition writes until its windows are empty: (schema, key, value)."""
    partition = engine()
    partition.begin_judging()
    partition.tick(NOW_MS)
    partition.apply([from_mapping(event) for event in traffic()])
    codec = ReadingCodec(partition.rules.thresholds)
    for step, now_ms in enumerate(range(NOW_MS, NOW_MS + 2 * HOUR_MS, 120_000)):
        partition.tick(now_ms)
        for announcement in partition.take_alerts()[0]:
            value = encode_announcement(announcement, "site", {"t": "Kim"})
            yield "alert", alert_topic_key(announcement), json.loads(value)
        for reading in partition.take_readings()[0]:
            value = codec.encode(reading, step, {"offsets": {"interactions": 40, "surveys": 40}})
            yield "reading", kpi_key(reading), json.loads(value)


def test_what_is_written_validates() -> None:
    """Readings and alerts of a run from full windows to empty ones satisfy their schemas."""
    kinds: dict[str, int] = {"reading": 0, "alert": 0}
    breaches = []
    for name, _, value in run():
        kinds[name] += 1
        breaches += [(name, value["scope"], fault) for fault in faults(name, value)]
    assert breaches == []
    assert all(kinds.values())


def test_the_run_shows_all_it_should() -> None:
    """The run above is worth something: all scopes and verdicts, and an alert's whole life."""
    written = list(run())
    readings = [value for name, _, value in written if name == "reading"]
    alerts = [value for name, _, value in written if name == "alert"]
    assert {reading["scope"] for reading in readings} == set(SCOPE_KINDS)
    verdicts = {goal["verdict"] for reading in readings for goal in reading["goals"].values()}
    assert verdicts == {verdict.word for verdict in Verdict}
    assert {"pending", "firing", "ended_no_data"} <= {alert["state"] for alert in alerts}
    assert any(alert["lead"] == "Kim" for alert in alerts)


def test_a_withdrawn_alert_validates() -> None:
    """An alert whose goal is gone carries no figures, and its schema expects none."""
    before = engine()
    before.begin_judging()
    before.tick(NOW_MS)
    before.apply([from_mapping(event) for event in traffic()])
    before.tick(NOW_MS + 1)
    states = before.take_alerts()[1]
    after = Engine(Rules(windows=before.rules.windows, kinds=SCOPE_KINDS))
    after.begin_judging()
    for key, state in states.items():
        if state is not None:
            after.restore_alert(key, state)
    after.tick(NOW_MS + 2)
    gone = [json.loads(encode_announcement(a, "site", {})) for a in after.take_alerts()[0]]
    assert {alert["state"] for alert in gone} == {"withdrawn"}
    assert [fault for alert in gone for fault in faults("alert", alert)] == []


def test_keys_are_as_documented() -> None:
    """Keys start with scope and id and end with the window or the goal."""
    for name, key, value in run():
        end = value["window"] if name == "reading" else value["goal"]
        assert key.decode() == f"{value['scope']}/{value['id']}/{end}"


@pytest.mark.parametrize("detail", ["", "wrong type - at `$.csat`", "é" * 600, "\ud800"])
def test_dead_letter_headers_validate(detail: str) -> None:
    """The headers, read as UTF-8, satisfy their schema whatever the detail says."""
    headers = dead_letter_headers("invalid", detail, Origin("interactions", 3, 2**40, NOW_MS))
    assert faults("dead-letter", {name: value.decode() for name, value in headers}) == []


def test_words_are_the_products() -> None:
    """The words a consumer may meet are listed in the schemas, no more and no fewer."""
    alert, reading = schema("alert")["properties"], schema("reading")["properties"]
    goal = reading["goals"]["additionalProperties"]["properties"]
    assert set(alert["state"]["enum"]) == set(get_args(Change))
    assert set(alert["reason"]["enum"]) == set(get_args(Reason))
    assert set(alert["severity"]["enum"]) == set(get_args(Severity))
    assert set(alert["unit"]["enum"]) == set(get_args(Unit))
    assert set(alert["scope"]["enum"]) == set(reading["scope"]["enum"]) == set(SCOPE_KINDS)
    verdicts = {verdict.word for verdict in Verdict}
    assert set(alert["verdict"]["enum"]) == set(goal["verdict"]["enum"]) == verdicts


def test_the_reading_schema_has_the_catalogue() -> None:
    """Each KPI is listed with its purpose, its formula and the range of its unit."""
    listed = schema("reading")["properties"]["kpis"]["properties"]
    assert set(listed) == set(CATALOGUE)
    for name, kpi in CATALOGUE.items():
        assert kpi.purpose in listed[name]["description"]
        assert kpi.formula[1:] in listed[name]["description"]


def test_asyncapi_has_the_default_topics() -> None:
    """Each topic that others read or write is a channel under its default name."""
    document = yaml.safe_load((SCHEMAS / "asyncapi.yaml").read_text("utf-8"))
    addresses = {channel["address"] for channel in document["channels"].values()}
    internal = {Settings.model_fields["topics"].default.agent_facts}
    named_by_each_site = {"roster"}
    assert addresses - named_by_each_site == set(Topics().model_dump().values()) - internal
