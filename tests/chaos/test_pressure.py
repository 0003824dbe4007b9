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

    The backlog would be some hundred megabytes. Fetching and counting take turns here, however
    large the buffer between them: `tests/kafka/test_stalls.py` holds its bound, where none counts.
    """
    found = press(kafka.bootstrap, topic_prefix, tmp_path / "w", seconds=10.0)
    print(f"\n{found}")  # noqa: T201 - figures for the closing note
    assert found.faults() == []
