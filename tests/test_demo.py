"""The demo as a person runs it: one command, a report, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kafka.sockets import PROC, listening

COMMAND = [sys.executable, "-m", "stream", "demo"]
VERBOSE_COMMAND = [sys.executable, "-m", "stream", "--verbose", "demo"]
PASSWORD = "d3-not-for-reports"  # noqa: S105 - no broker's
REAL_SETTINGS = {
    "KPI_STREAM_BROKER": "127.0.0.1:1",
    "KPI_STREAM_SECURITY__PROTOCOL": "SASL_PLAINTEXT",
    "KPI_STREAM_SECURITY__USERNAME": "kpi",
    "KPI_STREAM_SECURITY__PASSWORD": PASSWORD,
}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_demo_fires_and_resolves_alerts_within_seconds(tmp_path: Path) -> None:
    """`demo --for 20s --report` exits 0; all events applied, an alert fired and one resolved.

    Settings that are meant for a real worker are not its own: made-up traffic would go to a real
    broker. Their password is nowhere in what it says.
    """
    report_file = tmp_path / "r.json"
    run = subprocess.run(
        [*VERBOSE_COMMAND, "--for", "20s", "--report", str(report_file)],
        env={**os.environ, **REAL_SETTINGS},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "/metrics" in run.stdout
    assert PASSWORD not in run.stdout + run.stderr + report_file.read_text()
    report = json.loads(report_file.read_text())
    assert report["alerts_fired"] >= 1
    assert report["alerts_resolved"] >= 1
    assert report["dead_letters"] == 0
    assert report["events_in"] > 1_000
    assert report["events_applied"] >= 0.9 * report["events_in"]
    assert report["kpi_records"] > 500
    assert report["series"] > 500
    assert 0 < report["event_to_kpi_p50_ms"] <= report["event_to_kpi_p99_ms"]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=["ctrl-c", "hang-up"])
def test_ctrl_c_ends_the_demo_and_all_it_started(number: signal.Signals) -> None:
    """A summary, exit 0, and neither broker nor worker is left; a closed terminal does the same.

    While they run, they listen on loopback, at one port each.
    """
    process = subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "/metrics" in line:
                break
        time.sleep(2)
        children = _children(process.pid)
        assert len(children) >= 2, "broker and worker"
        if PROC.exists():
            places = [sorted(listening(child)) for child in children]
            assert [[host for host, _ in found] for found in places] == [["127.0.0.1"]] * 2
        os.kill(process.pid, number)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "events in" in output
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    finally:
        if process.poll() is None:
            process.kill()


def test_a_bad_length_is_named() -> None:
    """`--for soon` is refused in words, not with a traceback."""
    run = subprocess.run([*COMMAND, "--for", "soon"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "'soon'" in run.stderr
    assert "Traceback" not in run.stderr


def _children(pid: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True, check=False
    )
    return [int(word) for word in listed.stdout.split()]
