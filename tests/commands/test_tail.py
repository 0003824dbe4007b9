"""`kpi-stream tail`, on topics as a worker leaves them."""

from __future__ import annotations

import asyncio
import csv
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner, Result

from stream.cli import main
from stream.kafka import topology
from tests.kafka.letters import Desk, open_desk
from tests.kafka.live import Sent, send
from tests.kafka_broker.broker import KafkaBroker
from tests.ports import free_port

PRIVATE = "Mrs Jones"
COMMENT = json.dumps({"event_id": "s1", "agent_id": "ann", "csat": 9, "comment": PRIVATE}).encode()


class Office(NamedTuple):
    """A desk, and what was written to its topics before a test."""

    desk: Desk

    def run(self, *arguments: str) -> Result:
        """`kpi-stream tail` from the beginning to the end."""
        given = ["tail", *arguments, "--from-beginning", "--no-follow"]
        line = [*given, "--config", str(self.desk.folder)]
        return CliRunner().invoke(main, line, catch_exceptions=False)

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        """The same, as JSON, in the order of its topic's first partition and then the others."""
        result = self.run(*arguments, "--format", "jsonl")
        assert result.exit_code == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """The command as a process of its own, which ends with the block at the latest."""
        line = [sys.executable, "-m", "stream", "tail", *arguments]
        line += ["--config", str(self.desk.folder)]
        pipe = subprocess.PIPE
        with subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                yield process
            finally:
                process.kill()


def reading(scope: str, name: str, window: str, **more: Any) -> dict[str, Any]:
    """What a worker publishes, as far as it matters here."""
    figure = {"value": 0.5, "samples": 4, "definition": "csat/1"}
    goal = {"verdict": "missed", "target": ">= 0.85", "amber": False}
    own = {"v": 1, "scope": scope, "id": name, "window": window, "team": "t"}
    kpis = {"kpis": {"csat": figure, "handle_time": figure}, "goals": {"floor": goal}}
    return {**own, "as_of": "2026-03-02T08:41:12.500Z", **kpis, **more}


def alert(name: str, state: str, goal: str = "floor") -> dict[str, Any]:
    """The same of a transition."""
    own = {"v": 1, "scope": "agent", "id": name, "team": "t", "goal": goal, "state": state}
    return {**own, "kpi": "csat", "value": 0.5, "severity": "warning", "window": "1h"}


@pytest.fixture(scope="module")
def office(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Office:
    """Readings, alerts and dead letters; and of each what nobody should have written."""
    desk = open_desk(kafka.bootstrap, "tail-", tmp_path_factory.mktemp("tail"))
    names, private = desk.settings.topics, PRIVATE.encode()
    readings = [
        reading("agent", "ann", "1h"),
        reading("agent", "bob", "1h"),
        reading("team", "t", "15m"),
    ]
    records = [Sent(names.kpis, json.dumps(r).encode(), r["id"].encode(), 0) for r in readings]
    records += [Sent(names.kpis, None, b"ann", 0), Sent(names.kpis, b"{", b"x", 0)]
    records += [Sent(names.kpis, b'{"kpis": {"csat": 7}}', b"y", 0)]
    alerts = [alert("ann", "pending"), alert("ann", "firing"), alert("bob", "firing", "other")]
    records += [Sent(names.alerts, json.dumps(a).encode(), b"k", 0) for a in alerts]
    send(kafka.bootstrap, records)
    desk.put(
        [
            desk.letter(0, "version"),
            desk.letter(2, value=COMMENT, key=private, headers=(("from", private),)),
            Sent(names.dead_letters, private, None, 0),
        ]
    )
    return Office(desk)


def test_kpis_are_filtered_and_cut(office: Office) -> None:
    """By scope, id, window, KPI and goal; what is of no known shape is said and left out."""
    assert [r.get("id") for r in office.lines("kpis")] == ["ann", "bob", "t", None]
    assert [r["id"] for r in office.lines("kpis", "--scope", "agent")] == ["ann", "bob"]
    assert [r["id"] for r in office.lines("kpis", "--id", "ann", "--id", "t")] == ["ann", "t"]
    assert [r["id"] for r in office.lines("kpis", "--window", "15m", "--team", "t")] == ["t"]
    (found,) = office.lines("kpis", "--id", "ann", "--kpi", "csat")
    assert (list(found["kpis"]), found["goals"]) == (["csat"], {})
    (found,) = office.lines("kpis", "--id", "ann", "--goal", "floor")
    assert (found["kpis"], list(found["goals"])) == ({}, ["floor"])
    assert office.lines("kpis", "--id", "ann", "--goal", "another") == []


def test_odd_records_are_said_and_cost_nothing(office: Office) -> None:
    """On stderr, with their place; a tombstone is nothing odd."""
    result = office.run("kpis")
    assert result.exit_code == 0
    topic = office.desk.settings.topics.kpis
    assert result.stderr.splitlines() == [
        f"kpi-stream: {topic}[0] at 4: no JSON object; left out",
        f"kpi-stream: {topic}[0] at 5: not of the shape that it should have; left out",
    ]
    assert len(result.stdout.splitlines()) == 1 + 3 * 3


def test_alerts_are_filtered(office: Office) -> None:
    """By state and goal; as CSV too."""
    assert [a["state"] for a in office.lines("alerts", "--id", "ann")] == ["pending", "firing"]
    rows = office.run("alerts", "--state", "firing", "--goal", "other", "--format", "csv")
    (row,) = csv.DictReader(rows.stdout.splitlines())
    assert (row["id"], row["state"], row["value"]) == ("bob", "firing", "0.5")


@pytest.mark.parametrize(
    ("filters", "named"),
    [
        (["alerts", "--state", "fired"], "'--state': 'fired' is not one of 'pending', 'firing'"),
        (["alerts", "--severity", "red"], "'--severity': 'red' is not one of 'info'"),
        (["kpis", "--kpi", "csta"], "'--kpi': 'csta' is not one of 'handled'"),
        (["kpis", "--window", "1x"], "'--window': window '1x': expected 'today', or a length"),
    ],
)
def test_a_filter_that_nothing_can_match_is_said(filters: list[str], named: str) -> None:
    """Rather than waited on for ever."""
    result = CliRunner().invoke(main, ["tail", *filters])
    assert (result.exit_code, named in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize("form", ["table", "jsonl", "csv"])
def test_dead_letters_hide_the_customer_unless_told_otherwise(office: Office, form: str) -> None:
    """In the value, the key, and the record's own headers, in every format."""
    hidden = office.run("dead-letters", "--format", form)
    assert (hidden.exit_code, "Jones" in hidden.stdout + hidden.stderr) == (0, False)
    assert "no dead letter; left out" in hidden.stderr
    shown = office.run("dead-letters", "--format", form, "--show-customer-data")
    assert shown.stdout.count("Jones") >= 2


def test_dead_letters_say_why_and_from_where(office: Office) -> None:
    """And are filtered by it."""
    (found,) = office.lines("dead-letters", "--reason", "invalid")
    assert (found["topic"], found["partition"], found["offset"], found["replays"]) == (
        *(office.desk.settings.topics.interactions, 0, 2, 0),
    )
    assert found["detail"] == "Invalid enum value [redacted]"
    assert found["value"]["agent_id"] == "ann"
    assert found["headers"] == ["from"]
    assert office.lines("dead-letters", "--topic", "another") == []


def test_from_now_on_to_a_limit(office: Office) -> None:
    """What was there before is not shown; what is not committed never is."""
    topic = office.desk.settings.topics.alerts
    bootstrap = office.desk.settings.broker
    with office.started("alerts", "--limit", "1", "--format", "csv") as tail:
        assert tail.stdout is not None
        assert tail.stdout.readline().startswith("at,state,")  # said once it stands at the end
        asyncio.run(abort_one(bootstrap, topic))
        send(bootstrap, [Sent(topic, json.dumps(alert("new", "firing")).encode(), b"k", 0)])
        out, error = tail.communicate(timeout=30)
    assert [row.split(",")[4] for row in out.splitlines()] == ["new"], error
    assert tail.returncode == 0


async def abort_one(bootstrap: str, topic: str) -> None:
    """A record of a transaction that is aborted."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="tail-aborts")
    await producer.start()
    await producer.begin_transaction()
    value = json.dumps(alert("never", "firing")).encode()
    await producer.send_and_wait(topic, value, partition=0)
    await producer.abort_transaction()
    await producer.stop()


def test_since_is_when_it_was_written(office: Office) -> None:
    """A duration ago, or an instant; not together with the beginning."""
    folder = ["--config", str(office.desk.folder), "--no-follow", "--format", "jsonl"]
    ago = CliRunner().invoke(main, ["tail", "alerts", "--since", "1h", *folder])
    assert len(ago.stdout.splitlines()) >= 3
    later = ["--since", "2099-01-01T00:00:00Z"]
    assert CliRunner().invoke(main, ["tail", "alerts", *later, *folder]).stdout == ""
    both = CliRunner().invoke(main, ["tail", "alerts", *later, "--from-beginning", *folder])
    assert (both.exit_code, "exclude each other" in both.stderr) == (2, True)


def test_ctrl_c_ends_it_without_a_word(office: Office) -> None:
    """As shells expect, with 130."""
    with office.started("kpis") as tail:
        assert tail.stdout is not None
        tail.stdout.readline()
        tail.send_signal(signal.SIGINT)
        _, error = tail.communicate(timeout=30)
    assert (tail.returncode, error) == (130, "")


def test_a_broken_pipe_is_no_traceback(office: Office) -> None:
    """`| head` closes its end when it has enough."""
    topic, broker = office.desk.settings.topics.alerts, office.desk.settings.broker
    value = json.dumps(alert("more", "firing")).encode()
    with office.started("alerts", "--format", "jsonl") as tail:
        assert tail.stdout is not None
        tail.stdout.close()
        while tail.poll() is None:
            send(broker, [Sent(topic, value, b"k", 0)])
        assert tail.stderr is not None
        assert "Traceback" not in tail.stderr.read()
    assert tail.returncode == 1


@pytest.mark.parametrize("command", [["tail", "kpis"], ["dead-letters", "replay"]])
def test_a_missing_broker_is_said_at_once(
    command: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A person who waits is not kept waiting, nor told ten times; a service would try again."""
    monkeypatch.setattr(topology, "CONNECT_PAUSE_S", 60.0)
    place = f"127.0.0.1:{free_port()}"
    result = CliRunner(env={"KPI_STREAM_BROKER": place}).invoke(main, command)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"kpi-stream: no Kafka broker answers at {place}; is `broker`")
    assert not [record for record in caplog.records if record.name.startswith("stream")]


def test_a_topic_that_is_not_there_is_said(office: Office, tmp_path: Path) -> None:
    """Rather than made, or waited for."""
    (tmp_path / "kpi-stream.yaml").write_text(f"broker: {office.desk.settings.broker}\n")
    result = CliRunner().invoke(main, ["tail", "kpis", "--config", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith("kpi-stream: topic 'kpis' is not at ")
