"""Durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.durations import parse_duration_ms


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("500ms", 500),
        ("20s", 20_000),
        ("1m30s", 90_000),
        ("6m 30s", 390_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
        ("1.5s", 1_500),
        ("0s", 0),
        ("1d2h3m4s5ms", 93_784_005),
    ],
)
def test_units_add_up(text: str, expected_ms: int) -> None:
    """Each unit by its name, largest first, fractions allowed."""
    assert parse_duration_ms(text) == expected_ms


@pytest.mark.parametrize("text", ["", "20", "s", "30s1m", "1m1m", "-5s", "5 sec", "1e3s"])
def test_anything_else_is_refused_by_name(text: str) -> None:
    """A bare number has no unit, and what cannot be meant is not guessed."""
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration_ms(text)


@pytest.mark.parametrize("value", [20, 1.5, True, None, ["20s"]])
def test_only_text_is_a_duration(value: object) -> None:
    """YAML's numbers carry no unit; neither does anything else."""
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration_ms(value)


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(0, 999))
def test_what_is_written_is_what_is_read(days: int, hours: int, seconds: int, ms: int) -> None:
    """Any combination of units is their sum."""
    text = f"{days}d{hours}h{seconds}s{ms}ms"
    assert parse_duration_ms(text) == ((days * 24 + hours) * 3_600 + seconds) * 1_000 + ms
