"""State, committed offsets and topics have to fit together, or the worker says how they do not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from faust.types import TP

from stream.kafka import agreement
from stream.kafka.agreement import TRIES, Progress, agreed_progress, check_agreement
from stream.kafka.codec import CHECKPOINT_FORMAT, Checkpoint
from stream.kafka.recovery import DisagreementError, Latest, StoredState
from tests.kafka.test_partition import NOON_MS, call, stage, stored, topology

PLACE = TP("interactions", 0)
READ = Latest({}, 3)
NOTHING = StoredState({}, {}, None)


def state(partitions: int = 4, **offsets: int) -> StoredState:
    """A stored state that includes the topics up to these offsets."""
    checkpoint = Checkpoint(
        format=CHECKPOINT_FORMAT,
        writer="w",
        sequence=1,
        now_ms=0,
        revision=1,
        offsets=offsets,
        clocks={},
        partitions=partitions,
        kept_from_minute=0,
        layout="l",
        layouts={"l": []},
    )
    return StoredState({}, {}, checkpoint)


@pytest.mark.parametrize(
    ("stored", "progress", "exact"),
    [
        (NOTHING, Progress(None, 0, 500), True),
        (state(), Progress(None, 0, 0), True),
        (state(calls=70), Progress(70, 0, 70), True),
        (state(calls=70), Progress(70, 65, 90), True),
        (state(calls=70), Progress(60, 0, 90), False),
        (state(calls=70), Progress(None, 0, 90), False),
    ],
)
def test_what_fits_is_gone_on_from(stored: StoredState, progress: Progress, exact: bool) -> None:
    """Nothing yet; both at one place; and, without transactions, offsets a crash left behind."""
    check_agreement(stored, {"calls": progress}, 2, topology=topology(4), exact=exact)


@pytest.mark.parametrize(
    ("stored", "progress", "exact", "said"),
    [
        (state(calls=70), Progress(70, 0, 20), True, "ends at 20, but offset 70 is committed"),
        (NOTHING, Progress(70, 0, 90), True, "the changelog holds no state: was it deleted"),
        (state(calls=70), Progress(60, 0, 90), True, "were the group's offsets reset"),
        (state(calls=70), Progress(None, 0, 90), True, "up to 70, but offset 0 is committed"),
        (state(calls=70), Progress(80, 0, 90), False, "up to 70, but offset 80 is committed"),
        (state(3, calls=70), Progress(70, 0, 90), True, "of 3 partitions, the topics have 4"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_likely_cause(
    stored: StoredState, progress: Progress, exact: bool, said: str
) -> None:
    """To go on would count a gap, or twice, without a word."""
    with pytest.raises(DisagreementError) as refusal:
        check_agreement(stored, {"calls": progress}, 2, topology=topology(4), exact=exact)
    assert said in str(refusal.value)
    assert "Start under another `app` name" in str(refusal.value)


def test_a_topic_made_again_under_its_name_is_refused_whatever_its_offsets() -> None:
    """Filled beyond where the old one ended, its offsets look as if nothing had happened."""
    stored = state(calls=70)
    assert stored.checkpoint is not None
    stored.checkpoint.topic_ids = {"calls": "a" * 32}
    place = {"calls": Progress(70, 0, 120)}
    for ids in ({}, {"calls": "a" * 32}):
        check_agreement(stored, place, 2, topology=replace(topology(4), ids=ids), exact=True)
    other = replace(topology(4), ids={"calls": "b" * 32})
    with pytest.raises(DisagreementError, match="calls is not the topic that was counted"):
        check_agreement(stored, place, 2, topology=other, exact=True)


def test_records_deleted_before_they_were_counted_are_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The topic's retention was shorter than the downtime: it cannot be helped, but said."""
    check_agreement(
        state(calls=70), {"calls": Progress(70, 100, 120)}, 2, topology=topology(4), exact=True
    )
    assert "calls[2] begins at 100: records 70 to 99 were deleted" in caplog.text


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
