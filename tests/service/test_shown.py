"""One missed goal all the way: event, KPI, alert, Alertmanager, the lead, and that it is over."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.kafka.board import Board, differences, with_samples
from tests.kafka.live import read_topic, wait_until
from tests.notify.receivers import text_of
from tests.service import bank
from tests.service.bank import Truth, at, replayed, replaying
from tests.service.conftest import Site
from tests.service.journey import Journey
from tests.service.witness import STEP_S, Said, Witness

# Event time per wall time: ten minutes a second where one looks closely, less while a worker dies.
FAST: Final = "max"
CLOSER: Final = "600x"
SLOW: Final = "180x"
WELL_UNTIL: Final = at("11:20")
FIRING_BY: Final = at("11:50")
WORKED_BY: Final = at("12:05")
MIDNIGHT: Final = at("24:00")
QUIET_S: Final = 3.0  # several group intervals: what has not come by then does not come
MINUTE: Final = timedelta(minutes=1)


class Case(NamedTuple):
    """The stack at work for the bank, with who sees it, and what should be seen."""

    site: Site
    folder: Path
    topics: dict[str, str]
    witness: Witness
    truth: Truth
    journey: Journey

    def replay(self, begin: datetime, end: datetime, speed: str) -> int:
        """A part of the day, to its end; how many calls that were."""
        return replayed(replaying(self.folder, self.site.stack.broker, begin, end, speed))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_one_missed_goal_all_the_way(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told once with SQL's figures, and once that it is over, though its worker was killed."""
    folder = tmp_path / "bank"
    topics = bank.write_site(folder)
    truth = Truth(bank.write_day(folder))
    case = Case(site, folder, topics, Witness(site, topics), truth, Journey())
    site.stack.stop_ours()
    site.stack.run_ours(folder)
    sent = case.replay(bank.DAY, WELL_UNTIL, FAST)
    sent += case.replay(WELL_UNTIL, FIRING_BY, CLOSER)
    follow_to_the_lead(case)
    sent += kill_its_worker(case)
    sent += case.replay(WORKED_BY, MIDNIGHT, FAST)
    follow_to_the_end(case)
    told_once(case)
    compare_the_day(case)
    assert sent == len(case.truth.calls)
    with capsys.disabled():
        print("", f"{sent} calls of {bank.DAY:%d %B %Y}", case.journey.table(), sep="\n")  # noqa: T201 - the figures that are asked for


def follow_to_the_lead(case: Case) -> None:
    """From the call that makes it a miss to what the lead reads; each figure is SQL's."""
    case.journey.about("A goal is missed")
    record, fired = case.witness.change("firing")
    since, told = (datetime.fromisoformat(fired[name]) for name in ("since", "at"))
    assert told - since == bank.FOR
    missed = [case.truth.is_missed(since + n * MINUTE) for n in range(-1, bank.FOR // MINUTE + 1)]
    assert missed == [False] + [True] * (len(missed) - 1)
    value, samples = case.truth.handle_time(told)
    assert (fired["value"], fired["samples"]) == (pytest.approx(value), samples)
    call = case.truth.last_call(since)
    (sent,) = (s for s, e in case.witness.records("interactions") if e.get("event_id") == call)
    case.journey.note("`interactions`: the call is sent", sent.timestamp_ms / 1000)
    note_reading(case, since)
    case.journey.note("`alerts`: firing, missed for 15 minutes", record.timestamp_ms / 1000)
    note_metrics(case)
    note_told(case, fired)


def note_reading(case: Case, since: datetime) -> None:
    """The first reading that shows the miss; its figures are SQL's as of its own instant."""
    goal = bank.GOAL["name"]
    missed = [(r, x) for r, x in case.witness.readings() if x["goals"][goal]["verdict"] == "missed"]
    record, reading = missed[0]
    as_of = datetime.fromisoformat(reading["as_of"])
    assert as_of >= since
    assert case.truth.is_missed(as_of)
    expected = case.truth.expected(as_of)[bank.AGENT, bank.WINDOW]
    assert differences(expected, reading["kpis"]) == []
    case.journey.note("`kpis`: the goal is missed", record.timestamp_ms / 1000)


def note_metrics(case: Case) -> None:
    """Prometheus: the alert, and the KPI as SQL has it at the end of what was replayed."""
    value, _ = case.truth.handle_time(FIRING_BY)

    def shown() -> bool:
        gauge = case.witness.gauge("kpi_handle_time_seconds")
        return [float(found["value"][1]) for found in gauge] == [pytest.approx(value)]

    wait_until(shown, STEP_S, f"Prometheus has {value}")
    first_s = case.witness.first_scraped_s("kpi_alert_firing")
    case.journey.note("Prometheus: `kpi_alert_firing`", first_s)


def note_told(case: Case, fired: dict[str, Any]) -> None:
    """Alertmanager holds it, and the lead reads who, what, how sure and since when."""
    wait_until(lambda: any(case.witness.mails("Missed now")), STEP_S, "the mail")
    wait_until(lambda: any(case.witness.hooks("firing")), STEP_S, "the webhook")
    (held,) = case.witness.held()
    updated = datetime.fromisoformat(held["updatedAt"])
    case.journey.note("Alertmanager: has it", updated.timestamp())
    (mailed_s, mail), *_ = case.witness.mails("Missed now")
    (hooked_s, hook), *_ = case.witness.hooks("firing")
    case.journey.note("the lead's mail", mailed_s)
    case.journey.note("the lead's webhook", hooked_s)
    minutes, seconds = divmod(int(fired["value"]), 60)
    bound = f"{bank.TARGET_S // 60}m{bank.TARGET_S % 60:02}s"
    words = " ".join(text_of(mail).split())
    assert f"{bank.NAME} ({bank.AGENT}), team {bank.TEAM}" in words
    assert f"what: handle time {minutes}m{seconds:02}s, target at most {bound}" in words
    assert f"{fired['samples']} contacts" in words
    assert f"what to do: {bank.GOAL['what_to_do']}" in words
    begun = datetime.fromisoformat(fired["since"]).astimezone(bank.DAY.tzinfo)
    assert f"since: {begun:%a %d %b %H:%M}" in words
    for said in (held["annotations"], hook["annotations"]):
        assert float(said["value"]) == pytest.approx(fired["value"], rel=1e-5)
        assert said["samples"] == str(fired["samples"])
        assert said["alert_id"] == fired["alert_id"]


def kill_its_worker(case: Case) -> int:
    """SIGKILL in the midst of calls, for the one whose the agent is; Docker starts it again."""
    stack, journey = case.site.stack, case.journey
    (gauge,) = case.witness.gauge("kpi_handle_time_seconds")
    name = stack.hosts.name(gauge["metric"]["instance"])
    journey.about(f"{name}, whose the agent is, is killed")
    counted = stack.counted(name)
    on_its_way = replaying(case.folder, stack.broker, FIRING_BY, WORKED_BY, SLOW)
    wait_until(lambda: stack.counted(name) > counted, STEP_S, "it is at work")
    worker = stack.units[name]
    worker.kill()
    journey.note("SIGKILL")
    assert [found["state"] for _, found in case.witness.changes()][-1] == "firing"
    assert worker.is_unwell()
    journey.note("its health check fails")
    worker.start()
    worker.wait_well()
    journey.note("started again, and well")
    stack.wait_owned()
    journey.note("its partitions are its again, and caught up")
    sent = replayed(on_its_way)
    wait_until(lambda: stack.lag() == 0, STEP_S, "nothing waits")
    wait_until(lambda: case.witness.read_until() == WORKED_BY, STEP_S, "it has worked the rest off")
    journey.note("it has counted what was sent meanwhile")
    assert [found["state"] for _, found in case.witness.changes()][-1] == "firing"
    return sent


def follow_to_the_end(case: Case) -> None:
    """The goal is met again, and the lead reads so; nobody was told anything twice."""
    case.journey.about("The goal is met again")
    record, ended = case.witness.change("resolved")
    at_end = datetime.fromisoformat(ended["at"])
    assert at_end > WORKED_BY
    value, samples = case.truth.handle_time(at_end)
    assert value is not None
    assert value <= bank.CLEAR_S
    assert (ended["value"], ended["samples"]) == (pytest.approx(value), samples)
    before, _ = case.truth.handle_time(at_end - MINUTE)
    assert before is not None
    assert before > bank.CLEAR_S
    case.journey.note("`alerts`: resolved", record.timestamp_ms / 1000)
    wait_until(lambda: any(case.witness.mails("Over")), STEP_S, "the mail of its end")
    wait_until(lambda: any(case.witness.hooks("resolved")), STEP_S, "the webhook of its end")
    wait_until(lambda: not case.witness.held(), STEP_S, "Alertmanager lets go of it")
    (mailed_s, mail), *_ = case.witness.mails("Over")
    (hooked_s, _), *_ = case.witness.hooks("resolved")
    case.journey.note("the lead's mail", mailed_s)
    case.journey.note("the lead's webhook", hooked_s)
    minutes, seconds = divmod(int(value), 60)
    words = " ".join(text_of(mail).split())
    assert f"now: met again, {minutes}m{seconds:02}s of {samples} contacts" in words


def told_once(case: Case) -> None:
    """One alert, that fired once and ended once; that was news to everybody once, each.

    Another of the team whose miss begins later is told with all that the team still misses.
    """
    time.sleep(QUIET_S)
    changes = [(found["alert_id"], found["state"]) for _, found in case.witness.changes()]
    (fired,) = (about for about, state in changes if state == "firing")
    lived = [state for about, state in changes if about == fired]
    assert lived == ["pending", "firing", "resolved"]
    for way, messages in case.witness.told().items():
        assert news_of(messages)[bank.AGENT] == ["firing", "resolved"], way


def news_of(messages: Sequence[Said]) -> dict[str, list[str]]:
    """What was new of each agent, in order; a message that has nothing new is a repetition.

    So is an end that was told already, though others of the team have begun after it.
    """
    news: dict[str, list[str]] = defaultdict(list)
    for before, now in pairwise([frozenset[tuple[str, str]](), *messages]):
        assert now - before, f"a group was told again, unchanged: {sorted(now)}"
        for agent, status in now - before:
            assert news[agent][-1:] != [status], f"{agent}: {status} was told twice"
            news[agent].append(status)
    return news


def compare_the_day(case: Case) -> None:
    """Every agent's last readings of the day are SQL's: nothing was lost, or counted twice."""
    board = Board()
    expected = with_samples(case.truth.expected(MIDNIGHT, bank.WINDOWS))

    def found() -> dict[tuple[str, str], dict[str, Any]]:
        board.take(read_topic(case.site.stack.broker, case.topics["kpis"]))
        return board.of("agent", round(MIDNIGHT.timestamp() * 1000))

    wait_until(lambda: found().keys() == expected.keys(), STEP_S, "readings as of midnight")
    readings = board.of("agent", round(MIDNIGHT.timestamp() * 1000))
    assert {k: w for k in expected if (w := differences(expected[k], readings[k]))} == {}
