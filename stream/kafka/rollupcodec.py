"""Shares and reports as records of the rollups topic.

Share: key `p`, source (2 bytes), minute (4 bytes), kind and id (JSON); value, in words: header
(format in the lowest byte, the cut in the upper half), the report's sequence, the sums. Report:
key `h`, source; value JSON. A *cut* names what the sums were made by: measures, the queues'
teams, and the windows they are kept for; of a source only shares of its last report's cut count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np
import orjson
from msgspec import Struct, convert, to_builtins

from stream.core.arrays import Ints
from stream.core.measures import measure_ids
from stream.core.rollup import Batch, Report
from stream.core.rules import Rules
from stream.core.shares import ScopeName, SharePlace
from stream.core.tallies import Tally
from stream.kafka.formats import UnknownFormatError
from stream.kafka.words import pack, unpack

SHARE: Final = b"p"
REPORT: Final = b"h"
FORMAT: Final = 1
_HALF: Final = 0xFFFFFFFF


class StoredReport(Struct, kw_only=True):
    """A report with what its shares are told by."""

    format: int
    source: int
    cut: int
    sequence: int
    as_of_ms: int
    offsets: dict[str, int]
    complete_from: dict[str, int]
    settled: bool
    kept_from: int = 0
    tallies: dict[str, dict[str, Tally]] | None = None


class Told(NamedTuple):
    """A source's shares: [place, column], each with its cut and the sequence it was told in."""

    places: list[SharePlace]
    cuts: Ints
    sequences: Ints
    sums: Ints


def cut_of(rules: Rules) -> int:
    """32 bits that stand for all that a share depends on beside the events."""
    teams = sorted(rules.queue_teams.items())
    windows = [window.name for window in rules.windows]  # by the longest, sources forget
    return crc32(orjson.dumps([measure_ids(rules.thresholds), teams, windows]))


def share_key(source: int, place: SharePlace) -> bytes:
    """The key of a source's share of a scope's minute."""
    where = source.to_bytes(2, "big") + place.minute.to_bytes(4, "big")
    return SHARE + where + orjson.dumps(list(place.scope))


def encode_shares(
    source: int, cut: int, sequence: int, places: Sequence[SharePlace], sums: Ints
) -> list[tuple[bytes, bytes]]:
    """The records of these shares."""
    values = pack(FORMAT | cut << 32, sequence, sums)
    return [(share_key(source, place), v) for place, v in zip(places, values, strict=True)]


def encode_report(report: Report, cut: int, sequence: int) -> tuple[bytes, bytes]:
    """The record of a report, to be written behind its shares."""
    record = {"format": FORMAT, "cut": cut, "sequence": sequence, **report._asdict()}
    return REPORT + report.source.to_bytes(2, "big"), orjson.dumps(to_builtins(record))


def source_of(key: bytes) -> int:
    """Whose share or report a record is."""
    return int.from_bytes(key[1:3], "big")


def decode_report(value: bytes) -> StoredReport:
    """The report in `value`.

    Raises:
        UnknownFormatError: if another version wrote it in a format of its own.
    """
    fields: dict[str, Any] = orjson.loads(value)
    _check_format(fields["format"])
    return convert(fields, StoredReport)


def decode_shares(records: Mapping[bytes, bytes | None]) -> Told:
    """The shares in `records`, tombstones left out: they follow what was forgotten here, too.

    Raises:
        UnknownFormatError: as `decode_report`.
    """
    kept = {key: value for key, value in records.items() if value is not None}
    headers, sequences, sums, _ = unpack(list(kept.values()))
    for header in np.unique(headers & 0xFF).tolist():
        _check_format(header)
    return Told([_place(key) for key in kept], headers >> 32 & _HALF, sequences, sums)


def batch_of(report: StoredReport, told: Told) -> Batch:
    """A report with those of its source's shares that count."""
    counts = (told.cuts == report.cut) & (told.sequences <= report.sequence)
    kept = np.flatnonzero(counts)
    fields = (report.source, report.as_of_ms, report.offsets, report.complete_from)
    places = [told.places[i] for i in kept.tolist()]
    made = Report(*fields, report.settled, report.kept_from, report.tallies)
    return Batch(made, places, told.sums[kept])


def _place(key: bytes) -> SharePlace:
    return SharePlace(ScopeName(*orjson.loads(key[7:])), int.from_bytes(key[3:7], "big"))


def _check_format(number: int) -> None:
    if number != FORMAT:
        message = f"a stored share or report has format {number}, this version reads {FORMAT}"
        raise UnknownFormatError(message)
