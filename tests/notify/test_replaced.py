"""A notifier that was frozen or cut off, and replaced: what it knows to fire may be over."""

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


def test_cut_off_it_tells_only_what_is_still_held_as_active(tmp_path: Path) -> None:
    """What fires does not end for lack of news; what another has ended does not begin again."""

    async def run() -> None:
        with Forgetful() as forgetful:
            async with notifying([forgetful.url], tmp_path, resend="200ms") as running:
                forgetful.active = []
                held, ended = record(name="a-1"), record(name="a-2")
                running.say(held, ended)
                both = {(each["alert_id"], False) for each in (held, ended)}
                await until(lambda: forgetful.heard_since(0) == both, "both fire")
                running.inbox.is_cut_off = True
                await come_to_rounds(forgetful, 2)
                forgetful.active = [held["alert_id"]]
                done = len(forgetful.told)
                await until(lambda: len(forgetful.told) >= done + 3, "three more tellings")
                assert forgetful.heard_since(done) == {(held["alert_id"], False)}
                assert running.notifier.detail.startswith("hears nothing of Kafka; 2 alerts fire")
                done, running.inbox.is_cut_off = len(forgetful.told), False
                await until(lambda: forgetful.heard_since(done) == both, "both are told again")
                assert running.notifier.detail.startswith("2 alerts fire")

    asyncio.run(run())


def test_cut_off_it_does_not_end_what_another_alert_of_the_same_labels_has_begun(
    tmp_path: Path,
) -> None:
    """An Alertmanager started anew is told of ends again; not by one that knows of no successor."""

    async def run() -> None:
        with Forgetful() as forgetful:
            async with notifying([forgetful.url], tmp_path, resend="200ms") as running:
                forgetful.active = []
                await come_and_gone(running, forgetful, "a-1")
                running.inbox.is_cut_off = True
                done, forgetful.started = len(forgetful.told), "2026-03-02T09:00:00Z"
                await come_to_rounds(forgetful, 3)
                assert not forgetful.heard_since(done)
                running.inbox.is_cut_off = False
                await until(forgetful.hears_of_the_end_anew(), "it is told anew")

    asyncio.run(run())


def test_what_was_held_back_is_told_as_soon_as_kafka_is_heard(tmp_path: Path) -> None:
    """Not with the next telling of all, which may be an hour away."""

    async def run() -> None:
        with Forgetful() as forgetful:
            async with notifying([forgetful.url], tmp_path, resend="30m", keep="1h") as running:
                await until(lambda: forgetful.asked == 1, "all is told")
                running.inbox.is_cut_off = True
                running.say(record())
                await until(lambda: forgetful.asked == 2, "news has come")
                await asyncio.sleep(0.3)
                assert not forgetful.told
                running.inbox.is_cut_off = False
                running.say(record("pending", "a-2"))
                await until(lambda: len(forgetful.told) == 1, "it is told")

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


async def come_to_rounds(forgetful: Forgetful, rounds: int) -> None:
    """Waits for so many more tellings, the one on its way not counted."""
    before = forgetful.asked
    await until(lambda: forgetful.asked > before + rounds, "it is told")
