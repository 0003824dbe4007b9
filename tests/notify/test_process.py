"""`kpi-stream notify` as a process of its own, on a real Kafka."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.kafka.live import Sent, read_topic, send, wait_until
from tests.notify.receivers import Webhook
from tests.notify.records import now_ms, record, sent
from tests.notify.servers import NotifierProcess

TOLD_S = 40.0


def direct(site: dict[str, Any], webhook: Webhook, **more: Any) -> dict[str, Any]:
    """Settings by which everybody is told at one webhook."""
    url = f"json://127.0.0.1:{webhook.port}/"
    waits = {"group_wait": "100ms", "group_interval": "300ms", "repeat_interval": "1h"}
    return {**site, "notify": {"direct": {"leads": {"*": [url]}, **waits}, **more}}


@pytest.mark.timeout(180)
def test_the_process_starts_reads_tells_is_killed_and_goes_on(
    kafka: Any, site: dict[str, Any], webhook: Webhook, tmp_path: Path
) -> None:
    """Names come from the roster, rubbish is counted, and a second one fences the first.

    One process's life in one test: each start takes seconds.
    """
    topic, since_ms = site["topics"]["alerts"], now_ms() - 900_000
    folder = tmp_path / "notify"
    folder.mkdir()
    (folder / "roster.yaml").write_text("agents: {a-17: {name: Mika Adler, site: north}}\n")
    past = [record(state, "a-1", since_ms=since_ms) for state in ("firing", "resolved")]
    send(kafka.bootstrap, [sent(topic, each) for each in past])
    with NotifierProcess(folder, direct(site, webhook)) as notifier:
        send(kafka.bootstrap, [Sent(topic, b"{"), Sent(topic, None, b"key")])
        send(kafka.bootstrap, [sent(topic, record(since_ms=since_ms))])
        wait_until(lambda: len(webhook.told) == 1, TOLD_S, "the lead is told")
        assert webhook.told[0]["title"].startswith("1 missed: Mika Adler (a-17), team billing")
        wait_until(lambda: 'refused_total{kind="alert"} 2.0' in notifier.metrics(), 10, "counted")
        info = 'kpi_stream_roster_info{agent="a-17",name="Mika Adler",site="north",team=""} 1.0'
        assert info in notifier.metrics()
        assert "1 alerts fire, 0 records are not read yet" in notifier.health()
        (heard,) = re.findall(
            r"^kpi_stream_notify_heard_\w+ (\S+)", notifier.metrics(), re.MULTILINE
        )
        assert now_ms() - float(heard) * 1000 < 10_000

        (folder / "roster.yaml").write_text("agents: {a-17: {name: Robin}}\n")
        wait_until(lambda: 'name="Robin"' in notifier.metrics(), 20, "the roster is read again")
        (folder / "roster.yaml").write_text("agents: {a-17: {nickname: R}}\n")
        wait_until(lambda: "roster_faulty 1.0" in notifier.metrics(), 20, "the fault is shown")
        assert "agent 'a-17': nickname: no such field" in notifier.log.read_text()
        assert 'name="Robin"' in notifier.metrics()

        notifier.kill()
        (folder / "roster.yaml").write_text("agents: {a-17: {name: Robin}}\n")
        send(kafka.bootstrap, [sent(topic, record("resolved", since_ms=since_ms))])
        notifier.start()
        wait_until(lambda: len(webhook.told) == 2, TOLD_S, "the end is told after a restart")
        assert webhook.told[1]["title"].startswith("1 over: Robin (a-17), team billing: met again")
        assert notifier.stop() == 0
    values = [kept.value for kept in read_topic(kafka.bootstrap, f"{site['app']}-notified")]
    assert any("offsets" in json.loads(value) for value in values if value)


@pytest.mark.timeout(180)
def test_of_two_notifiers_the_later_goes_on(
    kafka: Any, site: dict[str, Any], webhook: Webhook, tmp_path: Path
) -> None:
    """On two machines, that is: the first is fenced, says so and ends; nobody is told twice."""
    topic = site["topics"]["alerts"]
    own = {"TMPDIR": str(tmp_path)}
    with (
        NotifierProcess(tmp_path / "one", direct(site, webhook)) as one,
        NotifierProcess(tmp_path / "two", direct(site, webhook), own, start=False) as two,
    ):
        wait_until(lambda: "alerts fire" in one.health(), TOLD_S, "the first is at work")
        two.start()
        wait_until(lambda: "alerts fire" in two.health(), TOLD_S, "the second is at work")
        send(kafka.bootstrap, [sent(topic, record())])
        wait_until(one.has_ended, TOLD_S, "the first ends")
        wait_until(lambda: len(webhook.told) >= 1, TOLD_S, "the lead is told")
        assert "another `kpi-stream notify` of this app runs" in one.log.read_text()
        assert one.process is not None
        assert one.process.returncode == 1
        assert len(webhook.told) == 1
