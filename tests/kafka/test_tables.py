"""What a recovery does when another rebalance, or the end, comes while positions are sought."""

from __future__ import annotations

import asyncio
from typing import Any

import faust
import pytest
from faust.tables.recovery import RebalanceAgain, ServiceStopped

from stream.kafka.tables import RowRecovery, RowTableManager


class _Consumer:
    """Owns nothing."""

    def assignment(self) -> set[Any]:
        return set()


class _Seeking(RowRecovery):
    """Each of its seeks ends as told; the last of them is noted."""

    def tell(self, *ends: type[Exception] | None) -> None:
        self.ends = list(ends)
        self.is_over = asyncio.Event()
        self.signal_recovery_start.set()

    async def _resume_streams(self, generation_id: int = 0) -> None:
        del generation_id
        end = self.ends.pop(0)
        if self.ends:
            self.signal_recovery_start.set()
        else:
            self.is_over.set()
        if end is not None:
            raise end


@pytest.fixture
def seeking() -> _Seeking:
    """A recovery without a broker."""
    app: Any = faust.App("recovering", broker="kafka://127.0.0.1:1")
    app.consumer = _Consumer()
    return _Seeking(app, RowTableManager(app))


def _recover(seeking: _Seeking, *ends: type[Exception] | None) -> bool:
    """Whether it still waits for the next rebalance when all its seeks are over."""

    async def run() -> bool:
        seeking.tell(*ends)
        running = asyncio.ensure_future(RowRecovery._restart_recovery.fun(seeking))
        over = asyncio.ensure_future(seeking.is_over.wait())
        await asyncio.wait({running, over}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({running}, timeout=0.1)
        is_waiting = not running.done()
        running.cancel()
        assert is_waiting or running.exception() is None
        return is_waiting

    return asyncio.run(run())


def test_a_rebalance_during_the_seek_begins_the_recovery_again(seeking: _Seeking) -> None:
    """An error that left the task would end the worker, and every partition would move."""
    assert _recover(seeking, RebalanceAgain, RebalanceAgain, None)
    assert not seeking.ends


def test_a_stop_during_the_seek_ends_the_recovery_quietly(seeking: _Seeking) -> None:
    """An error that left the task would make a failure of a stop that was asked for."""
    assert not _recover(seeking, ServiceStopped)
