"""The short form of `make chaos`."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from rich.console import Console

from tests.chaos.demands import unmet
from tests.chaos.report import alerts_table, table
from tests.chaos.run import run, short_run
from tests.kafka.test_exact import BANK
from tests.oracle import data_dir

SEED = 11
REQUIRED = {
    "SIGKILLs of workers": 5,
    "broker restarts": 2,
    "rebalances by joining and leaving": 3,
    "freezes": 1,
    "connections reset": 1,
}


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.usefixtures("kafka_runs")
def test_nothing_is_lost_or_counted_twice_whatever_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Kills, a freeze, a broker restart, joins, leaves and resets: the history is faultless."""
    if not (data_dir() / BANK.file).exists():
        pytest.skip(f"no test data at {BANK.file}")
    caplog.set_level(logging.CRITICAL, "aiokafka")  # it warns of each retry
    outcome = run(short_run(SEED), tmp_path, print)
    Console(width=100).print(table(outcome, SEED), alerts_table(outcome))
    findings = outcome.findings
    assert not findings.wrong.total(), findings.examples
    assert not outcome.fleet.unexplained, outcome.fleet.unexplained
    assert unmet(outcome, REQUIRED) == []
