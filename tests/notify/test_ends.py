"""Ends, and an Alertmanager that may have forgotten them before it told anybody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stream.notify import notifier
from tests.notify.forgetful import Forgetful
from tests.notify.inprocess import Running, notifying, until
from tests.notify.records import now_ms, record


async def end_one(running: Running, forgetful: Forgetful) -> None:
    """An alert that fires and ends, both taken."""
    since_ms = now_ms() - 900_000
    running.say(record(since_ms=since_ms))
    await until(lambda: len(running.notifier.book) == 1, "it fires")
    running.say(record("resolved", since_ms=since_ms))
    await until(lambda: forgetful.ends >= 1, "the end is taken")


def test_one_that_is_down_for_longer_than_ends_are_kept_hears_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took the end, died, and stayed away; nothing fires that it would have to be told of."""
    monkeypatch.setattr(notifier, "ENDS_KEPT_MS", 1_500)

    async def run() -> None:
        with Forgetful() as forgetful:
            async with notifying([forgetful.url], tmp_path, resend="300ms") as running:
                await end_one(running, forgetful)
                forgetful.takes = False
                await asyncio.sleep(3)
                again = forgetful.hears_of_the_end_anew()
                forgetful.takes, forgetful.started = True, "2026-03-02T09:00:00Z"
                await until(again, "it is told anew")
                assert len(running.notifier.book) == 1, "kept as long again: it may die once more"
                await until(lambda: len(running.notifier.book) == 0, "it is forgotten at last")

    asyncio.run(run())


@pytest.mark.parametrize("always", [True, False])
def test_one_that_does_not_say_when_it_was_started_hears_of_ends_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always: bool
) -> None:
    """A new start between two tellings would not be seen; but not for ever."""
    monkeypatch.setattr(notifier, "ENDS_KEPT_MS", 2_000)

    async def run() -> None:
        with Forgetful() as forgetful:
            if always:
                forgetful.started = None
            async with notifying([forgetful.url], tmp_path, resend="300ms") as running:
                await end_one(running, forgetful)
                forgetful.started = None
                await until(forgetful.hears_of_the_end_anew(), "it is told again")
                await until(lambda: len(running.notifier.book) == 0, "it is forgotten at last")

    asyncio.run(run())


def test_one_that_stays_at_work_hears_of_an_end_once(tmp_path: Path) -> None:
    """Or its leads would hear of it again with what has begun meanwhile."""

    async def run() -> None:
        with Forgetful() as forgetful:
            async with notifying([forgetful.url], tmp_path, resend="200ms") as running:
                await end_one(running, forgetful)
                before = forgetful.asked
                await until(lambda: forgetful.asked >= before + 4, "four more tellings")
                assert forgetful.ends == 1

    asyncio.run(run())
