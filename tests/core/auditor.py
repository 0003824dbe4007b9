"""An independent model of one partition, written from the definitions and nothing else.

It keeps events as plain dicts and counts every KPI anew, event by event, whenever it is asked.
It shares no code with the engine: not the windows, not the measures, not the catalogue.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Fields = dict[str, Any]
Value = tuple[float | int | None, int]
"""A KPI's value and its samples."""

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
LENGTHS: Final[Mapping[str, int]] = {
    "15m": 15 * MINUTE,
    "1h": HOUR,
    "8h": 8 * HOUR,
    "today": 26 * HOUR,
    "2d": 2 * DAY,
}
SKEW: Final = 5 * MINUTE
QUEUE_TEAMS: Final = {"q1": "t1"}
ANSWER_MS: Final = {"q1": 20_000, "q2": 30_000, None: 20_000}
SHORT_MS: Final = {"q1": 5_000, "q2": 2_000, None: 5_000}
ZONE: Final = ZoneInfo("Europe/Berlin")
OFFERED: Final = ("handled", "abandoned", "callback", "voicemail", "overflowed")
NAMED_BY: Final = {
    "agent": "agent_id",
    "queue": "queue",
    "channel": "channel",
    "campaign": "campaign",
    "site": "site_id",
}
KINDS: Final = ("agent", "team", "queue", "channel", "campaign", "site")


def up(instant: int, step: int) -> int:
    """The first multiple of `step` that is not before `instant`."""
    return instant if instant % step == 0 else instant - instant % step + step


def span(window: str, now: int) -> tuple[int, int]:
    """The first millisecond of a window, and the first after it."""
    if window == "today":
        day: date = datetime.fromtimestamp(now // 1_000, UTC).astimezone(ZONE).date()
        midnight = datetime.combine(day, time(0), tzinfo=ZONE).astimezone(UTC)
        start = (midnight - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        return start, up(now, MINUTE)
    end = up(now, HOUR if LENGTHS[window] > DAY else MINUTE)
    return end - LENGTHS[window], end


class Auditor:
    """What was accepted, and what every KPI therefore is."""

    def __init__(self) -> None:
        """Nothing accepted, no time known."""
        self.now: int | None = None
        self.accepted: dict[tuple[str, str], Fields] = {}

    def tick(self, now: int) -> None:
        """Now goes on and never back; what is older than retention is forgotten."""
        self.now = now if self.now is None else max(self.now, now)
        oldest = self.oldest()
        self.accepted = {key: e for key, e in self.accepted.items() if e["at"] >= oldest}

    def oldest(self) -> int:
        """The first millisecond that is kept: the longest window and an hour back."""
        return 0 if self.now is None else up(self.now, MINUTE) - LENGTHS["2d"] - HOUR

    def apply(self, events: Sequence[Fields]) -> tuple[int, int, list[tuple[int, str]]]:
        """How many count and how many repeat, and which are refused and why."""
        applied, repeats, refused = 0, 0, []
        for position, event in enumerate(events):
            key = (event["type"], event["event_id"])
            if key in self.accepted:
                repeats += 1
            elif event["at"] < self.oldest():
                refused.append((position, "late"))
            elif self.now is not None and event["at"] > self.now + SKEW:
                refused.append((position, "early"))
            else:
                self.accepted[key] = event
                applied += 1
        return applied, repeats, refused

    def within(self, window: str) -> list[Fields]:
        """The accepted events that a window holds now."""
        assert self.now is not None, "a window needs an instant"
        low, high = span(window, self.now)
        return [event for event in self.accepted.values() if low <= event["at"] < high]

    def figures(self, kind: str, window: str) -> dict[str, dict[str, Value]]:
        """Every KPI of every scope that has something in the window."""
        worked: dict[str, list[Fields]] = {}
        served: dict[str, list[Fields]] = {}
        for event in self.within(window):
            own, by_queue = _whom(kind, event)
            if own is not None:
                worked.setdefault(own, []).append(event)
            if by_queue is not None and _is_service(kind, event):
                served.setdefault(by_queue, []).append(event)
        return {
            name: _work(worked.get(name, []))
            | ({} if kind == "agent" else _service(served.get(name, [])))
            for name in worked.keys() | served.keys()
        }

    def teams(self) -> dict[str, str]:
        """Each agent's team: that of the latest event kept that names one."""
        latest: dict[str, tuple[int, str]] = {}
        for event in self.accepted.values():
            agent, team = event.get("agent_id"), event.get("team_id")
            if agent is not None and team is not None:
                latest[agent] = max(latest.get(agent, (-1, "")), (event["at"], team))
        return {agent: team for agent, (_, team) in latest.items()}


def _whom(kind: str, event: Fields) -> tuple[str | None, str | None]:
    if kind == "team":
        by_queue = QUEUE_TEAMS.get(event.get("queue") or "")
        return event.get("team_id") or by_queue, by_queue
    name = event.get(NAMED_BY[kind])
    return name, None if kind == "agent" else name


def _is_service(kind: str, event: Fields) -> bool:
    """Whether an event is an inbound contact that was offered, at the level of this kind."""
    if event["type"] != "interaction" or event["outcome"] not in OFFERED:
        return False
    inbound = event.get("direction", "inbound") in {"inbound", None}
    return inbound and (kind == "queue" or event.get("leg", 1) in {1, None})


def _known(events: Iterable[Fields], name: str) -> list[Any]:
    return [event[name] for event in events if event.get(name) is not None]


def _mean(values: Sequence[int], per: int = 1, count: int | None = None) -> Value:
    """A mean in units of `per`; of nothing there is none."""
    samples = len(values) if count is None else count
    return (float(Fraction(sum(values), samples * per)) if samples > 0 else None), samples


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


def _service(events: Sequence[Fields]) -> dict[str, Value]:
    left = [event for event in events if event["outcome"] == "abandoned"]
    answered = [event for event in events if event["outcome"] == "handled"]
    waits = [(e["wait_ms"], ANSWER_MS[e.get("queue")]) for e in answered if _waited(e)]
    short = [e for e in left if _waited(e) and e["wait_ms"] <= SHORT_MS[e.get("queue")]]
    in_time = [wait <= limit for wait, limit in waits]
    long_waits = [event for event in left if _waited(event)]
    return {
        "offered": _count(events),
        "service_level": _mean(in_time, count=len(waits) + len(long_waits) - len(short)),
        "answer_time": _mean([wait for wait, _ in waits], 1_000),
        "abandon_rate": _mean([len(left) - len(short)], count=len(events) - len(short)),
    }


def _waited(event: Fields) -> bool:
    return event.get("wait_ms") is not None
