"""Every KPI counted anew, event by event, from the definitions and nothing else.

Events are plain dicts with their `type` and their event time as `at`. No code is shared with the
core: not its windows, not its measures, not its catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

Fields = dict[str, Any]
Value = tuple[float | int | None, int]
"""A KPI's value and its samples."""

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
OFFERED: Final = ("handled", "abandoned", "callback", "voicemail", "overflowed")
NAMED_BY: Final = {
    "agent": "agent_id",
    "queue": "queue",
    "channel": "channel",
    "campaign": "campaign",
    "site": "site_id",
}
KINDS: Final = ("agent", "team", "queue", "channel", "campaign", "site")


@dataclass(frozen=True)
class Definitions:
    """What figures depend on: windows by name with their length, zone, teams, thresholds.

    `answer_ms` and `short_ms` have the default under `None`.
    """

    lengths: Mapping[str, int]
    zone: ZoneInfo
    queue_teams: Mapping[str, str]
    answer_ms: Mapping[str | None, int]
    short_ms: Mapping[str | None, int]

    def span(self, window: str, now: int) -> tuple[int, int]:
        """The first millisecond of a window, and the first after it."""
        if window == "today":
            day: date = datetime.fromtimestamp(now // 1_000, UTC).astimezone(self.zone).date()
            midnight = datetime.combine(day, time(0), tzinfo=self.zone).astimezone(UTC)
            start = (midnight - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
            return start, up(now, MINUTE)
        end = up(now, HOUR if self.lengths[window] > DAY else MINUTE)
        return end - self.lengths[window], end

    def oldest(self, now: int) -> int:
        """The first millisecond that is kept: the longest window and an hour back."""
        return up(now, MINUTE) - max(self.lengths.values()) - HOUR

    def grouped(self, kind: str, events: Iterable[Fields]) -> Groups:
        """The events by the scopes of a kind that they count for."""
        groups = Groups({}, {})
        for event in events:
            own, by_queue = self._whom(kind, event)
            if own is not None:
                groups.worked.setdefault(own, []).append(event)
            if by_queue is not None and is_service(kind, event):
                groups.served.setdefault(by_queue, []).append(event)
        return groups

    def figures(self, kind: str, groups: Groups, name: str) -> dict[str, Value]:
        """Every KPI of one scope."""
        found = _work(groups.worked.get(name, []))
        return found if kind == "agent" else found | self._service(groups.served.get(name, []))

    def _whom(self, kind: str, event: Fields) -> tuple[str | None, str | None]:
        if kind == "team":
            by_queue = self.queue_teams.get(event.get("queue") or "")
            return event.get("team_id") or by_queue, by_queue
        name = event.get(NAMED_BY[kind])
        return name, None if kind == "agent" else name

    def _service(self, events: Sequence[Fields]) -> dict[str, Value]:
        left = [event for event in events if event["outcome"] == "abandoned"]
        answered = [event for event in events if event["outcome"] == "handled"]
        waits = [(e["wait_ms"], _of(self.answer_ms, e)) for e in answered if _waited(e)]
        waited = [event for event in left if _waited(event)]
        short = [e for e in waited if e["wait_ms"] <= _of(self.short_ms, e)]
        in_time = [wait <= limit for wait, limit in waits]
        return {
            "offered": _count(events),
            "service_level": _mean(in_time, count=len(waits) + len(waited) - len(short)),
            "answer_time": _mean([wait for wait, _ in waits], 1_000),
            "abandon_rate": _mean([len(left) - len(short)], count=len(events) - len(short)),
        }


@dataclass(slots=True)
class Groups:
    """Events by scope: those that count as its work, and those that count as its service."""

    worked: dict[str, list[Fields]]
    served: dict[str, list[Fields]]

    @property
    def names(self) -> list[str]:
        """The scopes that have something."""
        return sorted(self.worked.keys() | self.served.keys())

    def has(self, name: str) -> bool:
        """Whether a scope has something."""
        return name in self.worked or name in self.served


def up(instant: int, step: int) -> int:
    """The first multiple of `step` that is not before `instant`."""
    return instant if instant % step == 0 else instant - instant % step + step


def is_service(kind: str, event: Fields) -> bool:
    """Whether an event is an inbound contact that was offered, at the level of this kind."""
    if event["type"] != "interaction" or event["outcome"] not in OFFERED:
        return False
    inbound = event.get("direction", "inbound") in {"inbound", None}
    return inbound and (kind == "queue" or event.get("leg", 1) in {1, None})


def latest_teams(events: Iterable[Fields]) -> dict[str, str]:
    """Each agent's team: that of the latest of these events that names one."""
    latest: dict[str, tuple[int, str]] = {}
    for event in events:
        agent, team = event.get("agent_id"), event.get("team_id")
        if agent is not None and team is not None:
            latest[agent] = max(latest.get(agent, (-1, "")), (event["at"], team))
    return {agent: team for agent, (_, team) in latest.items()}


def _known(events: Iterable[Fields], name: str) -> list[Any]:
    return [event[name] for event in events if event.get(name) is not None]


def _mean(values: Sequence[int], per: int = 1, count: int | None = None) -> Value:
    """A mean in units of `per`; of nothing there is none. Python divides integers exactly."""
    samples = len(values) if count is None else count
    return (sum(values) / (samples * per) if samples > 0 else None), samples


def _count(events: Sequence[Fields]) -> Value:
    return (len(events) or None), len(events)


def _work(events: Sequence[Fields]) -> dict[str, Value]:
    legs = [event for event in events if event["type"] == "interaction"]
    surveys = [event for event in events if event["type"] == "survey"]
    handled = [event for event in legs if event["outcome"] == "handled"]
    talked = [event for event in handled if event.get("talk_ms") is not None]
    holds = _known(handled, "hold_ms")
    csat, nps = _known(surveys, "csat"), _known(surveys, "nps")
    handle = [e["talk_ms"] + (e.get("hold_ms") or 0) + (e.get("wrap_ms") or 0) for e in talked]
    return {
        "handled": _count(handled),
        "handle_time": _mean(handle, 1_000),
        "talk_time": _mean(_known(talked, "talk_ms"), 1_000),
        "hold_time": _mean(holds, 1_000),
        "hold_time_held": _mean([hold for hold in holds if hold], 1_000),
        "wrap_time": _mean(_known(handled, "wrap_ms"), 1_000),
        "transfer_rate": _mean([e.get("transferred_by") == "agent" for e in handled]),
        "resolution_rate": _mean(_known(legs, "resolved")),
        "csat": _mean([answer in {4, 5} for answer in csat]),
        "csat_mean": _mean(csat),
        "nps": _mean([100 * (a > 8) - 100 * (a < 7) for a in nps]),
        "ces": _mean(_known(surveys, "ces")),
        "surveys": _count(surveys),
    }


def _waited(event: Fields) -> bool:
    return event.get("wait_ms") is not None


def _of(limits: Mapping[str | None, int], event: Fields) -> int:
    queue = event.get("queue")
    return limits[queue] if queue in limits else limits[None]
