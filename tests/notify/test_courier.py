"""Leads who are told directly: each at work on its own, through Apprise to real receivers."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from stream.notify import courier
from stream.notify.addresses import AppriseAddress, open_addresses
from stream.notify.letter import Letter
from stream.notify.memory import Change, Told
from stream.yamlfile import Faults
from tests.notify.inprocess import KeptMemory, notifying, until
from tests.notify.receivers import Mailbox, Webhook
from tests.notify.records import now_ms, record
from tests.ports import free_port

QUICK: dict[str, Any] = {"direct": {"group_wait": "100ms", "group_interval": "300ms"}}
LETTER = Letter("1 missed: agent a-17", "Missed now\n\n  what:  csat <57%>", has_missed=True)


class Inmate:
    """An address in the test's own hands."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.is_open = threading.Event()
        self.is_open.set()
        self.takes = True
        self.tries = 0

    def send(self, letter: Letter) -> bool:
        """Takes it, once it is open and if it takes any."""
        self.tries += 1
        self.is_open.wait(20)
        if self.takes:
            self.letters.append(letter)
        return self.takes


def subjects(address: Inmate) -> list[str]:
    """What the letters are about."""
    return [letter.subject for letter in address.letters]


def test_each_lead_is_told_of_the_own_team(tmp_path: Path) -> None:
    """By the lead's name, else the team's, else by who takes the rest."""
    kim, sales, rest = Inmate(), Inmate(), Inmate()
    leads = {"Kim": [kim], "sales": [sales], "*": [rest]}

    async def run() -> None:
        async with notifying([], tmp_path, leads, **QUICK) as running:
            running.say(
                record(),
                record(name="a-2", team="sales", lead=None),
                record(name="a-3", team=None, lead=None),
            )
            everybody = (kim, sales, rest)
            await until(lambda: all(len(who.letters) == 1 for who in everybody), "all are told")

    asyncio.run(run())
    assert subjects(kim)[0].startswith("1 missed: agent a-17, team billing: csat 57%")
    assert subjects(sales)[0].startswith("1 missed: agent a-2, team sales")
    assert subjects(rest)[0].startswith("1 missed: agent a-3: csat")


def test_the_roster_says_whose_an_agent_is_where_events_do_not(tmp_path: Path) -> None:
    """And only there: the team of the events goes before it."""
    (tmp_path / "roster.yaml").write_text("agents: {a-1: {team: sales}, a-2: {team: sales}}\n")
    sales, rest = Inmate(), Inmate()

    async def run() -> None:
        async with notifying([], tmp_path, {"sales": [sales], "*": [rest]}, **QUICK) as running:
            running.say(record(name="a-1", team=None), record(name="a-2", team="billing"))
            await until(lambda: bool(sales.letters and rest.letters), "both are told")

    asyncio.run(run())
    assert subjects(sales)[0].startswith("1 missed: agent a-1, team sales")
    assert subjects(rest)[0].startswith("1 missed: agent a-2, team billing")


def test_a_lead_out_of_reach_holds_up_nobody(tmp_path: Path) -> None:
    """While one address hangs, another's lead hears of the miss and of its end."""
    hangs, answers = Inmate(), Inmate()
    hangs.is_open.clear()
    since_ms = now_ms() - 900_000

    async def run() -> None:
        leads = {"Kim": [hangs], "Robin": [answers]}
        async with notifying([], tmp_path, leads, **QUICK) as running:
            theirs: dict[str, Any] = {"lead": "Robin", "since_ms": since_ms}
            running.say(record(), record(name="a-2", **theirs))
            await until(lambda: len(answers.letters) == 1, "Robin is told")
            running.say(record("resolved", "a-2", **theirs))
            await until(lambda: len(answers.letters) == 2, "Robin is told of the end")
            assert hangs.tries == 1
            hangs.is_open.set()
            await until(lambda: len(hangs.letters) == 1, "Kim is told")

    asyncio.run(run())


def test_tries_are_bounded_and_counted_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three tries, then a pause; the next message has what was not taken and what has come."""
    monkeypatch.setattr(courier, "PAUSE_S", 1.0)
    broken = Inmate()
    broken.takes = False

    async def run() -> None:
        async with notifying([], tmp_path, {"Kim": [broken]}, **QUICK) as running:
            running.say(record())
            failed = "kpi_stream_notify_failures_total"
            await until(lambda: running.counted(failed, receiver="Kim") == 1, "it is given up")
            assert broken.tries == 3
            retries = running.counted("kpi_stream_notify_retries_total", receiver="Kim")
            assert retries == 2
            waiting = "kpi_stream_notify_waiting"
            running.say(record(name="a-2"))
            await until(lambda: running.counted(waiting, receiver="Kim") == 2, "two wait")
            broken.takes = True
            await until(lambda: len(broken.letters) == 1, "both are told")
            running.say(record(name="a-3"))
            await until(lambda: running.counted(waiting, receiver="Kim") <= 1, "two are known")

    asyncio.run(run())
    assert subjects(broken)[0] == "2 missed: billing"


def test_one_of_two_addresses_is_enough(tmp_path: Path) -> None:
    """The other's failure is counted, and the one that took it gets it once."""
    works, broken = Inmate(), Inmate()
    broken.takes = False

    async def run() -> None:
        async with notifying([], tmp_path, {"Kim": [works, broken]}, **QUICK) as running:
            running.say(record())
            failed = "kpi_stream_notify_failures_total"
            await until(lambda: running.counted(failed, receiver="Kim") == 1, "it is given up")
            await asyncio.sleep(1)

    asyncio.run(run())
    assert len(works.letters) == 1


def test_a_restart_tells_nobody_again_and_the_end_to_whom_it_was_told(tmp_path: Path) -> None:
    """What was told is remembered; what ended meanwhile is told, what has not changed is not."""
    kim, memory = Inmate(), KeptMemory()
    since_ms = now_ms() - 900_000

    async def first() -> None:
        async with notifying([], tmp_path, {"Kim": [kim]}, memory, **QUICK) as running:
            running.say(record(since_ms=since_ms), record(name="a-2"))
            await until(lambda: "Kim" in memory.told(), "it is told, and that is remembered")

    async def second() -> None:
        async with notifying([], tmp_path, {"Kim": [kim]}, memory, **QUICK) as running:
            await asyncio.sleep(1)
            assert len(kim.letters) == 1
            running.say(record("resolved", since_ms=since_ms))
            await until(lambda: len(kim.letters) == 2, "the end is told")
            await until(lambda: len(running.notifier.book) == 1, "what is over is forgotten")

    asyncio.run(first())
    asyncio.run(second())
    assert subjects(kim) == ["2 missed: billing", "1 missed, 1 over: billing"]
    assert "Still missed\n\n[warning] agent a-2" in kim.letters[1].text


def test_a_clock_that_was_put_back_silences_nobody(tmp_path: Path) -> None:
    """What was told last was told a day ahead of now, and often."""
    kim, memory, change = Inmate(), KeptMemory(), Change()
    ahead_ms = now_ms() + 86_400_000
    change.told("Kim", Told(ahead_ms, ("another",), (), (ahead_ms - 1_000, ahead_ms)))
    memory.records |= change.records

    async def run() -> None:
        async with notifying([], tmp_path, {"Kim": [kim]}, memory, **QUICK) as running:
            running.say(record())
            await until(lambda: len(kim.letters) == 1, "it is told", 10)

    asyncio.run(run())


def test_what_nobody_has_an_address_for_is_counted(tmp_path: Path) -> None:
    """It is not dropped without a word."""

    async def run() -> None:
        async with notifying([], tmp_path, {"Robin": [Inmate()]}, **QUICK) as running:
            running.say(record(), record(name="a-2"))
            name = "kpi_stream_notify_unaddressed"
            running.say(record(name="a-3", lead="Robin"))
            await asyncio.sleep(0.3)
            running.say(record(name="a-4", lead="Robin"))
            await until(lambda: running.counted(name) == 2, "it is counted")

    asyncio.run(run())


def test_what_an_alertmanager_is_told_besides_is_not_counted_so(tmp_path: Path) -> None:
    """Leads who are told directly may be few where an Alertmanager tells the others."""

    async def run() -> None:
        away = f"http://127.0.0.1:{free_port()}"
        async with notifying([away], tmp_path, {"Robin": [Inmate()]}, **QUICK) as running:
            running.say(record())
            await until(lambda: len(running.notifier.book) == 1, "one is read")
            running.say(record(name="a-2"))
            await until(lambda: running.counted("kpi_stream_notify_firing") == 2, "both are shown")
            assert running.counted("kpi_stream_notify_unaddressed") == 0

    asyncio.run(run())


# ---------------------------------------------------------------- Apprise


def test_apprise_reaches_a_mailbox(mailbox: Mailbox) -> None:
    """By SMTP, the words as they are."""
    url = f"mailto://127.0.0.1:{mailbox.port}/?from=kpi@example.org&to=kim@example.org"
    assert AppriseAddress(url).send(LETTER)
    (mail,) = mailbox.mails
    assert (mail["Subject"], mail["To"]) == (LETTER.subject, "kim@example.org")
    assert "csat <57%>" in mailbox.texts()[0].replace("\xa0", " ")


def test_one_recipient_who_is_gone_does_not_have_the_other_told_again(
    mailbox: Mailbox, tmp_path: Path
) -> None:
    """Both stand in one address; the one who is there gets one mail."""
    mailbox.gone.add("gone@example.org")
    people = "kim@example.org,gone@example.org"
    url = f"mailto://127.0.0.1:{mailbox.port}/?from=kpi@example.org&to={people}"
    leads = open_addresses({"Kim": [SecretStr(url)]})

    async def run() -> None:
        async with notifying([], tmp_path, leads, **QUICK) as running:
            running.say(record())
            failed = "kpi_stream_notify_failures_total"
            await until(lambda: running.counted(failed, receiver="Kim") == 1, "it is given up")

    asyncio.run(run())
    assert [mail["To"] for mail in mailbox.mails] == ["kim@example.org"]


def test_apprise_reaches_a_webhook_and_says_where_it_does_not(webhook: Webhook) -> None:
    """By HTTP; one that answers with an error has not taken it."""
    address = AppriseAddress(f"json://127.0.0.1:{webhook.port}/")
    assert address.send(LETTER)
    assert (webhook.told[0]["title"], webhook.told[0]["type"]) == (LETTER.subject, "warning")
    webhook.status = 503
    assert not address.send(LETTER)


def test_a_wrong_address_is_named_and_not_said() -> None:
    """A fault names the lead and which of the addresses, not what it holds."""
    leads = {"Kim": [SecretStr("nonsense://secret")], "Robin": []}
    with pytest.raises(Faults) as faults:
        open_addresses(leads)
    assert [fault.partition(": ")[0] for fault in faults.value.faults] == [
        "setting 'notify.direct.leads.Kim.0'",
        "setting 'notify.direct.leads.Robin'",
    ]
    assert "secret" not in str(faults.value)
