"""A worker on a real Apache Kafka: what it shows, what it refuses, and how it ends."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from stream.core.kpis import CATALOGUE
from tests.kafka import live
from tests.kafka.live import Seen, Sent, WorkerProcess, read_topic, send, wait_until
from tests.kafka_broker.broker import KafkaBroker

ODD_IDS = (
    'quo"te',
    "back\\slash",
    "new\nline",
    "literal \\n",
    "trailing\\",
    "carriage\rreturn",
    "separator\u2028\x85\x0b",
    "nul\x00tab\t",
    'x{id="a",} 1',
    "ünïcødé 座席 🎧",
    "x" * 200,
    " ",
)
SHOWN = {
    "scopes": ["agent", "queue"],
    "windows": ["1h"],
    "kpis": ["handled", "handle_time", "csat", "service_level"],
}
ALL_COUNTED_S = 30.0


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


def call(event_id: str, ended_at: int, **fields: Any) -> bytes:
    """A handled call of agent a-1."""
    event = {"event_id": event_id, "interaction_id": event_id, "outcome": "handled"}
    return json.dumps({**event, "ended_at": ended_at, "agent_id": "a-1", **fields}).encode()


class Poison(NamedTuple):
    """A record that is no event, with the reason it gets and a part of what is said of it."""

    value: bytes | None
    reason: str
    detail: str
    key: bytes | None = b"a-1"


def poisons(at_ms: int) -> list[Poison]:
    """One of each kind."""
    good = call("poison", at_ms).decode()
    wide = json.dumps({"event_id": "x" * 900_000, "interaction_id": "i"}).encode()
    return [
        Poison(good[:-9].encode(), "malformed", "not a JSON object"),
        Poison(call("p1", at_ms, talk_ms="long"), "invalid", "$.talk_ms"),
        Poison(call("p2", at_ms, wait_ms=-1), "invalid", "$.wait_ms"),
        Poison(call("p3", at_ms, talk_ms=float("nan")), "malformed", "not a JSON object"),
        Poison(call("p4", at_ms, queue="\ud800"), "malformed", "not a JSON object"),
        Poison(b"\xff\xfe{}", "malformed", "not a JSON object"),
        Poison(b'{"answers":' + b"[" * 100_000, "malformed", "not a JSON object"),
        Poison(b"[" * 5_000 + b"]" * 5_000, "malformed", "not a JSON object"),
        Poison(None, "tombstone", "no value"),
        Poison(b"", "malformed", "not a JSON object"),
        Poison(b"7", "malformed", "not a JSON object"),
        Poison(wide, "invalid", "$.event_id"),
        Poison(call("p5", at_ms, v=2), "version", "$.v"),
        Poison(b'{"v": 1}', "invalid", "event_id", key=b"\xc3\x28\x00\xff"),
        Poison(call("p6", at_ms, outcome="lost"), "invalid", "$.outcome", key=None),
        Poison(call("p7", -1), "invalid", "$.ended_at"),
    ]


class Town(NamedTuple):
    """A live worker on topics of one partition, after it was sent all sorts of records."""

    worker: WorkerProcess
    topics: dict[str, str]
    bootstrap: str
    refused: list[tuple[Poison, Seen]]
    metrics: str
    samples: list[Sample]

    def value(self, name: str, **labels: str) -> float | None:
        """One sample's value."""
        found = [s for s in self.samples if s.name == name and labels.items() <= s.labels.items()]
        assert len(found) <= 1, f"{name} {labels} is not one series: {found}"
        return found[0].value if found else None


@pytest.fixture(scope="module")
def town(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Sends calls of odd agents, poison with good neighbours, late, early and repeated ones."""
    settings = live.written_settings(
        kafka.bootstrap,
        f"town-{secrets.token_hex(4)}-",
        partitions=1,
        windows=["15m", "1h", "today"],
        metrics={"show": SHOWN},
    )
    topics = settings["topics"]
    with WorkerProcess(tmp_path_factory.mktemp("town"), settings) as worker:
        worker.wait_ready(1)
        at_ms = now_ms() - 1_000
        interactions = topics["interactions"]
        sent = [
            Sent(interactions, call(f"odd-{i}-{n}", at_ms, agent_id=name, queue=name, talk_ms=n))
            for i, name in enumerate(ODD_IDS)
            for n in (60_000, 90_000, 120_000)
        ]
        bad = poisons(at_ms)
        for i, poison in enumerate(bad):
            sent.append(
                Sent(interactions, poison.value, poison.key, headers=(("trace", b"\x00\xff"),))
            )
            sent.append(Sent(interactions, call(f"mate-{i}", at_ms, talk_ms=1_000)))
        sent += [
            *[Sent(interactions, call("mate-0", at_ms, talk_ms=1_000))] * 3,
            Sent(interactions, call("late", at_ms - 28 * 3_600_000)),
            Sent(interactions, call("early", at_ms + 600_000)),
            Sent(interactions, call("under way", at_ms, phase="talking")),
            Sent(interactions, b'{"now": 1}', b"__clock__"),
            Sent(interactions, call("extra", at_ms, talk_ms=1_000, **{'new "field\\"\n': 1})),
        ]
        offsets = send(kafka.bootstrap, sent)
        survey = {"event_id": "s", "answered_at": at_ms, "queue": 'quo"te', "csat": 5}
        send(kafka.bootstrap, [Sent(topics["surveys"], json.dumps(survey).encode())])
        expected = 'kpi_samples{scope="queue",id="quo\\"te",team="",window="1h",kpi="csat"} 1'
        wait_until(lambda: expected in worker.metrics(), ALL_COUNTED_S, "the survey's sample")
        events = 3 * len(ODD_IDS) + len(bad) + 1
        counted = f'kpi_stream_events_total{{kind="interaction"}} {events}.0'
        wait_until(lambda: counted in worker.metrics(), ALL_COUNTED_S, "all counted")
        letters = {
            int(letter.headers["kpi-offset"]): letter
            for letter in read_topic(kafka.bootstrap, topics["dead_letters"])
        }
        at = [offset for offset, r in zip(offsets, sent, strict=True) if r.headers]
        refused = [(poison, letters[o]) for poison, o in zip(bad, at, strict=True)]
        text = worker.metrics()
        families = text_string_to_metric_families(text)
        samples = [sample for family in families for sample in family.samples]
        yield Town(worker, topics, kafka.bootstrap, refused, text, samples)


@pytest.mark.timeout(90)
def test_prometheus_accepts_the_metrics_of_agents_with_odd_names(town: Town) -> None:
    """Its own parser gives every name back, with values that were sent, one series each."""
    for name in ODD_IDS:
        for scope in ("agent", "queue"):
            where = {"scope": scope, "id": name, "window": "1h"}
            assert town.value("kpi_handled_contacts", **where) == 3
            assert town.value("kpi_handle_time_seconds", **where) == 90
            assert town.value("kpi_samples", kpi="handle_time", **where) == 3
    assert town.value("kpi_stream_unknown_fields_total", field='new "field\\"\n') == 1
    series = [(s.name, tuple(sorted(s.labels.items()))) for s in town.samples]
    assert len(series) == len(set(series))


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not on the PATH")
def test_promtool_finds_nothing_to_mend(town: Town) -> None:
    """`promtool check metrics` accepts the text and has no advice on it."""
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=town.metrics.encode(),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_gauges_carry_their_unit_and_are_those_of_the_allow_list(town: Town) -> None:
    """Only the scopes, windows and KPIs that the settings name; each metric ends in its unit."""
    kpis = [s for s in town.samples if s.name.startswith("kpi_") and "window" in s.labels]
    assert {s.labels["scope"] for s in kpis} == {"agent", "queue"}
    assert {s.labels["window"] for s in kpis} == {"1h"}
    values = {s.name for s in kpis} - {"kpi_samples"}
    assert values == {"kpi_handled_contacts", "kpi_handle_time_seconds", "kpi_csat_ratio"}
    assert values < {CATALOGUE[name].metric for name in SHOWN["kpis"]}
    assert all(name.endswith(CATALOGUE[kpi].unit) for kpi in SHOWN["kpis"]
               for name in [CATALOGUE[kpi].metric])  # fmt: skip


def test_a_kpi_without_samples_has_no_sample(town: Town) -> None:
    """One queue had a survey: nobody else has a CSAT, and nobody shows 0 or NaN in its place."""
    csat = [s for s in town.samples if s.name == "kpi_csat_ratio"]
    assert [(s.labels["scope"], s.labels["id"], s.value) for s in csat] == [("queue", 'quo"te', 1)]
    assert not [s for s in town.samples if s.labels.get("kpi") == "service_level"]
    assert town.value("kpi_samples", kpi="csat", scope="queue", id='quo"te') == 1
    assert "NaN" not in town.metrics


def test_poison_goes_to_dead_letters_unchanged_with_its_reason_and_place(town: Town) -> None:
    """Value, key and headers as they were; reason, topic, partition, offset; the field named."""
    assert len(town.refused) == len(poisons(0))
    for poison, letter in town.refused:
        what = f"{(poison.value or b'')[:60]!r}: {letter.headers}"
        assert letter.value == poison.value, what
        assert letter.key == poison.key, what
        assert letter.headers["trace"] == b"\x00\xff", what
        assert letter.headers["kpi-reason"].decode() == poison.reason, what
        assert poison.detail in letter.headers["kpi-detail"].decode(), what
        assert letter.headers["kpi-topic"].decode() == town.topics["interactions"], what
        assert letter.headers["kpi-partition"] == b"0", what


def test_every_refusal_is_counted_by_its_reason(town: Town) -> None:
    """Late ones are counted and not copied; early ones both; neighbours in the block count."""
    reasons = [poison.reason for poison, _ in town.refused]
    for reason in ("malformed", "invalid", "version", "tombstone"):
        for metric in ("kpi_stream_refused_total", "kpi_stream_dead_letters_total"):
            assert town.value(metric, reason=reason) == reasons.count(reason)
    assert town.value("kpi_stream_refused_total", reason="late") == 1
    assert town.value("kpi_stream_dead_letters_total", reason="late") == 0
    assert town.value("kpi_stream_refused_total", reason="early") == 1
    assert town.value("kpi_stream_dead_letters_total", reason="early") == 1
    assert town.value("kpi_stream_ignored_total", reason="phase") == 1
    assert town.value("kpi_stream_ignored_total", reason="clock") == 1
    assert town.value("kpi_stream_duplicates_total", kind="interaction") == 3
    assert town.value("kpi_stream_unattributed_total") == 1
    mates = len(town.refused) + 1
    assert town.value("kpi_handled_contacts", scope="agent", id="a-1") == mates
    letters = read_topic(town.bootstrap, town.topics["dead_letters"])
    assert len(letters) == len(town.refused) + 1
    copied = {letter.headers["kpi-reason"] for letter in letters}
    assert copied == {b"malformed", b"invalid", b"version", b"tombstone", b"early"}


@pytest.mark.timeout(90)
def test_a_graceful_stop_flushes_and_exits_0(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """What was counted and not flushed yet is written before the process ends; late ones too."""
    settings = live.written_settings(
        kafka.bootstrap,
        topic_prefix,
        partitions=2,
        windows=["1h"],
        flush_interval="30s",
        late_to_dead_letters=True,
    )
    topics = settings["topics"]
    with WorkerProcess(tmp_path / "w", settings) as worker:
        worker.wait_ready(2)
        at_ms = now_ms() - 1_000
        sent = [call(f"e-{i}", at_ms, agent_id=f"a-{i}") for i in range(20)]
        records = [Sent(topics["interactions"], v, f"a-{i}".encode()) for i, v in enumerate(sent)]
        late = Sent(topics["interactions"], call("late", at_ms - 3 * 3_600_000), b"a-1")
        send(kafka.bootstrap, [*records, late])
        counted = 'kpi_stream_events_total{kind="interaction"} 20.0'
        wait_until(lambda: counted in worker.metrics(), ALL_COUNTED_S, "20 events")
        assert not read_topic(kafka.bootstrap, topics["kpis"]), "nothing is flushed yet"
        began = time.monotonic()
        assert worker.stop() == 0, worker.log.read_text()[-3_000:]
        assert time.monotonic() - began < 20
    readings = read_topic(kafka.bootstrap, topics["kpis"])
    assert {r.key for r in readings} == {f"agent/a-{i}/1h".encode() for i in range(20)}
    (letter,) = read_topic(kafka.bootstrap, topics["dead_letters"])
    assert (letter.value, letter.headers["kpi-reason"]) == (late.value, b"late")
    assert not re.search(r"Traceback|ERROR", worker.log.read_text()), worker.log.read_text()
