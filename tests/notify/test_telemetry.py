"""What the notifier tells Prometheus, and what the shipped rules ask of it."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry, generate_latest

from stream.notify.telemetry import Telemetry
from tests.notify.shipped import DEPLOY


def test_the_shipped_rules_ask_for_what_there_is() -> None:
    """Each metric of ours in them is shown from the start, by all that it is shown by."""
    registry = CollectorRegistry()
    Telemetry(registry, ["Kim"])
    shown = generate_latest(registry).decode()
    rules = (DEPLOY.parent / "prometheus" / "rules" / "alerts.yml").read_text("utf-8")
    asked = set(re.findall(r"\bkpi_stream_notify_\w+", rules))
    assert asked
    for name in asked:
        assert re.search(
            rf'^{name}(?:{{(?:receiver="Kim"|kind="\w+")}})? (?:0\.0|1\.\d+e\+09)$',
            shown,
            re.MULTILINE,
        )
