"""The account of what was re-submitted, against a plain set of offsets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.deadletters import DeadLetter, Origin
from stream.kafka.formats import UnknownFormatError
from stream.kafka.replayed import Account, Selection, decode_account, encode_account

REASONS, TOPICS = ("invalid", "version"), ("interactions", "surveys")


def some(words: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    """A filter's words, in their order; none stands for all."""
    return st.sets(st.sampled_from(words)).map(lambda chosen: tuple(sorted(chosen)))


SELECTIONS = st.builds(
    Selection, reasons=some(REASONS), topics=some(TOPICS), since_ms=st.integers(0, 4)
)
LETTERS = st.lists(
    st.tuples(st.sampled_from(REASONS), st.sampled_from(TOPICS), st.integers(0, 4)), max_size=12
)


def letters_of(drawn: list[tuple[str, str, int]]) -> list[DeadLetter]:
    """Letters at the offsets from 0 on."""
    return [
        DeadLetter((0, n), at, None, None, [], reason, "", Origin(topic, 0, n), 0)
        for n, (reason, topic, at) in enumerate(drawn)
    ]


@given(LETTERS, st.lists(st.tuples(SELECTIONS, st.integers(1, 5), st.integers(0, 3))))
def test_each_letter_is_dealt_with_once(
    drawn: list[tuple[str, str, int]], runs: list[tuple[Selection, int, int]]
) -> None:
    """Runs with any filters, ended anywhere, that leave a letter now and then."""
    letters, account, sent = letters_of(drawn), Account(), set[int]()
    for selection, limit, leaving in runs:
        due = [x for x in letters if selection.takes(x) and not account.has(x)][:limit]
        assert {x.place[1] for x in due} & sent == set()
        left = [x.place[1] for x in due[:leaving]]
        new = [x.place[1] for x in due[leaving:]]
        if due:
            account = account.after(selection, due[-1].place[1] + 1, new, left)
            account = decode_account(encode_account(account))
        sent |= set(new)
        assert {x.place[1] for x in letters if account.has(x)} == sent
    assert len(account.runs) <= len(runs)


@given(SELECTIONS, SELECTIONS)
def test_what_covers_takes_all_that_the_other_takes(one: Selection, other: Selection) -> None:
    """Else a run's end would be forgotten for one that says less."""
    drawn = [(reason, topic, at) for reason in REASONS for topic in TOPICS for at in range(5)]
    taken = [{x.place for x in letters_of(drawn) if s.takes(x)} for s in (one, other)]
    if one.covers(other):
        assert taken[0] >= taken[1]


def test_repeated_runs_do_not_pile_up() -> None:
    """The same filter is one run, a run without one is all, and what is gone is forgotten."""
    account, late = Account(), Selection(reasons=("late",))
    for end in range(1, 50):
        account = account.after(late, end, [], [])
    assert len(account.runs) == 1
    account = account.after(Selection(), 60, [], [3])
    assert [run.selection for run in account.runs] == [Selection()]
    assert account.from_offset(4) == Account(runs=account.runs)
    assert account.from_offset(60) == Account()


def test_an_account_of_another_version_is_refused() -> None:
    """Its fields may mean something else."""
    with pytest.raises(UnknownFormatError, match="format 2; this version reads 1"):
        decode_account(b'{"format": 2, "runs": 7}')
