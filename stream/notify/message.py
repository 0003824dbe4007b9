"""A notice in words: who, what, how sure, since when, what it is for, what to do, where to look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

from stream.core.goals import wilson
from stream.core.kpis import CATALOGUE, ScopeKind
from stream.kafka.codec import epoch_ms
from stream.notify.book import Notice
from stream.notify.roster import Roster
from stream.notify.succession import APP_CHANGED
from stream.notify.transition import Transition
from stream.serve.terminal import bound_text, value_text

_SIDE: Final = 0.95  # of each bound, hence 90 % between them
_FROM_SURVEYS: Final = frozenset({"surveys", "csat_answered", "nps_answered", "ces_answered"})
_BOUNDS: Final = {">=": "at least", "<=": "at most"}
_MINUTES_PER_HOUR: Final = 60


class Message(NamedTuple):
    """What is said of one alert; `ended` is empty while it fires, `look_at` without a link."""

    who: str
    what: str
    sure: str
    since: str
    ended: str
    purpose: str
    what_to_do: str
    look_at: str

    @property
    def summary(self) -> str:
        """All in one line."""
        return f"{self.who}: {self.ended or self.what}"

    def text(self) -> str:
        """All in lines, for people; what there is nothing of is left out."""
        lines = {
            "what": self.what,
            "how sure": self.sure,
            "since": self.since,
            "now": self.ended,
            "what for": self.purpose,
            "what to do": "" if self.ended else self.what_to_do,
            "look at": self.look_at,
        }
        return "\n".join([self.who, *(f"  {k + ':':<12}{v}" for k, v in lines.items() if v)])


class Wording:
    """Puts notices into words for one site."""

    def __init__(self, zone: ZoneInfo, links: Mapping[ScopeKind, str]) -> None:
        """`zone`: whose clocks are meant. `links`: addresses by scope, with fields in braces."""
        self._zone = zone
        self._links = links

    def message(self, notice: Notice, roster: Roster) -> Message:
        """The notice, with the names that the roster has now."""
        fired = notice.fired
        return Message(
            who=who(fired, roster),
            what=_what(fired),
            sure=_sure(fired),
            since=self._since(fired),
            ended=self._ended(notice),
            purpose=fired.purpose,
            what_to_do=fired.what_to_do,
            look_at=self._link(fired),
        )

    def _since(self, fired: Transition) -> str:
        text = self._local(fired.since)
        if fired.fired_at is None or fired.fired_at == fired.since:
            return text
        return f"{text}, told after {_between(fired.since, fired.fired_at)}"

    def _ended(self, notice: Notice) -> str:
        """Why and when it ended, and how long it had lasted."""
        end = notice.end
        if end is None:
            return ""
        lasted = f"{self._local(end.at)}, after {_between(notice.fired.since, end.at)}"
        if end.state == "resolved":
            return f"met again, {_figure(end)} of {_samples(end)}, {lasted}"
        if end.state == "ended_no_data":
            return f"nothing left in the window to judge, which is not a success, {lasted}"
        if end.reason == APP_CHANGED:
            return f"no longer judged: app {end.app} has a successor, {lasted}"
        return f"the goal is no longer configured, {lasted}"

    def _link(self, fired: Transition) -> str:
        link = self._links.get(fired.scope)
        if link is None:
            return ""
        fields = {
            "scope": fired.scope,
            "id": fired.id,
            "team": fired.team or "",
            "kpi": fired.kpi,
            "goal": fired.goal,
            "window": fired.window,
            "since_ms": epoch_ms(fired.since),
        }
        return link.format(**{name: quote(str(value), safe="") for name, value in fields.items()})

    def _local(self, at: str) -> str:
        return f"{datetime.fromisoformat(at).astimezone(self._zone):%a %d %b %H:%M %Z}"


def who(fired: Transition, roster: Roster) -> str:
    """Whom it is about: the name where the roster has one, and the id in any case."""
    name = roster.name(fired.id) if fired.scope == "agent" else None
    known = name is not None and name != fired.id
    found = f"{name} ({fired.id})" if known else f"{fired.scope} {fired.id}"
    return found if fired.team is None or fired.scope == "team" else f"{found}, team {fired.team}"


def _what(fired: Transition) -> str:
    sign, _, bound = fired.target.partition(" ")
    target = f"{_BOUNDS.get(sign, sign)} {_value(fired.kpi, float(bound or 'nan'), bound_text)}"
    figure = f"{fired.kpi.replace('_', ' ')} {_figure(fired)}, target {target}"
    return f"{figure} (goal {fired.goal}, window {fired.window})"


def _sure(fired: Transition) -> str:
    """What the figure rests on; of a rate, what it may be by chance; of a team, who misses it."""
    parts = [_samples(fired)]
    kpi = CATALOGUE.get(fired.kpi)
    is_rate = kpi is not None and kpi.shape == "rate"
    if is_rate and fired.value is not None and 0 <= fired.value <= 1 and fired.samples > 0:
        low, high = wilson(round(fired.value * fired.samples), fired.samples, _SIDE)
        parts.append(f"90% sure that it lies between {low:.0%} and {high:.0%}")
    if fired.agents_judged is not None and fired.agents_missing is not None:
        share = f"{fired.agents_missing} of {fired.agents_judged} agents judged on it miss it"
        parts.append(f"{share}: look for a common cause" if fired.is_widespread else share)
    return "; ".join(parts)


def _samples(transition: Transition) -> str:
    kpi = CATALOGUE.get(transition.kpi)
    if kpi is None:
        return f"{transition.samples} samples"
    is_survey = any(name in _FROM_SURVEYS for name, _ in kpi.denominator)
    noun = "survey" if is_survey else "contact"
    return f"{transition.samples} {noun}{'' if transition.samples == 1 else 's'}"


def _figure(transition: Transition) -> str:
    value = transition.value
    return "no value" if value is None else _value(transition.kpi, value)


def _value(kpi: str, value: float, text: Callable[[str, float], str] = value_text) -> str:
    """In the KPI's unit; a KPI that only a newer worker knows has a bare number."""
    return text(kpi, value) if kpi in CATALOGUE else f"{value:g}"


def _between(start: str, end: str) -> str:
    """A length of time in hours and minutes."""
    length = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    hours, minutes = divmod(max(0, round(length.total_seconds() / 60)), _MINUTES_PER_HOUR)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m"
