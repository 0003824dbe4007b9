r"""Header names that are not UTF-8: aiokafka raises over them, for ever.

Kafka takes any bytes as a header's name and other clients send them. aiokafka decodes names
strictly in the middle of a fetch: it throws away the records it had already taken out of it, moves
its position past them, and stops at the odd one again after each restart. One bad record would cost
its neighbours everything. Here such a name is read with its odd bytes written out (`\\xff`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_HEAD_BYTES: Final = 12
_LENGTH_AT: Final = 8


class _Text(bytes):
    """Bytes that decode whatever they are; so do their parts."""

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        return _Text(part) if isinstance(part, bytes) else part

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        del errors
        return super().decode(encoding, "backslashreplace")


class Batch:
    """One batch of records as aiokafka reads it, and slowly from where it cannot."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        """`raw` is what `batch` was made of."""
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        """Whatever else is asked of a batch."""
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        """The first record: so aiokafka reads a transaction's marker, which has no headers."""
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        """The records; aiokafka's fast reader cannot go on behind an odd one."""
        try:
            return iter(list(self._batch))
        except UnicodeDecodeError:
            return self._read_slowly()

    def _read_slowly(self) -> Iterator[Any]:
        batch = _DefaultRecordBatchPy(bytes(self._raw))
        batch._maybe_uncompress()  # noqa: SLF001 - as its own iterator does first
        batch._buffer = _Text(batch._buffer)  # noqa: SLF001 - where it decodes names from
        return iter(batch)


class Records:
    """What a fetch brought of one partition, batch by batch."""

    def __init__(self, raw: bytes) -> None:
        """`raw` is the response's record set."""
        self._records = MemoryRecords(raw)
        self._raw = memoryview(raw)
        self._at = 0

    def __getattr__(self, name: str) -> Any:
        """Whatever else is asked of the records."""
        return getattr(self._records, name)

    def next_batch(self) -> Batch | None:
        """The next batch, if there is one."""
        batch = self._records.next_batch()
        if batch is None:
            return None
        start, length_at = self._at, self._at + _LENGTH_AT
        length = int.from_bytes(self._raw[length_at : length_at + 4], "big")
        self._at = start + _HEAD_BYTES + length
        return Batch(batch, self._raw[start : self._at])


def accept_any_header_name() -> None:
    """Puts `Records` in the place of aiokafka's own: its fetcher has no other seam."""
    fetcher.MemoryRecords = Records
