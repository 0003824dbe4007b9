"""A broker that demands certificates, or a name and a password, and what it says to others."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from stream.adapters import timed
from stream.config import load_settings
from stream.core.events import Interaction
from stream.kafka.topology import TopologyError, prepare
from stream.replay import replay
from stream.supervisor import REFUSED
from tests.kafka.gate import KEY_PASSWORD, PASSWORD, Gate, open_gate
from tests.kafka.live import WorkerProcess, read_topic, wait_until
from tests.kafka_broker.guarded import USER

NOON_MS = 1_710_504_000_000
REFUSED_S = 30.0
ALL_COUNTED_S = 40.0
LOGIN = {"username": USER, "password": PASSWORD}
SCRAM = {"protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", **LOGIN}


@pytest.fixture(scope="module")
def gate(kafka_runs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:  # noqa: ARG001 - asked for its skip
    """One for all tests here; the last of them kills its broker."""
    if shutil.which("openssl") is None:
        pytest.skip("certificates are made with openssl, which is not on the PATH")
    with open_gate(tmp_path_factory.mktemp("gate")) as gate:
        yield gate


def calls() -> list[Interaction]:
    """Three calls of each of four agents: on both partitions."""
    return [
        Interaction(
            event_id=f"{agent}-{n}",
            interaction_id="i",
            ended_at=NOON_MS - 60_000,
            outcome="handled",
            agent_id=agent,
        )
        for agent in ("ann", "bob", "cem", "dot")
        for n in range(3)
    ]


def check_life(gate: Gate, worker: WorkerProcess, topic: str) -> None:
    """Events in by replay, readings out: admin, consumer, producers and recovery got in."""
    worker.wait_ready(2)
    events = [timed(event) for event in calls()]
    asyncio.run(replay(load_settings(worker.folder), events, until_ms=NOON_MS))
    bootstrap = gate.guarded.broker.bootstrap

    def handled() -> dict[str, int]:
        readings = [orjson.loads(r.value) for r in read_topic(bootstrap, topic) if r.value]
        agents = [r for r in readings if r["scope"] == "agent" and r["window"] == "1h"]
        return {r["id"]: r["kpis"]["handled"]["value"] for r in agents}

    expected = dict.fromkeys(("ann", "bob", "cem", "dot"), 3)
    wait_until(lambda: handled() == expected, ALL_COUNTED_S, "readings")


def check_recovery(worker: WorkerProcess) -> None:
    """Killed, started again and complete again."""
    worker.kill()
    worker.start()
    worker.wait_ready(2)
    shown = worker.metrics()
    for agent in ("ann", "bob", "cem", "dot"):
        assert f'kpi_handled_contacts{{scope="agent",id="{agent}",team="",window="1h"}} 3' in shown


def check_silence(worker: WorkerProcess) -> None:
    """Neither password is in anything that a worker shows, where signals ask it to show more."""
    assert worker.process is not None
    worker.send_signal(signal.SIGUSR1)
    worker.send_signal(signal.SIGUSR2)
    wait_until(lambda: "SIGUSR2 does nothing" in worker.log.read_text(), 10, "an answer")
    command_line = Path(f"/proc/{worker.process.pid}/cmdline")
    shown = {
        "metrics": worker.metrics(),
        "health": str(worker.health()),
        "command line": command_line.read_text() if command_line.exists() else "",
    }
    assert worker.stop() == 0, worker.log.read_text()[-3_000:]
    shown["log"] = worker.log.read_text()
    assert "most recent call first" in shown["log"]
    for where, text in shown.items():
        assert "LOCAL VARIABLES" not in text
        assert PASSWORD not in text, where
        assert KEY_PASSWORD not in text, where


@pytest.mark.timeout(150)
def test_a_worker_lives_behind_client_certificates(
    gate: Gate, topic_prefix: str, tmp_path: Path
) -> None:
    """Admin, consumer, producers, recovery and replay show a certificate with an encrypted key."""
    security = gate.security({"protocol": "SSL", "who": "own"})
    settings = gate.settings(topic_prefix, "SSL", security=security, instance=f"{topic_prefix}w")
    with WorkerProcess(tmp_path / "w", settings, options=["--verbose"]) as worker:
        check_life(gate, worker, settings["topics"]["kpis"])
        check_recovery(worker)
        check_silence(worker)


@pytest.mark.timeout(150)
def test_a_worker_lives_behind_a_password(
    gate: Gate, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same by SCRAM-SHA-512 over TLS, with the password from the environment."""
    monkeypatch.setenv("KPI_STREAM_SECURITY__PASSWORD", PASSWORD)
    security = gate.security({k: v for k, v in SCRAM.items() if k != "password"})
    settings = gate.settings(topic_prefix, "SASL_SSL", security=security)
    with WorkerProcess(tmp_path / "w", settings, options=["--verbose"]) as worker:
        check_life(gate, worker, settings["topics"]["kpis"])
        check_silence(worker)


@pytest.mark.parametrize(
    ("protocol", "mechanism"),
    [("SASL_SSL", "PLAIN"), ("SASL_PLAINTEXT", "PLAIN"), ("SASL_PLAINTEXT", "SCRAM-SHA-512")],
)
def test_every_way_to_log_in_is_understood(
    gate: Gate, topic_prefix: str, tmp_path: Path, protocol: str, mechanism: str
) -> None:
    """The topics are there afterwards."""
    security = gate.security({"protocol": protocol, "sasl_mechanism": mechanism, **LOGIN})
    written = gate.settings(topic_prefix, protocol, security=security)
    (tmp_path / "kpi-stream.yaml").write_text(yaml.safe_dump(written))
    assert asyncio.run(prepare(load_settings(tmp_path))).partitions == 2


REFUSALS = {
    "another authority": (
        {"protocol": "SSL", "who": "own", "ca": "other"},
        "setting 'security.ca_file': the broker's certificate is not trusted: unable to get local",
    ),
    "the system's authorities": (
        {"protocol": "SSL", "who": "own", "ca": "none"},
        "setting 'security.ca_file': the broker's certificate is not trusted",
    ),
    "another name": (
        {"protocol": "SSL", "who": "own", "host": "localhost"},
        "setting 'broker': the broker's certificate is not trusted: Hostname mismatch",
    ),
    "no certificate": (
        {"protocol": "SSL"},
        "setting 'security.cert_file': the broker asks for one",
    ),
    "a stranger's certificate": (
        {"protocol": "SSL", "who": "foreign"},
        "setting 'security.cert_file': the broker refuses ours",
    ),
    "another password": (
        {**SCRAM, "password": f"wrong-{PASSWORD}"},
        "setting 'security.username' or 'security.password': the broker knows no such pair",
    ),
    "another password in the clear": (
        {**SCRAM, "sasl_mechanism": "PLAIN", "password": f"wrong-{PASSWORD}"},
        "setting 'security.username' or 'security.password': the broker knows no such pair",
    ),
    "a mechanism that is off": (
        {**SCRAM, "sasl_mechanism": "SCRAM-SHA-256"},
        "setting 'security.sasl_mechanism': no SCRAM-SHA-256 there",
    ),
    "a login where there is none": (
        {**SCRAM, "who": "own", "at": "SSL"},
        "setting 'security.protocol': SASL_SSL, but no login is asked for there",
    ),
}


def refused_folder(gate: Gate, folder: Path, prefix: str, fields: dict[str, Any]) -> Path:
    """A folder with the settings of one of the refusals."""
    given = dict(fields)
    at, host = given.pop("at", given["protocol"]), given.pop("host", None)
    settings = gate.settings(prefix, at, security=gate.security(given))
    if host:
        settings["broker"] = f"{host}:{settings['broker'].rpartition(':')[2]}"
    folder.mkdir(exist_ok=True)
    (folder / "kpi-stream.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_names_its_setting_at_once(
    gate: Gate, topic_prefix: str, tmp_path: Path, what: str
) -> None:
    """A broker that is down is worth ten tries; a wrong setting is not, and was taken for one."""
    fields, fault = REFUSALS[what]
    settings = load_settings(refused_folder(gate, tmp_path, topic_prefix, fields))
    began = time.monotonic()
    with pytest.raises(TopologyError) as refusal:
        asyncio.run(prepare(settings))
    assert fault in str(refusal.value)
    assert settings.broker in str(refusal.value)
    assert PASSWORD not in "".join(traceback.format_exception(refusal.value))
    assert time.monotonic() - began < REFUSED_S


def test_a_refused_command_ends_with_a_line_and_without_the_password(
    gate: Gate, topic_prefix: str, tmp_path: Path
) -> None:
    """Exit code 1 in bounded time, no traceback; with all that `--verbose` has to say."""
    adapter = tmp_path / "mine.py"
    adapter.write_text("def read(path):\n    return iter(())\n")
    commands = {
        "another authority": ["worker"],
        "no certificate": ["worker"],
        "another password in the clear": ["replay", str(adapter), "--adapter", f"{adapter}:read"],
    }
    running = {}
    for what, command in commands.items():
        folder = refused_folder(gate, tmp_path / what, topic_prefix, REFUSALS[what][0])
        line = [sys.executable, "-m", "stream", "--verbose", *command, "--config", str(folder)]
        out = subprocess.PIPE
        running[what] = subprocess.Popen(line, stderr=out, stdout=out, text=True)
    try:
        for what, process in running.items():
            said = "".join(process.communicate(timeout=REFUSED_S))
            assert process.returncode == (REFUSED if "worker" in commands[what] else 1), said
            assert REFUSALS[what][1] in said
            assert "Traceback" not in said
            assert PASSWORD not in said
    finally:
        for process in running.values():
            process.kill()
            process.wait()


@pytest.mark.timeout(150)
def test_no_password_is_said_when_everything_fails(
    gate: Gate, topic_prefix: str, tmp_path: Path
) -> None:
    """The broker dies under a worker that logs in by PLAIN, with asyncio's own talk switched on.

    The last one: nobody has the broker after it.
    """
    security = gate.security({**SCRAM, "sasl_mechanism": "PLAIN"})
    settings = gate.settings(topic_prefix, "SASL_SSL", security=security)
    with WorkerProcess(
        tmp_path / "w",
        settings,
        options=["--verbose"],
        variables={"PYTHONASYNCIODEBUG": "1"},
    ) as worker:
        worker.wait_ready(2)
        gate.guarded.broker.kill()
        wait_until(lambda: worker.log.read_text().count("Unable connect") > 9, 30, "failures")
        worker.send_signal(signal.SIGUSR1)
        worker.send_signal(signal.SIGTERM)
        wait_until(lambda: "Signal received" in worker.log.read_text(), 10, "the stop")
        time.sleep(1)  # what fails in a stop comes with tracebacks
        worker.kill()
        said = worker.log.read_text()
        assert "most recent call first" in said
        assert PASSWORD not in said
