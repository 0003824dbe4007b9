"""Whether Kafka is heard."""

from __future__ import annotations

from stream.notify.hearing import CUT_OFF_MS, Hearing

START_MS = 1_000_000
LATER_MS = START_MS + 20 * 60_000  # thawed then


def heard(*answers: tuple[int, int], lag: int = 0) -> Hearing:
    """One of two partitions that was begun at the start, after these pairs of answers."""
    made = Hearing()
    made.begin(START_MS)
    for first, second in answers:
        made.note({0: first, 1: second}, lag)
    return made


def test_it_is_cut_off_after_a_silence() -> None:
    """Of all partitions, at the exact edge."""
    made = heard((START_MS + 500, START_MS + 400))
    assert not made.is_cut_off(START_MS + 500 + CUT_OFF_MS)
    assert made.is_cut_off(START_MS + 501 + CUT_OFF_MS)


def test_before_anything_was_asked_it_is_not() -> None:
    """And once it has read to the end it is heard, also without an answer since."""
    assert not Hearing().is_cut_off(START_MS)
    assert not heard().is_cut_off(START_MS + 1)


def test_after_a_silence_each_partition_has_to_answer_twice() -> None:
    """The first answers lay in the sockets while the process was frozen."""
    stale = (LATER_MS + 3, LATER_MS + 3)
    assert heard(stale).is_cut_off(LATER_MS + 3)
    assert heard(stale, stale).is_cut_off(LATER_MS + 3), "the same answers, seen again"
    one_more = (LATER_MS + 500, LATER_MS + 3)
    assert heard(stale, one_more).is_cut_off(LATER_MS + 500)
    assert not heard(stale, one_more, (LATER_MS + 500, LATER_MS + 503)).is_cut_off(LATER_MS + 503)


def test_a_partition_that_is_later_to_answer_is_waited_for_as_long() -> None:
    """Its first answer after the silence is no newer than the other's."""
    answers = [(LATER_MS, START_MS), (LATER_MS + 500, LATER_MS + 7), (LATER_MS + 900, LATER_MS + 9)]
    assert heard(*answers[:2]).is_cut_off(LATER_MS + 500)
    assert not heard(*answers).is_cut_off(LATER_MS + 900)


def test_what_is_not_yet_read_has_to_be() -> None:
    """Many records have come meanwhile."""
    answers = [(LATER_MS, LATER_MS), (LATER_MS + 500, LATER_MS + 500)]
    made = heard(*answers, lag=7)
    assert made.is_cut_off(LATER_MS + 500)
    made.note({0: LATER_MS + 600, 1: LATER_MS + 600}, 0)
    assert not made.is_cut_off(LATER_MS + 600)


def test_a_partition_that_stays_silent_does_not_hold_up_the_others_news() -> None:
    """Its broker is gone: after a silence of all it is waited for, but not for ever."""
    made = heard(*((at_ms, START_MS) for at_ms in range(START_MS, LATER_MS, 5_000)))
    assert not made.is_cut_off(LATER_MS)
    made = heard(*((LATER_MS + 500 * n, START_MS) for n in range(60)))
    assert made.is_cut_off(LATER_MS + CUT_OFF_MS)
    assert not made.is_cut_off(LATER_MS + CUT_OFF_MS + 1)


def test_a_clock_that_is_put_back_holds_nothing_up() -> None:
    """By an hour, while what was missed is read."""
    back_ms = LATER_MS - 3_600_000
    made = heard((LATER_MS, LATER_MS), (back_ms, back_ms), (back_ms + 500, back_ms + 500))
    assert not made.is_cut_off(back_ms + 500)
