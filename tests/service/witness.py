"""What can be seen of a missed goal from outside, at each place that it comes by."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from email.message import EmailMessage
from typing import Any, Final

from tests.kafka.live import Seen, read_topic, wait_until
from tests.notify.receivers import text_of
from tests.service import bank
from tests.service.conftest import Site

STEP_S: Final = 60.0
LEAD: Final = "billing-lead@example.org"
_TITLES: Final = re.compile(r"^(Missed now|Over)$", re.MULTILINE)
# Whom a mail names under a title: by the roster's name with the id, or by the id alone.
_WHO: Final = re.compile(r"^(?:\[\w+\] )?(?:.+ \((\w+)\)|agent (\w+)), team ", re.MULTILINE)
_STATUS: Final = {"Missed now": "firing", "Over": "resolved"}
_LABELS: Final = f'scope="agent",id="{bank.AGENT}",window="{bank.WINDOW}"'

Said = frozenset[tuple[str, str]]
"""Whom a message names, each with `firing` or `resolved`."""


class Witness:
    """Looks at topics, servers and receivers, and at nothing inside."""

    def __init__(self, site: Site, topics: dict[str, str]) -> None:
        """`topics`: their names by what they are for."""
        self.stack, self.mailbox, self.webhook = site
        self._topics = topics

    def records(self, topic: str) -> list[tuple[Seen, dict[str, Any]]]:
        """All that is committed in a topic, as it was written and what it says."""
        seen = read_topic(self.stack.broker, self._topics[topic])
        return [(record, json.loads(record.value)) for record in seen if record.value]

    def changes(self) -> list[tuple[Seen, dict[str, Any]]]:
        """Every change of the agent's alerts on the goal, in order."""
        about = (bank.AGENT, bank.GOAL["name"])
        return [
            found for found in self.records("alerts") if (found[1]["id"], found[1]["goal"]) == about
        ]

    def change(self, state: str) -> tuple[Seen, dict[str, Any]]:
        """The one change to such a state, once it is there."""

        def found() -> list[tuple[Seen, dict[str, Any]]]:
            return [pair for pair in self.changes() if pair[1]["state"] == state]

        wait_until(lambda: bool(found()), STEP_S, f"the alert is {state}")
        (pair,) = found()
        return pair

    def readings(self) -> list[tuple[Seen, dict[str, Any]]]:
        """The agent's readings of the goal's window, in order."""
        key = f"agent/{bank.AGENT}/{bank.WINDOW}".encode()
        return [found for found in self.records("kpis") if found[0].key == key]

    def read_until(self) -> datetime:
        """As of when the agent's last reading is."""
        _, last = self.readings()[-1]
        return datetime.fromisoformat(last["as_of"])

    def gauge(self, metric: str) -> list[dict[str, Any]]:
        """What Prometheus has of the agent now."""
        return self.stack.query(f"{metric}{{{_LABELS}}}")

    def first_scraped_s(self, metric: str) -> float:
        """When Prometheus first had it, in the last ten minutes."""
        found = self.stack.query(f"{metric}{{{_LABELS}}}[10m]")
        return min(float(at_s) for series in found for at_s, _ in series["values"])

    def held(self) -> list[dict[str, Any]]:
        """What fires of the agent, by Alertmanager."""
        alerts = self.stack.ask("alertmanager", "/api/v2/alerts")
        return [alert for alert in alerts if alert["labels"].get("id") == bank.AGENT]

    def mails(self, part: str) -> Iterator[tuple[float, EmailMessage]]:
        """Mails to the lead that say of the agent what stands under this title, and when."""
        for came_s, mail in self._letters():
            if (bank.AGENT, _STATUS[part]) in _said(mail):
                yield came_s, mail

    def hooks(self, status: str) -> Iterator[tuple[float, dict[str, Any]]]:
        """What the lead's webhook was told of the agent, and when."""
        for came_s, told in zip(list(self.webhook.came), list(self.webhook.told), strict=False):
            for alert in told["alerts"]:
                if alert["labels"].get("id") == bank.AGENT and alert["status"] == status:
                    yield came_s, alert

    def told(self) -> dict[str, list[Said]]:
        """What each message about the team has said, in order, by the way it took."""
        posts = [told for told in self.webhook.told if told["groupLabels"].get("team") == bank.TEAM]
        return {
            "mail": [_said(mail) for _, mail in self._letters()],
            "webhook": [
                frozenset((alert["labels"]["id"], alert["status"]) for alert in told["alerts"])
                for told in posts
            ],
        }

    def _letters(self) -> Iterator[tuple[float, EmailMessage]]:
        """The lead's mails, and when they came."""
        for came_s, mail in zip(list(self.mailbox.came), list(self.mailbox.mails), strict=False):
            if mail["To"] == LEAD:
                yield came_s, mail


def _said(mail: EmailMessage) -> Said:
    # Titles stand in lines of their own, each before what it is said of.
    _, *said = _TITLES.split("\n".join(text_of(mail).splitlines()))
    return frozenset(
        (name or id_, _STATUS[title])
        for title, under in zip(said[::2], said[1::2], strict=True)
        for name, id_ in _WHO.findall(under)
    )
