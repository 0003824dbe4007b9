"""Back within five seconds, and nothing shown before it is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.recovery import BACK_S, SMALL, SMALL_BACK_S, recover
from tests.kafka_broker.broker import KafkaBroker

KILLS = 3


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_a_killed_worker_is_back_soon_and_shows_whole_partitions_only(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """With a seat of its own in the group it waits for no session; its gauges are as before.

    The best of three has to be soon enough, and of each is left out for how long other work kept
    its main thread from a processor: the machine's noise can only add. Without a seat each would
    wait out a session of 10 s, which is no noise. `make chaos` asks the median of five.
    """
    found = recover(kafka.bootstrap, topic_prefix, tmp_path / "w", SMALL, KILLS)
    print(f"\n{found.figures()}")  # noqa: T201 - figures for the closing note
    assert found.rows > 10_000
    assert found.faults(BACK_S) == []
    assert found.best.own_s < SMALL_BACK_S
