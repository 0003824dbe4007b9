"""A broker that has just started: offsets that it has not read back yet are asked for again."""

from __future__ import annotations

import asyncio

import pytest
from faust.types import TP

from stream.kafka import agreement
from stream.kafka.agreement import TRIES, agreed_progress
from stream.kafka.recovery import DisagreementError, Latest, Progress
from tests.kafka.test_partition import NOON_MS, call, stage, stored

PLACE = TP("interactions", 0)
READ = Latest({}, 3)


class Group:
    """Answers with these committed offsets, one after the other, and then with the last."""

    def __init__(self, *committed: int | None) -> None:
        self.asked = 0
        self._committed = committed

    async def committed(self, tp: TP) -> int | None:
        """The next of them."""
        assert tp == PLACE
        self.asked += 1
        return self._committed[min(self.asked, len(self._committed)) - 1]

    async def earliest_offsets(self, *places: TP) -> dict[TP, int]:
        """From the beginning."""
        return dict.fromkeys(places, 0)

    async def highwaters(self, *places: TP) -> dict[TP, int]:
        """A little beyond what was counted."""
        return dict.fromkeys(places, 9)


def ask(group: Group, monkeypatch: pytest.MonkeyPatch) -> dict[str, Progress]:
    """Asks for a state that includes interactions up to 2."""
    before = stage()
    before.apply("interactions", [call(1)])
    state = stored(before.freeze(NOON_MS))

    async def as_it_was(*_: object) -> None:
        """Nobody has gone on."""

    monkeypatch.setattr(agreement, "_PAUSE_S", 0)
    monkeypatch.setattr(agreement, "raise_if_taken_over", as_it_was)
    asked = agreed_progress(before.site, group, TP("rows", 0), READ, state, [PLACE])
    return asyncio.run(asked)


def test_offsets_that_come_a_little_later_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen after a restart of the broker: no offset, then the right one."""
    group = Group(None, 0, 2)
    assert ask(group, monkeypatch) == {"interactions": Progress(2, 0, 9)}
    assert group.asked == 3


def test_offsets_that_stay_behind_were_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten seconds nothing is still being read back."""
    group = Group(0)
    with pytest.raises(DisagreementError, match="were the group's offsets reset"):
        ask(group, monkeypatch)
    assert group.asked == TRIES


def test_offsets_ahead_of_the_state_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting brings lost state back."""
    group = Group(5)
    with pytest.raises(DisagreementError, match="but offset 5 is committed"):
        ask(group, monkeypatch)
    assert group.asked == 1
