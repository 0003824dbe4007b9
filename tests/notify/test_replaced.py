"""A notifier that was frozen or cut off, and replaced, tells that what is over fires."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.notify.forgetful import Forgetful
from tests.notify.inprocess import Running, notifying, until
from tests.notify.records import now_ms, record
from tests.notify.servers import AlertmanagerProcess

NOBODY: dict[str, Any] = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}


async def come_and_gone(running: Running, forgetful: Forgetful, name: str) -> str:
    """An alert that fires and ends, both taken; its id."""
    fired, before = record(name=name), forgetful.ends
    running.say(fired)
    await until(lambda: running.notifier.book.get(fired["alert_id"]) is not None, "it fires")
    running.say({**fired, "state": "resolved", "reason": "cleared", "verdict": "met"})
    await until(lambda: forgetful.ends > before, "the end is taken")
    return str(fired["alert_id"])


def test_an_end_is_told_again_only_where_the_alert_is_listed_as_active(tmp_path: Path) -> None:
    """And as often as another tells that it fires."""

    async def run() -> None:
        with Forgetful() as forgetful:
            async with notifying([forgetful.url], tmp_path, resend="200ms") as running:
                forgetful.active = []
                await come_and_gone(running, forgetful, "a-1")
                resurrected = await come_and_gone(running, forgetful, "a-2")
                for _ in range(2):
                    done, again = len(forgetful.told), forgetful.hears_of_the_end_anew()
                    forgetful.active = [resurrected, "another's"]
                    await until(again, "the end is told again")
                    forgetful.active = []
                    assert forgetful.heard_since(done) == {(resurrected, True)}

    asyncio.run(run())


def test_one_that_does_not_say_what_is_active_is_told_as_before(tmp_path: Path) -> None:
    """That is no failure."""

    async def run() -> None:
        with Forgetful() as forgetful:
            async with notifying([forgetful.url], tmp_path, resend="200ms") as running:
                await come_and_gone(running, forgetful, "a-1")
                fires = record(name="a-2")
                running.say(fires)
                again = [(fires["alert_id"], False)] * 4
                await until(lambda: forgetful.told[-4:] == again, "four tellings")
                assert forgetful.ends == 1
                name = forgetful.url.removeprefix("http://")
                assert not running.counted("kpi_stream_notify_failures_total", receiver=name)

    asyncio.run(run())


@pytest.mark.usefixtures("alertmanager_runs")
def test_an_alertmanager_that_is_told_firing_after_an_end_comes_to_hold_it_ended(
    tmp_path: Path,
) -> None:
    """The real one: the alert would be active for `keep`."""

    async def run() -> None:
        with AlertmanagerProcess(tmp_path / "am", NOBODY) as alertmanager:
            async with notifying([alertmanager.url], tmp_path, resend="1s") as running:
                since_ms = now_ms() - 900_000
                running.say(record(since_ms=since_ms))
                await until(lambda: len(alertmanager.alerts()) == 1, "it fires")
                (held,) = alertmanager.alerts()
                running.say(record("resolved", since_ms=since_ms))
                await until(lambda: not alertmanager.alerts(), "it has ended")
                until_then = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
                said = {name: held[name] for name in ("labels", "annotations", "startsAt")}
                alertmanager.post({**said, "endsAt": until_then})
                assert len(alertmanager.alerts()) == 1, "it is active again"
                await until(lambda: not alertmanager.alerts(), "it has ended again")

    asyncio.run(run())
