"""A stop ends, whatever hangs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from stream.worker import STOP_DEADLINE_S
from tests.conftest import NewKafka
from tests.kafka.live import WorkerProcess, send, wait_until, written_settings
from tests.kafka.test_stalls import calls, state_of

EVENTS = 20_000
COUNTED_S = 40.0


@pytest.mark.timeout(150)
def test_a_worker_whose_broker_hangs_stops_within_its_deadline(
    new_kafka: NewKafka, topic_prefix: str, tmp_path: Path
) -> None:
    """Its last flush gets no answer, and neither does any goodbye; what it had comes again."""
    kafka = new_kafka()
    settings = written_settings(kafka.bootstrap, topic_prefix, partitions=2, windows=["8h"])
    assert kafka._process is not None
    with WorkerProcess(tmp_path / "w", settings) as worker:
        worker.wait_ready(2)
        send(kafka.bootstrap, calls(settings, 0, EVENTS))
        os.kill(kafka._process.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            code = worker.stop(timeout_s=STOP_DEADLINE_S + 20)
            assert time.monotonic() - began < STOP_DEADLINE_S + 5
        finally:
            os.kill(kafka._process.pid, signal.SIGCONT)
        said = f"the stop took more than {STOP_DEADLINE_S:.0f} s and is ended"
        assert code == 0 or said in worker.log.read_text()
        worker.start()
        wait_until(lambda: len(state_of(settings, worker).ids) == EVENTS, COUNTED_S, "all counted")
