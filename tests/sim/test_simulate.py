"""The simulation: thousands of seeds without a breach, each replayed to the byte."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from stream.core.kpis import SCOPE_KINDS
from stream.sim.seeds import parse_seeds, run_all
from stream.sim.world import run_seed
from tests.conftest import Tell
from tests.sim.mutants import MUTANTS, Plant

SEEDS = 2_000
JOBS = 2
# Each has to occur, or the seeds prove less than they say.
COVERED = (
    *("workers killed", "workers frozen", "workers stopped", "workers ended by FencedError"),
    *("rebalances", "sessions timed out", "broker outages", "records compacted away"),
    *("transactions aborted", "transactions timed out", "transactions aborted by a successor"),
    *("requests of fenced producers", "answers lost", "requests lost", "batches failed"),
    *("readers failed", "records repeated by producers", "records misplaced by producers"),
    *("records moved", "records repeated", "records late", "records early", "dead letters"),
    *("readings audited", "tombstones", "alerts pending", "alerts firing", "alerts cancelled"),
    *("alerts resolved", "alerts ended_no_data", "alerts with tallies", "teams tallied"),
    *("settings changed", "stale readings audited", "changes of shared alerts held"),
    *(f"shared alerts {state}" for state in ("pending", "cancelled", "resolved", "ended_no_data")),
    *(f"shared alerts firing: {kind}" for kind in SCOPE_KINDS[1:]),
)
MUTANT_SEEDS = 800  # most are found among the first ten
# Looked at first, so that a minute is not spent on those before; changed code may need another.
LAST_FOUND = {"flushed_after_a_failure": 636}


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_no_seed_finds_a_breach(tell: Tell) -> None:
    """Under every fault: each reading exact, each change once, alerts consistent, all settled."""
    summary = run_all(range(SEEDS), JOBS)
    for line in summary.lines():
        tell(line)
    assert [(outcome.seed, outcome.breaches) for outcome in summary.failed] == []
    assert [what for what in COVERED if not summary.counts[what]] == []


@pytest.mark.parametrize("hash_seed", ["1", "77"])
def test_a_seed_is_the_same_run_everywhere(hash_seed: str) -> None:
    """Its trace's hash is that of another process, whose sets are in another order."""
    command = [sys.executable, "-m", "stream", "simulate", "--seed", "31"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert f"seed 31: trace {run_seed(31).digest}" in ran.stdout


def test_a_second_run_in_the_same_process_is_the_same() -> None:
    """Nothing is left over from a run before."""
    assert run_seed(8).digest == run_seed(8).digest != run_seed(9).digest


@pytest.mark.timeout(600)
@pytest.mark.parametrize("plant", MUTANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some seed among the first finds a breach once a defence is taken out."""
    plant(monkeypatch)
    for seed in dict.fromkeys((LAST_FOUND.get(plant.__name__, 0), *range(MUTANT_SEEDS))):
        outcome = run_seed(seed)
        if outcome.breaches:
            print(f"{plant.__name__}: seed {seed}: {outcome.breaches[0]}")  # noqa: T201 - shown on demand
            return
    pytest.fail(f"{MUTANT_SEEDS} seeds did not find it: {plant.__doc__}")


@pytest.mark.parametrize("text", ["", "7", "a:1", "1:b", "-1:5"])
def test_seeds_are_named_by_where_they_begin_and_how_many(text: str) -> None:
    """Anything else is refused with an example."""
    assert parse_seeds("5:3") == range(5, 8)
    with pytest.raises(ValueError, match="expected FROM:COUNT, such as 0:2000"):
        parse_seeds(text)
