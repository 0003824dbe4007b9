"""A real Alertmanager between the notifier and those who are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kafka.live import send, wait_until
from tests.notify.receivers import Webhook
from tests.notify.records import now_ms, record, sent
from tests.notify.servers import AlertmanagerProcess, NotifierProcess

pytestmark = pytest.mark.usefixtures("alertmanager_runs")

TOLD_S = 30.0


def quick(webhook: Webhook, **more: Any) -> dict[str, Any]:
    """Alertmanager's configuration with waits of a second, all to one webhook."""
    url = f"http://127.0.0.1:{webhook.port}/"
    return {
        "route": {
            "receiver": "hook",
            "group_by": ["team"],
            "group_wait": "1s",
            "group_interval": "1s",
            "repeat_interval": "1h",
        },
        "receivers": [{"name": "hook", "webhook_configs": [{"url": url, "send_resolved": True}]}],
        **more,
    }


def notifying(site: dict[str, Any], *alertmanagers: AlertmanagerProcess, **more: Any) -> Any:
    """The site's settings with somebody to tell."""
    urls = [alertmanager.url for alertmanager in alertmanagers]
    return {**site, "notify": {"alertmanagers": urls, "resend": "1s", "keep": "1m", **more}}


def test_an_alert_reaches_the_webhook_and_its_end_too(
    kafka: Any, site: dict[str, Any], webhook: Webhook, tmp_path: Path
) -> None:
    """From the topic through Alertmanager: who, what, since when, how sure; and that it is over."""
    topic = site["topics"]["alerts"]
    since_ms = now_ms() - 900_000
    with (
        AlertmanagerProcess(tmp_path / "am", quick(webhook)) as alertmanager,
        NotifierProcess(tmp_path / "notify", notifying(site, alertmanager)),
    ):
        send(kafka.bootstrap, [sent(topic, record(since_ms=since_ms))])
        wait_until(lambda: len(webhook.told) == 1, TOLD_S, "the lead is told")
        send(kafka.bootstrap, [sent(topic, record("resolved", since_ms=since_ms))])
        wait_until(lambda: len(webhook.told) == 2, TOLD_S, "the lead is told of the end")
    assert webhook.alerts() == [
        ("agent-csat", "a-17", "firing"),
        ("agent-csat", "a-17", "resolved"),
    ]
