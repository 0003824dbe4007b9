"""What was told, kept in a topic of a real Kafka: over restarts, and against a frozen writer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stream.config import Settings, load_settings
from stream.kafka.clients import KafkaClients
from stream.kafka.formats import UnknownFormatError
from stream.notify.book import Notice
from stream.notify.inbox import prepare
from stream.notify.memory import FORMAT, Change, Memory, MemoryLostError, Progress, Told, remembered
from tests.notify.records import transition

FIRST = Notice(fired=transition(since_ms=1_000), seen_ms=2_000, lead="Kim")
SECOND = Notice(fired=transition("firing", "a-2", since_ms=1_000), seen_ms=2_000)
TOLD = Told(5_000, (FIRST.alert_id,), (), (5_000,))


def settings_of(site: dict[str, Any], delivery: str) -> Settings:
    """The site's settings with the topics made."""
    settings = load_settings(None, **site, delivery=delivery)
    asyncio.run(prepare(settings))
    return settings


def change() -> Change:
    """Two alerts, what a lead was told, and how far was read."""
    made = Change()
    made.progress(Progress(FORMAT, {"0": 3, "1": 7}, "id"))
    made.notice(FIRST)
    made.notice(SECOND)
    made.told("Kim", TOLD)
    return made


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_a_restart_finds_what_was_kept(site: dict[str, Any], delivery: str) -> None:
    """All but what was forgotten, with and without transactions."""
    settings = settings_of(site, delivery)

    async def run() -> Any:
        first = Memory(settings, KafkaClients(settings))
        assert await first.open() == remembered({})
        await first.save(change())
        gone = Change()
        gone.forget(SECOND.alert_id)
        await first.save(gone)
        await first.close()
        second = Memory(settings, KafkaClients(settings))
        found = await second.open()
        await second.close()
        return found

    found = asyncio.run(run())
    assert (found.notices, found.told) == ([FIRST], {"Kim": TOLD})
    assert found.progress == Progress(FORMAT, {"0": 3, "1": 7}, "id")


def test_one_that_was_frozen_cannot_write_over_what_its_heir_told(site: dict[str, Any]) -> None:
    """It is fenced, says why, and nothing of it becomes visible."""
    settings = settings_of(site, "exactly_once")

    async def run() -> Any:
        frozen, heir = (Memory(settings, KafkaClients(settings)) for _ in range(2))
        await frozen.open()
        await heir.open()
        await heir.save(change())
        stale = Change()
        stale.told("Kim", Told(1, ()))
        with pytest.raises(MemoryLostError, match="another `kpi-stream notify` of this app runs"):
            await frozen.save(stale)
        await frozen.close()
        await heir.close()
        third = Memory(settings, KafkaClients(settings))
        found = await third.open()
        await third.close()
        return found

    assert asyncio.run(run()).told == {"Kim": TOLD}


def test_what_another_version_kept_is_not_read() -> None:
    """It says so, rather than telling everybody anew."""
    with pytest.raises(UnknownFormatError, match="has format 9; this version reads 1"):
        remembered({b"p": b'{"format": 9}'})


def test_progress_is_written_last() -> None:
    """Without transactions, what was read counts as read only once all that it told is kept."""
    assert next(iter(change().records)) == b"p"
    made = change()
    made.progress(Progress(FORMAT, {}))
    assert list(made.records)[-1] == b"p"
