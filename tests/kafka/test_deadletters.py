"""What is written of a refused record is read back, whatever the record brought along."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.deadletters import (
    DETAIL_MAX,
    Origin,
    dead_letter_headers,
    read_letter,
    resubmission,
)
from tests.kafka.test_partition import Record

NAMES = ("kpi-reason", "kpi-topic", "kpi-offset", "kpi-timestamp", "kpi-replays", "trace", "")
HEADERS = st.lists(st.tuples(st.sampled_from(NAMES), st.none() | st.binary(max_size=20)))
ORIGIN = Origin("interactions", 3, 17, 1_772_440_872_500)


def test_a_detail_is_cut_and_never_fails() -> None:
    """Whatever a record provoked as a message."""
    headers = dict(dead_letter_headers("invalid", "\ud800" + "x" * 9_999, ORIGIN))
    assert len(headers["kpi-detail"]) == DETAIL_MAX
    assert headers["kpi-detail"].startswith(b"?x")
    assert (headers["kpi-topic"], headers["kpi-partition"]) == (b"interactions", b"3")
    assert (headers["kpi-offset"], headers["kpi-timestamp"]) == (b"17", b"1772440872500")


@given(HEADERS, st.none() | st.binary(), st.none() | st.binary())
def test_a_letter_gives_the_record_back(
    own: list[tuple[str, bytes | None]], key: bytes | None, value: bytes | None
) -> None:
    """Its own headers too, where they have the names of ours."""
    ours = dead_letter_headers("version", "why", ORIGIN)
    letter = read_letter(Record("dead-letters", 1, 5, key, value, (*own, *ours), timestamp=9))  # type: ignore[arg-type]
    assert letter is not None
    assert (letter.place, letter.refused_ms) == ((1, 5), 9)
    assert (letter.reason, letter.detail, letter.origin) == ("version", "why", ORIGIN)
    assert letter.headers == own
    back = resubmission(letter)
    assert (back.key, back.value, back.timestamp_ms) == (key, value, ORIGIN.timestamp_ms)
    assert back.headers[:-1] == [header for header in own if header[0] != "kpi-replays"]
    assert back.headers[-1] == ("kpi-replays", str(letter.replays + 1).encode())


def test_a_letter_of_an_older_worker_has_no_time() -> None:
    """It did not say when the record was written."""
    headers = dead_letter_headers("late", "", Origin("surveys", 0, 0))
    letter = read_letter(Record("dead-letters", 0, 0, None, None, tuple(headers)))
    assert letter is not None
    assert letter.origin.timestamp_ms is None


@given(HEADERS)
def test_what_no_worker_wrote_is_no_letter(own: list[tuple[str, bytes | None]]) -> None:
    """Never raises, and a reason alone does not make one."""
    assert read_letter(Record("dead-letters", 0, 0, None, None, tuple(own))) is None  # type: ignore[arg-type]
