"""Which dead letters were re-submitted: an account per partition, in a compacted topic of its own.

A consumer group's offsets would not do: Kafka forgets those of a group without members after a
week (`offsets.retention.minutes`), and one offset cannot say what a run with a filter left out.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec
from msgspec import Struct

from stream.kafka.deadletters import DeadLetter
from stream.kafka.formats import decode_stored

ACCOUNT_FORMAT: Final = 1


class Selection(Struct, frozen=True, kw_only=True):
    """Which letters a run is for; what is empty leaves none out. `since_ms`: refused from then."""

    reasons: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    since_ms: int = 0

    def takes(self, letter: DeadLetter) -> bool:
        """Whether the run is for this letter."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.topics or letter.origin.topic in self.topics)
            and letter.refused_ms >= self.since_ms
        )

    def covers(self, other: Selection) -> bool:
        """Whether it takes all that the other one takes."""
        return (
            (not self.reasons or 0 < len(other.reasons) == len({*self.reasons} & {*other.reasons}))
            and (not self.topics or 0 < len(other.topics) == len({*self.topics} & {*other.topics}))
            and self.since_ms <= other.since_ms
        )


class Run(Struct, frozen=True):
    """All letters that `selection` takes were dealt with, up to the offset `end` (excluded)."""

    selection: Selection
    end: int


class Account(Struct, frozen=True, kw_only=True):
    """One partition's: what runs have dealt with, but for the offsets that they had to leave.

    `topic_id` tells the topic from a later one of the same name, whose offsets are others.
    """

    format: int = ACCOUNT_FORMAT
    topic_id: str = ""
    runs: tuple[Run, ...] = ()
    left: tuple[int, ...] = ()

    def has(self, letter: DeadLetter) -> bool:
        """Whether the letter was re-submitted."""
        _, offset = letter.place
        if offset in self.left:
            return False
        return any(offset < run.end and run.selection.takes(letter) for run in self.runs)

    def after(
        self, selection: Selection, end: int, sent: Collection[int], left: Collection[int]
    ) -> Account:
        """The account once a run has come to `end`, having sent some offsets and left others."""
        runs = [r for r in self.runs if r.end > end or not selection.covers(r.selection)]
        still = (set(self.left) - set(sent)) | set(left)
        return msgspec.structs.replace(
            self, runs=(*runs, Run(selection, end)), left=tuple(sorted(still))
        )

    def from_offset(self, begin: int) -> Account:
        """The account without what is said of letters before `begin`, which are gone."""
        runs = tuple(run for run in self.runs if run.end > begin)
        left = tuple(offset for offset in self.left if offset >= begin)
        return msgspec.structs.replace(self, runs=runs, left=left)


def encode_account(account: Account) -> bytes:
    """An account, for its topic."""
    return msgspec.json.encode(account)


def decode_account(value: bytes) -> Account:
    """The account in a record of its topic.

    Raises:
        UnknownFormatError: if another version wrote it.
    """
    what = "the stored account of replayed dead letters"
    return decode_stored(value, Account, ACCOUNT_FORMAT, what)
