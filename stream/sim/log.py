"""A topic partition: records at offsets, transactions under way, and what a reader may see."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from faust.types import TP

Headers = tuple[tuple[str, bytes], ...]
Fate = Literal["open", "committing", "committed", "aborted"]


@dataclass(slots=True, eq=False)
class Transaction:
    """One transaction of a transactional id."""

    owner: str
    epoch: int
    fate: Fate = "open"
    records: list[Record] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    offsets: dict[TP, int] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Record:
    """A record as aiokafka delivers it, with the transaction it belongs to."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    transaction: Transaction | None = None
    timestamp: int = 0

    @property
    def is_visible(self) -> bool:
        """Whether a `read_committed` reader sees it, once it gets so far."""
        return self.transaction is None or self.transaction.fate == "committed"


Content = tuple[bytes | None, bytes | None, Headers]


class Log:
    """One partition's log. The markers that end transactions occupy offsets and are no records."""

    def __init__(self, place: TP) -> None:
        """Empty."""
        self.place = place
        self.records: list[Record] = []
        self.end = 0
        self._open: dict[Transaction, int] = {}

    @property
    def stable(self) -> int:
        """The last stable offset: where the first transaction under way began."""
        return min(self._open.values()) if self._open else self.end

    def append(self, contents: Sequence[Content], transaction: Transaction | None) -> int:
        """Adds records and returns the first one's offset."""
        first = self.end
        if transaction is not None and transaction not in self._open:
            self._open[transaction] = first
            transaction.logs.append(self)
        for key, value, headers in contents:
            topic, number = self.place
            record = Record(topic, number, self.end, key, value, headers, transaction)
            self.records.append(record)
            self.end += 1
            if transaction is not None:
                transaction.records.append(record)
        return first

    def mark(self, transaction: Transaction) -> None:
        """Writes the marker that ends a transaction here."""
        del self._open[transaction]
        self.end += 1

    def read(self, position: int, limit: int) -> tuple[list[Record], int]:
        """What a `read_committed` fetch brings, and the position after it."""
        found: list[Record] = []
        stable = self.stable
        for record in self.records[self._index(position) :]:
            if record.offset >= stable:
                break
            if record.is_visible:
                if len(found) == limit:
                    return found, found[-1].offset + 1
                found.append(record)
        return found, max(position, stable)

    def between(self, start: int, end: int) -> list[Record]:
        """The visible records in [start, end)."""
        cut = self.records[self._index(start) : self._index(end)]
        return [record for record in cut if record.is_visible]

    def compact(self, before: int, *, tombstones: bool) -> int:
        """Drops what a later record of its key replaces, and, if told so, deletions; says how many.

        Never what a transaction under way still holds back, nor the last record.
        """
        before = min(before, self.stable)
        latest = {r.key: r.offset for r in self.records if r.offset < before and r.is_visible}
        count = len(self.records)
        self.records = [
            r
            for r in self.records
            if r.offset >= before
            or (latest.get(r.key) == r.offset and not (tombstones and r.value is None))
        ]
        return count - len(self.records)

    def _index(self, offset: int) -> int:
        return bisect_left(self.records, offset, key=lambda record: record.offset)
