"""The app's own decisions, without a broker: what counts as done, and by which now it starts."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from stream.kafka import app as app_module
from stream.kafka.app import KpiApp
from stream.kafka.delivery import Flush
from tests.kafka import test_partition as partition

PLACE = TP("interactions", 0)
HOUR_MS = 3_600_000


class FetchingConsumer:
    """A consumer that fetches ten records while its position is asked."""

    def __init__(self, markers: int = 0) -> None:
        self.delivered: dict[TP, int] = {}
        self._markers = markers

    async def position(self, tp: TP) -> int:
        """The position after the fetch, and after the markers behind the last record."""
        self.delivered[tp] = 10
        return 10 + self._markers


def done(consumer: object, included: dict[str, int]) -> int:
    """What the app takes for done."""
    app: Any = SimpleNamespace(consumer=consumer)
    stage: Any = SimpleNamespace(included=included)
    return asyncio.run(KpiApp._done(app, stage, PLACE))


def test_records_that_are_fetched_and_not_counted_are_not_done() -> None:
    """The position runs ahead of the blocks: a partition that waits for them has not caught up."""
    assert done(FetchingConsumer(), {}) == 0
    assert done(FetchingConsumer(), {"interactions": 4}) == 4


def test_markers_behind_the_last_record_are_done() -> None:
    """A transaction's marker holds an offset that no record has; the position passes it."""
    assert done(FetchingConsumer(markers=1), {"interactions": 10}) == 11
    assert done(FetchingConsumer(markers=1), {"interactions": 9}) == 9


def stored_an_hour_ago() -> Flush:
    """What a worker wrote before it went down."""
    before = partition.stage()
    before.apply("interactions", [partition.call(1)])
    return before.freeze(partition.NOON_MS)


@pytest.mark.parametrize("time", ["live", "replay"])
def test_only_the_wall_clock_moves_now_on_over_a_downtime(
    monkeypatch: pytest.MonkeyPatch, time: str
) -> None:
    """Live, what came while the worker was down is not early; a replay goes on where it was."""
    state = partition.stored(stored_an_hour_ago())
    site = partition.stage(time=time).site

    async def read(*_: object) -> object:
        return state

    async def nothing(*_: object) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(app_module, "read_changelog", read)
    monkeypatch.setattr(app_module, "check_agreement", lambda *_, **__: None)
    app: Any = SimpleNamespace(
        settings=site.settings,
        site=site,
        now=lambda: partition.NOON_MS + HOUR_MS,
        delivery=SimpleNamespace(open=nothing),
        _progress=nothing,
    )
    stage = asyncio.run(KpiApp._recover(app, 0))
    stage.apply("interactions", [partition.call(2, ended_at=partition.NOON_MS + HOUR_MS - 1)])
    assert stage.site.telemetry.refused.labels(reason="early")._value.get() == 0
    expected = partition.NOON_MS + (HOUR_MS if time == "live" else 0)
    assert stage.engine.now_ms == expected
