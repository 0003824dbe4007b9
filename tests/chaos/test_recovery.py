"""Back within five seconds, and nothing shown before it is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.traffic import Traffic
from tests.chaos.recovery import recover
from tests.kafka_broker.broker import KafkaBroker

SMALL = Traffic(500, 24 * 3_600_000, 20_000)
# 5 s on an idle machine; without a seat of its own it would wait out a session of 10 s more.
BACK_S = 10.0


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_a_killed_worker_is_back_soon_and_shows_whole_partitions_only(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """With a seat of its own in the group it waits for no session; its gauges are as before."""
    found = recover(kafka.bootstrap, topic_prefix, tmp_path / "w", SMALL)
    print(f"\n{found}")  # noqa: T201 - figures for the closing note
    assert found.rows > 10_000
    assert found.faults() == []
    assert found.back_s < BACK_S
