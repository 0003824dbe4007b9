"""The short form of what `make chaos` does for a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.pressure import press
from tests.kafka_broker.broker import KafkaBroker


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_a_worker_that_is_too_slow_neither_swells_nor_loses(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """Behind by many blocks, it says so, keeps its size, and catches up with nothing missing.

    Fails where what is fetched waits in memory: the backlog would be some hundred megabytes.
    """
    found = press(kafka.bootstrap, topic_prefix, tmp_path / "w", seconds=10.0)
    print(f"\n{found}")  # noqa: T201 - figures for the closing note
    assert found.faults() == []
