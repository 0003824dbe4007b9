"""When a lead who is told directly is told what, on literal instants and under random kills."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, Final

import pytest

from stream.notify.book import Book, Notice
from stream.notify.digest import HOUR_MS, Due, after, behind_their_team, due, receiver_of
from stream.notify.memory import Told
from stream.notify.settings import Direct
from tests.notify.records import transition

NOON: Final = 1_772_449_200_000
SECOND: Final = 1_000
MINUTE: Final = 60_000
USUAL: Final = Direct()


def notice(name: str, at_s: float = 0, end_s: float | None = None, **fields: Any) -> Notice:
    """An alert seen so many seconds after noon, and its end."""
    seen_ms = NOON + round(at_s * SECOND)
    fired = transition("firing", name, since_ms=seen_ms, at_ms=seen_ms, **fields)
    if end_s is None:
        return Notice(fired=fired, seen_ms=seen_ms)
    end_ms = NOON + round(end_s * SECOND)
    end = transition("resolved", name, since_ms=seen_ms, at_ms=end_ms, **fields)
    return Notice(fired=fired, seen_ms=seen_ms, end=end, end_seen_ms=end_ms)


def team(at_s: float = 0, end_s: float | None = None, missing: int = 2) -> Notice:
    """A fault of team billing, whose three agents are judged on the same KPI."""
    fields = {"scope": "team", "goal": "team-csat", "agents_judged": 3}
    return notice("billing", at_s, end_s, **fields, agents_missing=missing)


def told(at_s: float, *firing: Notice, sent_s: tuple[float, ...] = ()) -> Told:
    """What was told so many seconds after noon."""
    sent_ms = tuple(NOON + round(s * SECOND) for s in sent_s)
    at_ms = NOON + round(at_s * SECOND)
    return Told(at_ms, tuple(n.alert_id for n in firing), (), sent_ms or (at_ms,))


def ask(*notices: Notice, before: Told | None = None, settings: Direct = USUAL) -> Due:
    """What is due of these."""
    found = due(notices, behind_their_team(notices), before, settings)
    assert found is not None
    return found


def after_noon(found: Due) -> float:
    """When it is due, in seconds after noon."""
    return (found.at_ms - NOON) / SECOND


def test_a_first_miss_waits_for_others() -> None:
    """`group_wait` after the first of them, however many come."""
    found = ask(notice("a-1", 5), notice("a-2", 20))
    assert after_noon(found) == 35
    assert [n.fired.id for n in found.digest.new] == ["a-1", "a-2"]


def test_messages_keep_their_distance() -> None:
    """What comes right after a message waits for `group_interval`."""
    first, second = notice("a-1"), notice("a-2", 40)
    found = ask(first, second, before=told(30, first))
    assert after_noon(found) == 330
    assert (found.digest.new, found.digest.still) == ((second,), (first,))


def test_what_has_not_changed_is_said_again_after_its_repeat_interval() -> None:
    """And not a moment before."""
    first = notice("a-1")
    found = ask(first, before=told(30, first))
    assert found.digest.reason == "unchanged"
    assert after_noon(found) == 30 + 4 * 3_600


def test_where_nothing_is_missed_nothing_is_said() -> None:
    """Neither at first nor after all is over and told."""
    over = notice("a-1", 0, 60)
    assert due([], set(), None, USUAL) is None
    known = after(ask(over, before=told(30, over)).digest, told(30, over), [over], NOON)
    assert due([over], set(), known, USUAL) is None


def test_an_end_is_told_to_whom_the_miss_was_told() -> None:
    """As over; of an alert whose miss was never told it is told that it came and went."""
    known, unknown = notice("a-1", 0, 60), notice("a-2", 31, 62)
    digest = ask(known, unknown, before=told(30, known)).digest
    assert (digest.over, digest.passed, digest.new) == ((known,), (unknown,), ())


def test_an_hour_brings_so_many_messages_at_most() -> None:
    """The next waits until the oldest of them is an hour ago; what comes meanwhile joins it."""
    settings = Direct(messages_per_hour=2, group_interval="1m")
    first, second = notice("a-1"), notice("a-2", 700)
    before = told(600, first, sent_s=(30, 600))
    assert after_noon(ask(first, second, before=before, settings=settings)) == 3_630


def test_agents_wait_behind_a_fault_of_their_team() -> None:
    """While it stands; and what was over before it was is never told."""
    agent, early = notice("a-1", 1), notice("a-2", 1, 50)
    standing = team()
    assert ask(agent, early, standing).digest.new == (standing,)
    gone = team(0, 60)
    digest = ask(agent, early, gone, before=told(30, gone)).digest
    assert (digest.new, digest.over, digest.passed) == ((agent,), (gone,), ())


@pytest.mark.parametrize("fields", [{"kpi": "aht"}, {"team": "sales"}, {"team": None}])
def test_only_the_same_teams_same_kpi_waits(fields: dict[str, Any]) -> None:
    """A fault of billing's csat says nothing of another team or another KPI."""
    agent = notice("a-1", 1, **fields)
    assert set(ask(agent, team()).digest.new) == {agent, team()}


def test_an_outlier_does_not_wait() -> None:
    """One of three misses it: he is told beside his team."""
    agent, narrow = notice("a-1", 1), team(missing=1)
    assert set(ask(agent, narrow).digest.new) == {agent, narrow}


def test_what_a_lead_knows_stays_known_behind_the_team() -> None:
    """A miss that was told before the team's fault came is neither forgotten nor told anew."""
    agent, standing = notice("a-1"), team(40)
    digest = ask(agent, standing, before=told(30, agent)).digest
    assert (digest.new, digest.still) == ((standing,), (agent,))


def test_a_notice_goes_to_its_lead_else_its_team_else_to_everybody_else() -> None:
    """And to nobody where none of them has an address."""
    with_lead = Notice(fired=transition(), seen_ms=NOON, lead="Kim")
    assert receiver_of(with_lead, {"Kim": 1, "billing": 1, "*": 1}) == "Kim"
    assert receiver_of(with_lead, {"billing": 1, "*": 1}) == "billing"
    assert receiver_of(with_lead, {"*": 1}) == "*"
    assert receiver_of(with_lead, {"Robin": 1}) is None


def test_the_same_message_has_the_same_key() -> None:
    """What a kill has sent twice can be told from news."""
    first, second = notice("a-1"), notice("a-2")
    digest = ask(first).digest
    assert digest.key("Kim", None) == ask(first).digest.key("Kim", None)
    others = {
        digest.key("Robin", None),
        digest.key("Kim", told(0)),
        ask(second).digest.key("Kim", None),
    }
    assert digest.key("Kim", None) not in others
    assert len(others) == 3


class Lead:
    """One lead's messages under kills: a kill between a message and its being remembered."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.book = Book()
        self.told: Told | None = None
        self.kills = 0
        self.began: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.messages: list[tuple[int, str, str]] = []
        self.alive: list[Any] = []
        self.ever: set[str] = set()

    def live(self, now_ms: int) -> None:
        """Something begins or ends, sometimes; what is due is sent."""
        if self.random.random() < 0.02:
            begun = transition("firing", f"a-{self.random.randrange(5)}", since_ms=now_ms)
            if begun.id not in {t.id for t in self.alive}:
                self.alive.append(begun)
                self.ever.add(begun.alert_id)
                self.book.take(begun, None, now_ms)
        if self.alive and self.random.random() < 0.02:
            over = self.alive.pop(self.random.randrange(len(self.alive)))
            end = transition("resolved", over.id, since_ms=_since_ms(over), at_ms=now_ms)
            assert self.book.take(end, None, now_ms) is not None
        self.send(now_ms)

    def send(self, now_ms: int) -> None:
        """Sends what is due; a kill may come before it is remembered."""
        notices = list(self.book)
        found = due(notices, set(), self.told, SHORT)
        if found is None or found.at_ms > now_ms:
            return
        digest = found.digest
        self.messages.append((now_ms, digest.reason, digest.key("Kim", self.told)))
        self.began.update(n.alert_id for n in digest.new + digest.passed)
        self.ended.update(n.alert_id for n in digest.over + digest.passed)
        if self.random.random() < 0.1:
            self.kills += 1
            return
        self.told = after(digest, self.told, notices, now_ms)
        self.book.forget([n.alert_id for n in notices if n.alert_id in self.told.over])


SHORT: Final = Direct(
    group_wait="10s", group_interval="30s", repeat_interval="10m", messages_per_hour=60
)


def _since_ms(begun: Any) -> int:
    from tests.core.build import ms  # noqa: PLC0415

    return ms(begun.since)


@pytest.mark.parametrize("seed", range(20))
def test_killed_at_any_moment_nothing_is_lost_and_little_is_repeated(seed: int) -> None:
    """Each begin and end is told; a kill repeats one message; unchanged ones keep their interval.

    What is repeated has the key of the message before, unless something has come meanwhile.
    """
    lead = Lead(seed)
    for step in range(20_000):
        lead.live(NOON + step * SECOND)
    for begun in lead.alive:
        end = transition("resolved", begun.id, since_ms=_since_ms(begun), at_ms=NOON + HOUR_MS * 9)
        lead.book.take(end, None, NOON + 20_000 * SECOND)
    for step in range(20_000, 20_000 + 7_200):
        lead.send(NOON + step * SECOND)
    assert lead.began.keys() == lead.ended.keys() == lead.ever
    assert len(lead.messages) > 100
    assert lead.kills > 3
    assert len(lead.book) == 0
    repeated = len(lead.messages) - len({key for *_, key in lead.messages})
    assert repeated <= lead.kills
    assert max(lead.began.values()) - 1 <= lead.kills
    for (sent_ms, _, key), (next_ms, reason, next_key) in zip(
        lead.messages, lead.messages[1:], strict=False
    ):
        if reason == "unchanged" and key != next_key:
            assert next_ms - sent_ms >= SHORT.repeat_interval
