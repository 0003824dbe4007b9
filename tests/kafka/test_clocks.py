"""Clock records: what moves a replay's now, and what is refused with its reason."""

from __future__ import annotations

import pytest

from stream.kafka.clocks import Clock, Clocks


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"7",
        b"{}",
        b'{"now": -1}',
        b'{"now": 1.5}',
        b'{"now": NaN}',
        b'{"now": ' + b"9" * 5_000 + b"}",
        b'{"now": 1, "settle": null}',
        b'\xff{"now": 1}',
        # Escaped as a RecursionError, which would have ended the worker, again and again.
        b'{"now": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x":' * 100_000,
    ],
    ids=range(12),
)
def test_what_is_no_clock_is_a_value_error_and_moves_nothing(value: bytes | None) -> None:
    """Its caller refuses the record; anything else that is raised would end the worker."""
    clocks = Clocks(("calls",))
    with pytest.raises(ValueError, match="no clock: "):
        clocks.take("calls", value)
    assert clocks.by_topic == {}


def test_a_topics_clock_never_goes_back() -> None:
    """A replayed tail brings its old clocks again."""
    clocks = Clocks(("calls", "surveys"))
    taken = [
        clocks.take(topic, b'{"now": %d}' % now)
        for topic, now in [("calls", 5), ("surveys", 7), ("calls", 3), ("calls", 9)]
    ]
    assert taken == [None, Clock(5), Clock(5), Clock(7)]
