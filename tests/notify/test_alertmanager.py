"""A real Alertmanager with the shipped configuration between the notifier and who is told."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stream.config import load_settings
from stream.goalfile import load_goals
from stream.kafka.codec import encode_announcement
from stream.notify.book import Notice
from stream.notify.labels import labels
from stream.notify.transition import decode_transition
from tests.core.build import call, ms, with_events
from tests.notify.debian import program
from tests.notify.inprocess import Running, notifying, until
from tests.notify.receivers import Mailbox, Webhook, text_of
from tests.notify.records import now_ms, record
from tests.notify.servers import AlertmanagerProcess
from tests.notify.shipped import CONFIG, shipped
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("alertmanager_runs")

SHIPPED = CONFIG.parents[1]
QUIET_S = 4.0  # several group intervals and re-postings: what has not come by then does not come
TEAM: dict[str, Any] = {"scope": "team", "name": "other", "goal": "team-csat", "window": "1h"}


class House(NamedTuple):
    """Alertmanager and everybody it tells; team `other` is the webhook's."""

    alertmanager: AlertmanagerProcess
    mailbox: Mailbox
    webhook: Webhook
    chat: Webhook
    folder: Path

    @asynccontextmanager
    async def notified(self, **settings: Any) -> AsyncIterator[Running]:
        """With a notifier that tells it."""
        async with notifying([self.alertmanager.url], self.folder, **settings) as running:
            yield running


@contextmanager
def built(folder: Path, *, quiet: bool, group_interval: str = "1s") -> Iterator[House]:
    """A house; `quiet`: in mute hours."""
    with Mailbox() as mailbox, Webhook() as webhook, Webhook() as chat:
        config = shipped(mail=mailbox.port, hook=webhook.port, chat=chat.port, quiet=quiet)
        config["route"]["group_interval"] = group_interval
        with AlertmanagerProcess(folder / "am", config) as alertmanager:
            yield House(alertmanager, mailbox, webhook, chat, folder)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house in working hours."""
    with built(tmp_path, quiet=False) as made:
        yield made


def agent(name: str, state: str = "firing", **fields: Any) -> dict[str, Any]:
    """An agent of team `other`."""
    return record(state, name, **{"team": "other", **fields})


def team(judged: int, missing: int, state: str = "firing", **fields: Any) -> dict[str, Any]:
    """Team `other` with so many of its agents judged on the same KPI, and missing it."""
    about = {**TEAM, "team": "other", "agents_judged": judged, "agents_missing": missing}
    return record(state, about.pop("name"), **{**about, **fields})


def test_the_shipped_configuration_is_sound() -> None:
    """Alertmanager's own checker finds nothing."""
    command = [program("amtool"), "check-config", str(CONFIG)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"team": "billing", "severity": "warning"}, "billing"),
        ({"team": "billing", "severity": "info"}, "planning"),
        ({"team": "support", "severity": "critical"}, "support"),
        ({"severity": "critical"}, "operations"),
    ],
)
def test_every_alert_has_a_receiver(labels: dict[str, str], receiver: str) -> None:
    """A team's go to its lead, planning's to planning, and nobody's to operations."""
    assert receivers(labels) == [receiver]


def receivers(labels: dict[str, str]) -> list[str]:
    """Where the shipped configuration sends an alert with these labels."""
    words = [f"{name}={value}" for name, value in labels.items()]
    command = [program("amtool"), "config", "routes", "test", "--config.file", str(CONFIG), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_queues_alert_comes_to_the_lead_of_its_team() -> None:
    """From callers who waited to the receiver, by the shipped settings, goals and routes."""
    settings = load_settings(SHIPPED)
    goals, leads = load_goals(SHIPPED / "goals.yaml", settings.windows)
    waited = [call(queue="new-contracts", wait_ms=60_000) for _ in range(20)]
    made = with_events(*waited, goals=goals, queue_teams=settings.queue_teams())
    made.begin_judging()
    for at in ("2024-06-03T12:00:00Z", "2024-06-03T12:06:00Z"):
        made.tick(ms(at))
    told = [decode_transition(encode_announcement(a, "site", leads)) for a in made.take_alerts()[0]]
    (fired,) = [t for t in told if (t.scope, t.state) == ("queue", "firing")]
    assert (fired.team, fired.lead) == ("sales", "Sales team lead")
    assert receivers(labels(Notice(fired=fired, seen_ms=0))) == ["sales"]


def test_what_a_team_misses_together_is_one_message(house: House) -> None:
    """Two agents of one team and one of none: two messages."""

    async def run() -> None:
        async with house.notified() as running:
            running.say(agent("a-1"), agent("a-2"), agent("a-3", team=None))
            await until(lambda: len(house.webhook.told) >= 2, "two messages")
            await asyncio.sleep(QUIET_S)

    asyncio.run(run())
    groups = sorted(
        sorted(alert["labels"]["id"] for alert in message["alerts"])
        for message in house.webhook.told
    )
    assert groups == [["a-1", "a-2"], ["a-3"]]


def test_a_fault_of_the_whole_team_is_told_once_and_its_agents_after_it(house: House) -> None:
    """Half of those judged miss it: their own wait, and are told when the team's is over."""
    since_ms = now_ms() - 900_000

    async def run() -> None:
        async with house.notified() as running:
            running.say(agent("a-1"), team(4, 2, since_ms=since_ms), agent("a-2"))
            await until(lambda: len(house.webhook.told) >= 1, "the team's alert")
            await asyncio.sleep(QUIET_S)
            assert house.webhook.alerts() == [("team-csat", "other", "firing")]
            running.say(team(4, 2, "resolved", since_ms=since_ms))
            await until(lambda: len(house.webhook.alerts()) >= 4, "the team's end, and agents")

    asyncio.run(run())
    assert set(house.webhook.alerts()[1:]) == {
        ("team-csat", "other", "resolved"),
        ("agent-csat", "a-1", "firing"),
        ("agent-csat", "a-2", "firing"),
    }


@pytest.mark.parametrize("known", [True, False])
def test_an_outlier_is_not_hidden_behind_the_team(house: House, known: bool) -> None:
    """One of three drags the team down, or nobody knows how many: both are told."""
    about = team(3, 1)
    if not known:
        del about["agents_judged"], about["agents_missing"]

    async def run() -> None:
        async with house.notified() as running:
            running.say(about, agent("a-1"))
            await until(lambda: len(house.webhook.alerts()) >= 2, "both")

    asyncio.run(run())
    assert set(house.webhook.alerts()) == {
        ("team-csat", "other", "firing"),
        ("agent-csat", "a-1", "firing"),
    }


def test_another_kpi_and_another_team_are_told_beside_a_fault_of_the_team(house: House) -> None:
    """The team's csat says nothing of a handle time, nor of another team's csat."""

    async def run() -> None:
        async with house.notified() as running:
            other = agent("a-2", kpi="handle_time", goal="aht", unit="seconds", target="<= 300")
            running.say(team(2, 2), agent("a-1"), other, agent("a-3", team="third"))
            await until(lambda: len(house.webhook.alerts()) >= 3, "three")
            await asyncio.sleep(QUIET_S)

    asyncio.run(run())
    told = {name for _, name, _ in house.webhook.alerts()}
    assert told == {"other", "a-2", "a-3"}


def test_in_mute_hours_nobody_is_written_to_about_planning(tmp_path: Path) -> None:
    """What is muted by the hour is not told; what is not, is."""

    async def run(made: House) -> None:
        async with made.notified() as running:
            running.say(agent("a-1", severity="info"), agent("a-2"))
            await until(lambda: len(made.webhook.alerts()) >= 1, "what is not muted")
            await asyncio.sleep(QUIET_S)
        assert made.webhook.alerts() == [("agent-csat", "a-2", "firing")]
        assert {mail["To"] for mail in made.mailbox.mails} == {"operations@example.org"}

    with built(tmp_path, quiet=True) as made:
        asyncio.run(run(made))


def test_a_silence_holds_for_the_agents_next_miss_too(house: House) -> None:
    """Labels say who and what, not which time: a lead silences a person's goal, not an instance."""
    start = datetime.now(UTC)
    span = [at.isoformat() for at in (start, start + timedelta(hours=1))]
    house.alertmanager.silence({"alertname": "agent-csat", "id": "a-1"}, *span)
    first_ms = now_ms() - 3_600_000

    async def run() -> None:
        async with house.notified() as running:
            running.say(agent("a-1", since_ms=first_ms), agent("a-2"))
            await until(lambda: len(house.webhook.alerts()) >= 1, "the other")
            running.say(agent("a-1", "resolved", since_ms=first_ms))
            running.say(agent("a-1"))
            await asyncio.sleep(QUIET_S)

    asyncio.run(run())
    assert house.webhook.alerts() == [("agent-csat", "a-2", "firing")]


def test_what_has_not_changed_is_not_told_again(house: House) -> None:
    """It is posted every second, and told once in its repeat interval."""

    async def run() -> None:
        async with house.notified() as running:
            running.say(agent("a-1"))
            await until(lambda: len(house.webhook.told) == 1, "it is told")
            receiver = f"127.0.0.1:{house.alertmanager.port}"
            labels = {"receiver": receiver}
            name = "kpi_stream_notify_messages_total"
            await until(
                lambda: running.counted(name, **labels) >= 5, "it is posted again and again"
            )

    asyncio.run(run())
    assert len(house.webhook.told) == 1


def test_an_end_is_told_once_though_others_of_its_group_begin_after_it(house: House) -> None:
    """Told of it again, Alertmanager would tell the lead again, with all that the team misses."""
    since_ms = now_ms() - 900_000

    async def run() -> None:
        async with house.notified() as running:
            for step, name, state in ((1, "a-1", "firing"), (2, "a-1", "resolved")):
                running.say(agent(name, state, since_ms=since_ms))
                await until(lambda n=step: len(house.webhook.told) == n, f"message {step}")  # type: ignore[misc]
            running.say(agent("a-2"))
            await until(lambda: len(house.webhook.told) >= 3, "the other begins")
            await asyncio.sleep(QUIET_S)

    asyncio.run(run())
    assert house.webhook.alerts() == [
        ("agent-csat", "a-1", "firing"),
        ("agent-csat", "a-1", "resolved"),
        ("agent-csat", "a-2", "firing"),
    ]


def test_an_alertmanager_started_anew_unseen_is_told_of_ends_again(tmp_path: Path) -> None:
    """It took the end and died before it told of it; nobody tried to reach it meanwhile."""
    since_ms = now_ms() - 900_000

    async def run(made: House) -> None:
        async with made.notified(resend="12s") as running:
            running.say(agent("a-1", since_ms=since_ms))
            await until(lambda: len(made.webhook.told) == 1, "it is told")
            await asyncio.sleep(2)  # its log of whom it told is written once a second
            taken = "kpi_stream_notify_messages_total"
            labels = {"receiver": f"127.0.0.1:{made.alertmanager.port}"}
            before = running.counted(taken, **labels)
            running.say(agent("a-1", "resolved", since_ms=since_ms))
            await until(lambda: running.counted(taken, **labels) > before, "it took the end")
            made.alertmanager.kill()
            await asyncio.to_thread(made.alertmanager.start)
            failed = "kpi_stream_notify_retries_total"
            assert running.counted(failed, **labels) == 0
            await until(lambda: len(made.webhook.told) == 2, "the end is told")

    with built(tmp_path, quiet=False, group_interval="8s") as made:
        asyncio.run(run(made))
    assert made.webhook.alerts()[1:] == [("agent-csat", "a-1", "resolved")]


def test_an_alertmanager_that_was_killed_is_told_again_and_tells_nobody_twice(
    house: House,
) -> None:
    """It forgets its alerts and remembers whom it told; what ended meanwhile ends there, too."""
    since_ms = now_ms() - 900_000

    async def run() -> None:
        async with house.notified() as running:
            running.say(agent("a-1", since_ms=since_ms), agent("a-2"))
            await until(lambda: len(house.webhook.told) == 1, "it is told")
            await asyncio.sleep(2)  # its log of whom it told is written once a second
            house.alertmanager.kill()
            running.say(agent("a-1", "resolved", since_ms=since_ms))
            await asyncio.to_thread(house.alertmanager.start)
            await until(lambda: len(house.alertmanager.alerts()) >= 1, "it knows again")
            await until(lambda: len(house.webhook.told) >= 2, "the end is told")
            await asyncio.sleep(QUIET_S)

    asyncio.run(run())
    first, *others = house.webhook.told
    assert {alert["labels"]["id"] for alert in first["alerts"]} == {"a-1", "a-2"}
    statuses = [{a["labels"]["id"]: a["status"] for a in message["alerts"]} for message in others]
    assert statuses == [{"a-1": "resolved", "a-2": "firing"}]


def test_an_alertmanager_out_of_reach_holds_up_nobody(house: House) -> None:
    """Its tries are bounded and counted, the other is told at once."""
    nobody = f"http://127.0.0.1:{free_port()}"

    async def run() -> None:
        addresses = [nobody, house.alertmanager.url]
        async with notifying(addresses, house.folder) as running:
            running.say(agent("a-1"))
            await until(lambda: len(house.webhook.told) == 1, "the one in reach is told", 5)
            name = nobody.removeprefix("http://")
            retries = "kpi_stream_notify_retries_total"
            await until(lambda: running.counted(retries, receiver=name) >= 4, "tries", 30)
            failed = "kpi_stream_notify_failures_total"
            await until(lambda: running.counted(failed, receiver=name) >= 1, "it is given up", 30)

    asyncio.run(run())


def test_a_lead_reads_who_what_how_sure_since_when_and_what_to_do(house: House) -> None:
    """By e-mail, as text and as HTML, from Alertmanager's templates."""
    (house.folder / "roster.yaml").write_text("agents: {a-17: {name: Mika Adler}}\n")
    since_ms = now_ms() - 900_000
    links = {"agent": "http://grafana.example/d/agent?var-agent={id}&from={since_ms}"}

    async def run() -> None:
        async with house.notified(links=links) as running:
            running.say(record(since_ms=since_ms))
            await until(lambda: len(house.mailbox.mails) == 1, "a mail")
            running.say(record("resolved", since_ms=since_ms))
            await until(lambda: len(house.mailbox.mails) == 2, "another")

    asyncio.run(run())
    missed, over = house.mailbox.mails
    assert missed["To"] == "billing-lead@example.org"
    assert missed["Subject"] == (
        "1 missed, team billing: Mika Adler (a-17), team billing: csat 57%, target at least 85% "
        "(goal agent-csat, window today)"
    )
    text = house.mailbox.texts()[0]
    for line in (
        "[warning] Mika Adler (a-17), team billing",
        "what:       csat 57%, target at least 85% (goal agent-csat, window today)",
        "how sure:   28 surveys; 90% sure that it lies between 42% and 71%",
        "what to do: Listen to the low-rated calls together before saying anything else.",
        f"look at:    http://grafana.example/d/agent?var-agent=a-17&from={since_ms}",
    ):
        assert line in text
    assert "Over" not in text
    assert "met again, 90% of 40 surveys" in house.mailbox.texts()[1]
    assert over["Subject"].startswith("1 over, team billing: Mika Adler (a-17)")
    assert "<b>Mika Adler (a-17), team billing</b> (warning)" in text_of(missed, "html")


def test_a_chat_gets_the_same_words(house: House) -> None:
    """Through a webhook that takes Slack's format."""

    async def run() -> None:
        async with house.notified() as running:
            running.say(agent("a-1", team="support"))
            await until(lambda: len(house.chat.told) == 1, "the chat")

    asyncio.run(run())
    (attachment,) = house.chat.told[0]["attachments"]
    assert "[warning] agent a-1, team support" in attachment["text"]
    assert attachment["title"].startswith("1 missed, team support")


def test_an_alert_of_prometheus_is_readable_too(house: House) -> None:
    """It has other annotations; templates and receivers are the same."""
    where = "deploy/RUNBOOK.md#kpistreamstuck"
    words = {
        "summary": "Partition 3 stands still",
        "description": "Nothing for five minutes.",
        "runbook": where,
    }
    about = {"alertname": "KpiStreamStuck", "severity": "critical", "team": "support"}
    house.alertmanager.post({"labels": about, "annotations": words})

    async def told() -> None:
        await until(lambda: len(house.chat.told) == 1, "the chat")
        await until(lambda: len(house.mailbox.mails) == 1, "the mail")

    asyncio.run(told())
    (attachment,) = house.chat.told[0]["attachments"]
    said = "[critical] KpiStreamStuck: Partition 3 stands still\n  Nothing for five minutes."
    for text in (attachment["text"], house.mailbox.texts()[0]):
        assert f"{said}\n  what to do: {where}\n" in text.replace("\r\n", "\n")
    assert f"<td>{where}</td>" in text_of(house.mailbox.mails[0], "html")


def test_a_grave_alert_of_prometheus_mutes_no_other(house: House) -> None:
    """Alerts about the pipeline are of no KPI: one of them says nothing of the next."""

    def told() -> str:
        return " ".join(part["text"] for said in house.chat.told for part in said["attachments"])

    for name, severity in (("KpiStreamStuck", "critical"), ("KpiStreamLagging", "warning")):
        labels = {"alertname": name, "severity": severity, "team": "support"}
        house.alertmanager.post({"labels": labels, "annotations": {"summary": name}})
    both = ("KpiStreamStuck", "KpiStreamLagging")
    asyncio.run(until(lambda: all(name in told() for name in both), "both"))
