"""A notice as Alertmanager takes it: labels that say which alert it is, annotations that say more.

Labels never change while an alert lives: Alertmanager knows it by them. There is no id of the
single alert among them, so that a silence on an agent's goal also holds for its next miss.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from stream.notify.book import Notice
from stream.notify.message import Message

Posting = dict[str, Any]

LISTING_FILTERS: Final = [("filter", 'scope=~".+"'), ("filter", 'id=~".+"')]
"""What every alert of ours has, for `GET /api/v2/alerts`: others' are not asked for."""


def labels(notice: Notice) -> dict[str, str]:
    """What routes, groups, silences and inhibitions go by."""
    fired = notice.fired
    found = {
        "alertname": fired.goal,
        "severity": fired.severity,
        "kpi": fired.kpi,
        "scope": fired.scope,
        "id": fired.id,
        "window": fired.window,
        "team": fired.team,
        "lead": notice.lead,
        "widespread": _truth(fired.is_widespread) if fired.scope == "team" else None,
    }
    return {name: value for name, value in found.items() if value}


def in_order(notices: Iterable[Notice]) -> list[list[Notice]]:
    """What is posted after each other: what inhibits others, what else fires, what has ended.

    A restarted Alertmanager does not wait for the rest of a group: agents would be told before
    their team's fault mutes them, and of an end alone, what still fires would be news after it.
    Of notices with the same labels the last: the end of one would end its successor.
    """
    by_labels = {tuple(labels(notice).items()): notice for notice in notices}
    found: list[list[Notice]] = [[], [], []]
    for notice in by_labels.values():
        inhibits = notice.fired.is_widespread
        found[2 if not notice.is_firing else 0 if inhibits else 1].append(notice)
    return found


def posting(notice: Notice, message: Message, now_ms: int, keep_ms: int) -> Posting:
    """The alert for `POST /api/v2/alerts`.

    It begins when it was first seen here: for one that began before, Alertmanager would wait for
    no others of its group, nor for what inhibits it (prometheus/alertmanager#4064). Neither begin
    nor end is yet to come where the clock was put back since: it would fire until then.
    """
    begin_ms = min(notice.seen_ms, now_ms)
    end_ms = now_ms + keep_ms
    if notice.end_seen_ms is not None:
        end_ms = max(min(notice.end_seen_ms, now_ms), begin_ms)
    posted: Posting = {
        "labels": labels(notice),
        "annotations": explain(notice, message),
        "startsAt": _instant(begin_ms),
        "endsAt": _instant(end_ms),
    }
    if message.look_at:
        posted["generatorURL"] = message.look_at
    return posted


def explain(notice: Notice, message: Message) -> dict[str, str]:
    """What is said of the alert, in words and in the record's own figures."""
    figures = notice.latest
    found = {
        "summary": message.summary,
        **message._asdict(),
        "value": "" if figures.value is None else f"{figures.value:.6g}",
        "unit": figures.unit,
        "samples": str(figures.samples),
        "target": figures.target,
        "alert_id": notice.alert_id,
        "text": message.text(),
    }
    return {name: value for name, value in found.items() if value}


def _truth(value: bool) -> str:  # noqa: FBT001 - its only argument
    return "true" if value else "false"


def _instant(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
