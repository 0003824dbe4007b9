"""What the app before left firing: told until it fires anew or `keep` has passed, then ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import pytest

from stream.notify.book import Book
from stream.notify.succession import APP_CHANGED, Succession
from tests.notify.inprocess import KeptMemory, notifying, until
from tests.notify.records import now_ms, record, transition
from tests.notify.test_courier import QUICK, Inmate, subjects

KEEP_MS: Final = 3_600_000
NOW_MS: Final = 1_772_442_000_000


def ago(minutes: int) -> int:
    """An instant before now."""
    return NOW_MS - minutes * 60_000


def read(*said: dict[str, Any], seen_ms: int = NOW_MS) -> tuple[Succession, Book]:
    """What the first start of app `new` makes of these records."""
    apps, book = Succession("new", KEEP_MS), Book()
    for fields in said:
        found = transition(**fields)
        apps.note(found)
        book.forget(apps.superseded_by(found, book))
        book.take(found, None, seen_ms)
    return apps, book


def said(app: str | None, minutes: int, state: str = "firing", **fields: Any) -> dict[str, Any]:
    """A transition of an app, so many minutes ago."""
    own = {} if app is None else {"app": app}
    times = {"at_ms": ago(minutes), "since_ms": ago(minutes), "fired_ms": ago(minutes)}
    return {"state": state, **own, **times, **fields}


def test_what_the_app_before_left_is_told_for_keep_and_ends() -> None:
    """With the firing's figures; our own alerts, and those of before there was `app`, go on."""
    apps, book = read(said("old", 20), said("new", 9, name="a-2"), said(None, 50, name="a-3"))
    assert apps.long_over(book, NOW_MS) == []
    left, *ours = book
    assert [apps.end_of(notice, NOW_MS + 9 * KEEP_MS) for notice in ours] == [None, None]
    assert apps.end_of(left, NOW_MS + KEEP_MS - 1) is None
    end = apps.end_of(left, NOW_MS + KEEP_MS)
    assert end is not None
    assert (end.state, end.reason, end.has_ended) == ("withdrawn", APP_CHANGED, True)
    told = book.take(end, None, NOW_MS + KEEP_MS)
    assert told is not None
    assert (told.latest, told.end_seen_ms) == (left.fired, NOW_MS + KEEP_MS)
    assert apps.end_of(told, NOW_MS + 2 * KEEP_MS) is None


@pytest.mark.parametrize(
    ("records", "over"),
    [
        ([said("old", 20)], []),
        ([said("old", 200)], []),  # nobody has spoken after it
        ([said("old", 20), said("new", 10, name="a-2")], []),
        ([said("old", 200), said("new", 61, name="a-2")], ["a-17"]),
        # The one before the last was succeeded long ago, the last one just now.
        ([said("older", 200), said("old", 100, name="a-2")], ["a-17"]),
        # Two that spoke by turns: whoever of them was left is not known to be over.
        ([said("old", 200), said("new", 100, name="a-2"), said("old", 90, name="a-3")], []),
    ],
)
def test_what_had_a_successor_for_longer_is_over(
    records: list[dict[str, Any]], over: list[str]
) -> None:
    """So that a notifier that comes later does not tell again what ended long ago."""
    apps, book = read(*records)
    assert [book.get(found).fired.id for found in apps.long_over(book, NOW_MS)] == over  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("earlier", "later", "gone"),
    [
        (said("old", 20), said("new", 10), True),
        # It may yet be cancelled, and nobody would say that the one before had ended.
        (said("old", 20), said("new", 10, "pending"), False),
        (said("new", 20), said("new", 10, "pending"), True),
        (said("old", 20), said("old", 10), True),
        (said("new", 20), said("old", 10), False),
    ],
)
def test_one_that_fires_anew_takes_the_place(
    earlier: dict[str, Any], later: dict[str, Any], gone: bool
) -> None:
    """Of the app before, and of our own; never another's that of ours."""
    apps, book = read(earlier)
    assert bool(apps.superseded_by(transition(**later), book)) is gone


def test_a_lead_is_told_on_and_then_that_nobody_judges_it_any_more(tmp_path: Path) -> None:
    """What fires anew is told as such; a restart in between changes nothing."""
    kim, memory = Inmate(), KeptMemory()
    since_ms = now_ms() - 900_000
    before = [record(name=name, app="old", since_ms=since_ms) for name in ("a-1", "a-2")]
    options: dict[str, Any] = {**QUICK, "resend": "500ms", "keep": "3s"}

    async def first() -> None:
        async with notifying([], tmp_path, {"Kim": [kim]}, memory, before, **options):
            await until(lambda: "Kim" in memory.told(), "it is told on, and that is remembered")

    async def second() -> None:
        async with notifying([], tmp_path, {"Kim": [kim]}, memory, **options) as running:
            running.say(record(name="a-2", app="site"))
            await until(lambda: any(" over" in text for text in subjects(kim)), "the end is told")
            await until(lambda: len(running.notifier.book) == 1, "what is over is forgotten")

    asyncio.run(first())
    asyncio.run(second())
    assert subjects(kim)[0] == "2 missed: billing"
    assert "Over\n\n[warning] agent a-1, team billing\n" in kim.letters[-1].text
    assert "no longer judged: app old has a successor" in kim.letters[-1].text
    assert sum("Missed now\n\n[warning] agent a-2" in each.text for each in kim.letters[1:]) == 1


def test_a_first_start_long_after_the_change_tells_only_what_is_ours(tmp_path: Path) -> None:
    """The app before had left something, and was succeeded an hour and a half ago."""
    kim, long_ago_ms = Inmate(), now_ms() - 90 * 60_000
    before = [
        record(name="a-1", app="old", at_ms=long_ago_ms - 1, since_ms=long_ago_ms - 900_000),
        record(name="a-2", app="site", at_ms=long_ago_ms, since_ms=long_ago_ms - 900_000),
    ]

    async def run() -> None:
        options: dict[str, Any] = {**QUICK, "keep": "1h"}
        async with notifying([], tmp_path, {"Kim": [kim]}, before=before, **options):
            await until(lambda: len(kim.letters) == 1, "it is told")

    asyncio.run(run())
    assert subjects(kim)[0].startswith("1 missed: agent a-2")


def test_what_another_app_writes_later_is_its_own_notifiers(tmp_path: Path) -> None:
    """It is counted and not told; an end of what is known is taken from anybody."""
    kim = Inmate()
    since_ms = now_ms() - 900_000
    before = [record(app="old", since_ms=since_ms)]

    async def run() -> None:
        async with notifying([], tmp_path, {"Kim": [kim]}, before=before, **QUICK) as running:
            await until(lambda: len(kim.letters) == 1, "it is told on")
            running.say(
                record(name="a-2", app="other"),
                record("resolved", app="old", since_ms=since_ms),
            )
            await until(lambda: len(kim.letters) == 2, "the end is told")
            assert running.counted("kpi_stream_notify_refused_total", kind="app") == 1

    asyncio.run(run())
    assert subjects(kim)[1].startswith("1 over: agent a-17")
