"""Consumed records, a batch at a time and as aiokafka's fast reader makes them.

aiokafka hands records on one by one, through three layers of Python, and makes another object of
each, with its topic, its checksum and its sizes: twice the work of reading it. A partition's
stage knows its topic and asks for the rest of few of them, so that here the lists that the fast
reader fills go on as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher


class _Whole:
    """One batch, which gives all its records at once, as if they were one."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self.records: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        self.records = list(self._batch)
        if self.records:
            yield self

    @property
    def offset(self) -> int:
        """That of the last record: aiokafka goes on behind it, and passes over what is older."""
        last: int = self.records[-1].offset
        return last


class _WholeBatches:
    """What a fetch brought of one partition, as aiokafka goes through it."""

    def __init__(self, records: Any) -> None:
        self.has_next = records.has_next
        self._next = records.next_batch

    def next_batch(self) -> _Whole | None:
        batch = self._next()
        return None if batch is None else _Whole(batch)


class LeanRecords(fetcher.PartitionRecords):
    """A fetch's records of one partition: transactions are aiokafka's to sort out, lists are ours.

    A record has its offset, timestamp (ms), key, value and headers, and no topic.
    """

    def __init__(self, tp: Any, records: Any, *options: Any) -> None:
        super().__init__(tp, _WholeBatches(records), *options)
        self._left: list[Any] = []
        self.is_exhausted = False

    def __next__(self) -> Any:
        """One record, for those who ask for one at a time."""
        found = self.take(1)
        if not found:
            raise StopIteration
        return found[0]

    def take(self, records_max: int | None) -> list[Any]:
        """The next records, so many at most; none once there are no more."""
        found, self._left = self._left, []
        while records_max is None or len(found) < records_max:
            batch = next(self._records_iterator, None)
            if batch is None:
                self.is_exhausted = True
                return found
            found += batch
        found, self._left = found[:records_max], found[records_max:]
        self.next_fetch_offset = found[-1].offset + 1
        return found

    def _consumer_record(self, _: Any, batch: Any) -> list[Any]:
        """A batch's records, but for those before the offset that was asked for."""
        records: list[Any] = batch.records
        start = self.next_fetch_offset
        if records[0].offset < start:
            records = [record for record in records if record.offset >= start]
        return records


class LeanResult(fetcher.FetchResult):
    """A fetch's result, taken in lists."""

    _partition_records: LeanRecords | None

    def getall(self, max_records: int | None = None) -> list[Any]:
        """The next records; none where the partition was given up, paused or sought meanwhile."""
        if not self.check_assignment(self._topic_partition) or self._partition_records is None:
            return []
        found = self._partition_records.take(max_records)
        self._update_position()
        if self._partition_records.is_exhausted:
            self._partition_records = None
        return found


def make_records_lean() -> None:
    """Puts these in the places of aiokafka's own: its fetcher has no other seam."""
    fetcher.PartitionRecords = LeanRecords
    fetcher.FetchResult = LeanResult
