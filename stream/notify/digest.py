"""What a lead who is told directly is to be told now, and when: decided apart from doing it.

Changes wait for others of the same lead, messages keep their distance, and what has not changed is
said again only after its repeat interval. A change that may not be told yet is told later, with
what has come since: nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, Literal, NamedTuple

from stream.notify.book import Notice
from stream.notify.memory import Told
from stream.notify.settings import EVERYBODY_ELSE, Direct

HOUR_MS: Final = 3_600_000
Reason = Literal["changed", "unchanged"]


class Digest(NamedTuple):
    """One message: what is missed anew, missed still, over, and what came and went untold."""

    reason: Reason
    new: tuple[Notice, ...]
    still: tuple[Notice, ...]
    over: tuple[Notice, ...]
    passed: tuple[Notice, ...]

    def key(self, lead: str, before: Told | None) -> str:
        """Eight hex digits that are the same when the same message has to be sent again."""
        said = [[n.alert_id for n in part] for part in self[1:]]
        text = repr((lead, before.at_ms if before else None, said))
        return blake2b(text.encode(), digest_size=4).hexdigest()


class Due(NamedTuple):
    """A digest and from when on it may be sent."""

    digest: Digest
    at_ms: int


def receiver_of(notice: Notice, leads: Mapping[str, Any]) -> str | None:
    """Under which name a notice's reader stands in the settings: lead, team or everybody else."""
    for name in (notice.lead, notice.fired.team, EVERYBODY_ELSE):
        if name is not None and name in leads:
            return name
    return None


def behind_their_team(notices: Iterable[Notice]) -> set[str]:
    """The agents' alerts that are not told: a fault of the whole team stands, or stood, for them.

    As Alertmanager's inhibition: of what had ended before the team's was over, nothing is said.
    """
    every = list(notices)
    teams: dict[tuple[str, str], list[Notice]] = {}
    for notice in every:
        if notice.fired.is_widespread:
            teams.setdefault((notice.fired.id, notice.fired.kpi), []).append(notice)
    return {
        notice.alert_id
        for notice in every
        if notice.fired.scope == "agent"
        for team in teams.get((notice.fired.team or "", notice.fired.kpi), ())
        if _covers(team, notice)
    }


def due(
    notices: Sequence[Notice], hidden: set[str], told: Told | None, settings: Direct
) -> Due | None:
    """What is to be said next to the one reader of these notices; None where there is nothing."""
    known = set(told.firing) if told else set()
    done = set(told.over) if told else set()
    firing = [n for n in notices if n.is_firing and (n.alert_id in known or not _in(n, hidden))]
    ended = [n for n in notices if not n.is_firing and n.alert_id not in done]
    new = tuple(n for n in firing if n.alert_id not in known)
    still = tuple(n for n in firing if n.alert_id in known)
    over = tuple(n for n in ended if n.alert_id in known)
    passed = tuple(n for n in ended if n.alert_id not in known and not _in(n, hidden))
    if new or over or passed:
        first_ms = min([n.seen_ms for n in new] + [n.end_seen_ms or 0 for n in over + passed])
        at_ms = first_ms + settings.group_wait
        if told is not None:
            at_ms = max(at_ms, told.at_ms + settings.group_interval)
        reason: Reason = "changed"
    elif still and told is not None:
        at_ms, reason = told.at_ms + settings.repeat_interval, "unchanged"
    else:
        return None
    digest = Digest(reason, new, still, over, passed)
    return Due(digest, max(at_ms, _allowed_ms(told, settings)))


def after(digest: Digest, told: Told | None, notices: Iterable[Notice], now_ms: int) -> Told:
    """What the reader knows once the digest was sent."""
    known_over = {*(told.over if told else ()), *(n.alert_id for n in digest.over + digest.passed)}
    return Told(
        at_ms=now_ms,
        firing=tuple(n.alert_id for n in digest.new + digest.still),
        over=tuple(n.alert_id for n in notices if n.alert_id in known_over),
        sent_ms=(*_last_hour(told, now_ms), now_ms),
    )


def not_after(told: Told, now_ms: int) -> Told:
    """The same where the clock was put back since: told now, or nobody would hear until then."""
    if told.at_ms <= now_ms:
        return told
    sent_ms = tuple(min(ms, now_ms) for ms in told.sent_ms)
    return Told(now_ms, told.firing, told.over, sent_ms)


def _covers(team: Notice, agent: Notice) -> bool:
    """Whether a team's alert stands, or stood when the agent's ended."""
    if agent.end_seen_ms is None:
        return team.is_firing
    has_begun = team.seen_ms <= agent.end_seen_ms
    return has_begun and (team.end_seen_ms is None or team.end_seen_ms >= agent.end_seen_ms)


def _in(notice: Notice, hidden: set[str]) -> bool:
    return notice.alert_id in hidden


def _allowed_ms(told: Told | None, settings: Direct) -> int:
    """From when on one more message does not exceed what an hour may bring."""
    if told is None or len(told.sent_ms) < settings.messages_per_hour:
        return 0
    return sorted(told.sent_ms)[-settings.messages_per_hour] + HOUR_MS


def _last_hour(told: Told | None, now_ms: int) -> tuple[int, ...]:
    return tuple(ms for ms in told.sent_ms if ms > now_ms - HOUR_MS) if told else ()
