"""The notifier killed at random moments, while alerts begin and end: who was told what, how often.

Everything at random comes from one seed. `python -m tests.notify` is the long run,
`test_kills.py` a short one.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.kafka.live import send, wait_until
from tests.notify.receivers import Webhook
from tests.notify.records import now_ms, record, sent
from tests.notify.servers import AlertmanagerProcess, NotifierProcess

TEAMS: Final = ("billing", "sales", "support")
SETTLED_S: Final = 90.0
_ALERT: Final = re.compile(r"agent (a-\d+)\b")
_KEY: Final = re.compile(r"^Message ([0-9a-f]{8})$", re.MULTILINE)
_PARTS: Final = re.compile(
    r"^(Missed now|Still missed|Over|Came and went since the last message)$", re.MULTILINE
)


class Verdict(NamedTuple):
    """What the receivers saw."""

    alerts: int
    kills: int
    lost: list[str]
    repeats_to_leads: Counter[str]
    repeats_by_alertmanager: int
    unchanged_by_alertmanager: int
    messages: int

    def line(self, seed: int) -> str:
        """All in a line."""
        repeats = sum(self.repeats_to_leads.values())
        return (
            f"seed {seed}: {self.kills} kills, {self.alerts} alerts, {self.messages} messages: "
            f"{len(self.lost)} lost, {repeats} repeated to leads, "
            f"{self.repeats_by_alertmanager} by Alertmanager, "
            f"{self.unchanged_by_alertmanager} of an unchanged group"
        )


class Said(NamedTuple):
    """One message to one lead: its key, and alerts by what it says of them."""

    lead: str
    key: str
    parts: dict[str, set[str]]


def run(
    folder: Path, site: Mapping[str, Any], hook: Webhook, leads: Webhook, *, kills: int, seed: int
) -> Verdict:
    """Kills a notifier so often; it tells leads, and an Alertmanager that tells a webhook."""
    dice = random.Random(seed)
    bootstrap, topic = site["broker"], site["topics"]["alerts"]
    with AlertmanagerProcess(folder / "am", _config(hook)) as alertmanager:
        settings = _settings(site, alertmanager, leads)
        with NotifierProcess(folder / "notify", settings) as notifier:
            alerts = {f"a-{n}": dice.choice(TEAMS) for n in range(3 * kills)}
            since_ms = {name: now_ms() - 900_000 + n for n, name in enumerate(alerts)}

            def say(state: str) -> Callable[[str], None]:
                def say_of(name: str) -> None:
                    team = alerts[name]
                    about = {"team": team, "lead": team, "since_ms": since_ms[name]}
                    send(bootstrap, [sent(topic, record(state, name, **about))])

                return say_of

            half = kills // 2
            _kill_while(notifier, dice, half, list(alerts), say("firing"))
            wait_until(
                lambda: _told(hook, "firing") == alerts.keys() == _heard(leads, "Missed now"),
                *(SETTLED_S, "everybody knows of every alert"),
            )
            _kill_while(notifier, dice, kills - half, list(alerts), say("resolved"))
            wait_until(
                lambda: _told(hook, "resolved") == alerts.keys() == _heard(leads, "Over"),
                *(SETTLED_S, "everybody knows of every end"),
            )
            time.sleep(3)  # for what should not come
    return _judge(alerts, kills, hook, leads)


def _kill_while(
    notifier: NotifierProcess,
    dice: random.Random,
    kills: int,
    names: list[str],
    say: Callable[[str], None],
) -> None:
    """Says something of every alert, and kills and starts the notifier at random in between."""
    dice.shuffle(names)
    shares = [names[n::kills] for n in range(kills)]
    for share in shares:
        moments = sorted(dice.uniform(0, 4) for _ in share)
        end_s = dice.uniform(1, 5)
        began = time.monotonic()
        for name, moment in zip(share, moments, strict=True):
            time.sleep(max(0.0, moment - (time.monotonic() - began)))
            say(name)
        time.sleep(max(0.0, end_s - (time.monotonic() - began)))
        notifier.kill()
        notifier.start()


def _config(hook: Webhook) -> dict[str, Any]:
    url = f"http://127.0.0.1:{hook.port}/"
    waits = {"group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h"}
    return {
        "route": {"receiver": "hook", "group_by": ["team"], **waits},
        "receivers": [{"name": "hook", "webhook_configs": [{"url": url, "send_resolved": True}]}],
    }


def _settings(
    site: Mapping[str, Any], alertmanager: AlertmanagerProcess, leads: Webhook
) -> dict[str, Any]:
    direct = {
        "leads": {team: [f"json://127.0.0.1:{leads.port}/{team}"] for team in TEAMS},
        "group_wait": "500ms",
        "group_interval": "1s",
        "repeat_interval": "1h",
        "messages_per_hour": 3_600,
    }
    notify = {"alertmanagers": [alertmanager.url], "resend": "1s", "keep": "10m", "direct": direct}
    return {**site, "notify": notify}


def _told(hook: Webhook, status: str) -> set[str]:
    """Of whom Alertmanager has said so."""
    return {name for _, name, said in hook.alerts() if said == status}


def _heard(leads: Webhook, part: str) -> set[str]:
    """Of whom leads were told so."""
    came_and_went = "Came and went since the last message"
    return {
        name
        for said in _letters(leads)
        for title in (part, came_and_went)
        for name in said.parts.get(title, ())
    }


def _letters(leads: Webhook) -> list[Said]:
    found = []
    for path, told in zip(list(leads.paths), list(leads.told), strict=False):
        text = told["message"]
        key = _KEY.search(text)
        assert key is not None, text
        _, *rest = _PARTS.split(text)
        parts = {
            title: set(_ALERT.findall(said))
            for title, said in zip(rest[::2], rest[1::2], strict=True)
        }
        found.append(Said(path.strip("/"), key[1], parts))
    return found


def _judge(alerts: Mapping[str, str], kills: int, hook: Webhook, leads: Webhook) -> Verdict:
    lost = [
        f"{name} {what}"
        for what, known in (
            ("firing, by Alertmanager", _told(hook, "firing")),
            ("resolved, by Alertmanager", _told(hook, "resolved")),
            ("missed, to a lead", _heard(leads, "Missed now")),
            ("over, to a lead", _heard(leads, "Over")),
        )
        for name in sorted(alerts.keys() - known)
    ]
    letters = _letters(leads)
    news = Counter(
        (said.lead, title, name)
        for said in letters
        for title in ("Missed now", "Over")
        for name in said.parts.get(title, ())
    )
    again = Counter(said.lead for said in letters)
    for lead in again:
        told = [said for said in letters if said.lead == lead]
        again[lead] = sum(
            1
            for number, said in enumerate(told)
            if any(_repeats(said, before) for before in told[:number])
        )
    assert max(news.values(), default=1) <= 1 + kills
    unchanged, repeats = _said_again(hook)
    count = len(letters) + len(hook.told)
    return Verdict(len(alerts), kills, lost, again, repeats, unchanged, count)


def _said_again(hook: Webhook) -> tuple[int, int]:
    """Alertmanager's messages that say nothing new, and those with news that is none any more."""
    last: dict[str, set[tuple[str, str]]] = {}
    said: set[tuple[str, str]] = set()
    unchanged = repeats = 0
    for message in hook.told:
        group = message["groupKey"]
        state = {(a["labels"]["id"], a["status"]) for a in message["alerts"]}
        news = state - last.get(group, set())
        unchanged += not news
        repeats += bool(news & said)
        said |= news
        last[group] = state
    return unchanged, repeats


def _repeats(said: Said, before: Said) -> bool:
    """Whether a message says as news what one before it has said as news."""
    return any(
        said.parts.get(title, set()) & before.parts.get(title, set())
        for title in ("Missed now", "Over", "Came and went since the last message")
    )
