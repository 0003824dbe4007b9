"""Dead letters go back to where they came from, once: whatever is left out, refused or killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stream.kafka import resubmission
from stream.kafka.deadletters import Origin
from stream.kafka.delivery import DeliveryError, Flush
from stream.kafka.replayed import Selection
from stream.kafka.resubmission import Report, Writer, resubmit
from stream.kafka.topology import prepare
from stream.kafka.transactions import FencedError
from tests.kafka.admin import configure_topic, delete_topic, topics
from tests.kafka.letters import WRITTEN_MS, Desk, open_desk
from tests.kafka.live import Seen, Sent, wait_until
from tests.kafka_broker.broker import KafkaBroker


@pytest.fixture
def desk(kafka: KafkaBroker, topic_prefix: str, tmp_path: Path) -> Desk:
    """Topics of the test's own."""
    return open_desk(kafka.bootstrap, topic_prefix, tmp_path)


def replay(desk: Desk, limit: int | None = None, *, dry_run: bool = False, **by: Any) -> Report:
    """One run."""
    return asyncio.run(resubmit(desk.settings, Selection(**by), limit=limit, dry_run=dry_run))


def events(desk: Desk) -> Counter[bytes | None]:
    """How often each record stands in the interactions, by its key."""
    return Counter(record.key for record in desk.seen(desk.settings.topics.interactions))


def test_a_record_comes_back_as_it_was_with_a_mark(desk: Desk) -> None:
    """Key, value, headers, time and partition; and `kpi-replays`."""
    letter = desk.letter(7, headers=(("trace", b"t"), ("trace", b"u")))
    desk.put([letter])
    report = replay(desk)
    (found,) = desk.seen(desk.settings.topics.interactions)
    headers = {"trace": b"u", "kpi-replays": b"1"}
    assert found == Seen(1, found.offset, b"k7", letter.value, headers, WRITTEN_MS + 7)
    assert report.sent == {(desk.settings.topics.interactions, "invalid"): 1}


def test_what_was_too_large_to_be_written_stays_where_it_is(desk: Desk) -> None:
    """A record without a value in its place would be another one."""
    left_out = desk.letter(0, value=None, key=None)
    desk.put([left_out._replace(headers=(*left_out.headers, ("kpi-left-out", b"9000000")))])
    desk.put([desk.letter(1)])
    report = replay(desk)
    topic = desk.settings.topics.interactions
    assert report.left == {f"too large, it is only in {topic}": 1}
    assert events(desk) == {b"k1": 1}


def test_each_comes_back_once_however_often_one_asks(desk: Desk) -> None:
    """Also what is refused after the first run; and a tombstone without a key."""
    desk.put([desk.letter(n) for n in range(4)] + [desk.letter(4, value=None, key=None)])
    assert replay(desk).sent.total() == 5
    again = replay(desk)
    assert (again.sent.total(), again.done) == (0, 5)
    desk.put([desk.letter(5)])
    assert replay(desk).sent.total() == 1
    assert set(events(desk).values()) == {1}


def test_filters_leave_the_rest_for_later(desk: Desk) -> None:
    """What a run with a filter left out comes with the next, and nothing comes twice."""
    reasons = ("invalid", "version", "malformed")
    desk.put([desk.letter(n, reasons[n % 3]) for n in range(12)])
    assert replay(desk, reasons=("version",)).sent.total() == 4
    assert replay(desk, reasons=("invalid", "version")).sent.total() == 4
    assert replay(desk, topics=(desk.settings.topics.surveys,)).sent.total() == 0
    assert replay(desk, since_ms=2**50).sent.total() == 0
    assert replay(desk, limit=1).sent.total() == 1
    last = replay(desk)
    assert (last.sent.total(), last.done) == (3, 9)
    assert sorted(events(desk).values()) == [1] * 12


def test_a_dry_run_sends_and_notes_nothing(desk: Desk) -> None:
    """Not even the topic of accounts is made."""
    desk.put([desk.letter(n) for n in range(3)])
    assert replay(desk, dry_run=True).sent.total() == 3
    assert events(desk) == {}
    assert desk.settings.replayed not in topics(desk.settings.broker)
    assert replay(desk).sent.total() == 3


def test_a_loop_is_visible(desk: Desk) -> None:
    """Refused again, a record keeps its mark, and the next one counts on."""
    desk.put([desk.letter(1, headers=(("kpi-replays", b"4"),))])
    replay(desk)
    (found,) = desk.seen(desk.settings.topics.interactions)
    assert found.headers == {"kpi-replays": b"5"}


def test_what_cannot_be_sent_is_left_and_said(desk: Desk) -> None:
    """Too large, of a topic that is none of the inputs, of nobody: neighbours come back, once.

    What was left is tried again by the next run.
    """
    names = desk.settings.topics
    huge = desk.letter(2, value=b"x" * 1_200_000)
    elsewhere = desk.letter(4, origin=Origin("__consumer_offsets", 0, 4))
    stray = Sent(names.dead_letters, b"hello", b"s", 0)
    desk.put([desk.letter(0), stray, elsewhere, huge, desk.letter(1)])
    report = replay(desk)
    assert report.sent.total() == 2
    assert report.left == {
        "not written by a worker": 1,
        "topic '__consumer_offsets' is none of the inputs": 1,
        f"{names.interactions} refuses it: MessageSizeTooLargeError": 1,
    }
    again = replay(desk)
    assert (again.sent.total(), again.left.total(), again.done) == (0, 3, 2)
    configure_topic(desk.settings.broker, names.interactions, {"max.message.bytes": "4000000"})
    assert replay(desk).sent.total() == 1
    assert events(desk) == {b"k0": 1, b"k1": 1, b"k2": 1}


def test_another_run_is_fenced(desk: Desk) -> None:
    """Of two at once the later one goes on, and the other's chunk never becomes visible."""
    desk.put([desk.letter(n) for n in range(4)])

    write = Writer.write

    async def overtaken(writer: Writer, flush: Flush) -> None:
        patch.undo()
        await resubmit(desk.settings, Selection())
        await write(writer, flush)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Writer, "write", overtaken)
        with pytest.raises(FencedError, match="another run"):
            replay(desk)
    assert sorted(events(desk).values()) == [1] * 4


@pytest.mark.parametrize(
    "broken_at", ["before the records", "before the account", "before the end"]
)
def test_a_run_that_ends_in_between_leaves_both_or_neither(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, broken_at: str
) -> None:
    """Wherever it ends, the next run sends what was not sent, and nothing twice."""
    desk.put([desk.letter(n) for n in range(10)])
    monkeypatch.setattr(resubmission, "CHUNK_RECORDS", 4)
    send_all = resubmission.send_all  # type: ignore[attr-defined]
    chunks = 0

    async def broken(producer: Any, flush: Flush) -> Any:
        nonlocal chunks
        chunks += 1
        if chunks < 2:
            return await send_all(producer, flush)
        if broken_at == "before the account":
            await send_all(producer, Flush(0, outputs=flush.outputs))
        elif broken_at == "before the end":
            await send_all(producer, flush)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resubmission, "send_all", broken)
        with pytest.raises(KeyboardInterrupt):
            replay(desk)
    assert events(desk).total() == 4
    rest = replay(desk)
    assert (rest.sent.total(), rest.done) == (6, 4)
    assert sorted(events(desk).values()) == [1] * 10


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_killed_run_is_finished_by_the_next(desk: Desk) -> None:
    """SIGKILL at whatever point, several times over: each of 6,000 letters comes back once."""
    desk.put([desk.letter(n) for n in range(6_000)])
    line = [sys.executable, "-m", "stream", "dead-letters", "replay", "--config", str(desk.folder)]
    kills = 0
    for committed in (1, 2_000, 4_000):
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda least=committed: events(desk).total() >= least, 60, "a chunk")  # type: ignore[misc]
        kills += process.poll() is None
        process.kill()
        process.wait()
    replay(desk)
    assert kills >= 1
    found = events(desk)
    assert len(found) == 6_000
    assert set(found.values()) == {1}


def test_without_transactions_the_account_follows_the_records(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a run that ends between the two repeats its last chunk, and loses nothing."""
    settings = desk.settings.model_copy(update={"delivery": "at_least_once"})
    weak = Desk(settings, desk.folder)
    desk.put([desk.letter(n) for n in range(3)])
    send_all = resubmission.send_all  # type: ignore[attr-defined]

    async def broken(producer: Any, flush: Flush) -> Any:
        if flush.states:
            raise DeliveryError("the end of it")
        return await send_all(producer, flush)

    with monkeypatch.context() as patch:
        patch.setattr(resubmission, "send_all", broken)
        with pytest.raises(DeliveryError, match="the end of it"):
            replay(weak)
    assert replay(weak).sent.total() == 3
    assert replay(weak).sent.total() == 0
    assert sorted(events(desk).values()) == [2] * 3


def test_a_topic_made_anew_has_an_account_of_its_own(desk: Desk) -> None:
    """Its offsets begin at 0 again, and the old account would pass over them."""
    desk.put([desk.letter(n) for n in range(6)])
    assert replay(desk).sent.total() == 6
    delete_topic(desk.settings.broker, desk.settings.topics.dead_letters)
    asyncio.run(prepare(desk.settings))
    desk.put([desk.letter(n) for n in range(6, 8)])
    assert replay(desk).sent.total() == 2
