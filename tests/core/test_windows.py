"""Which minutes each window holds, at its exact edges and across clock changes."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from stream.core.windows import ceil_minute, parse_window, retention_minutes
from tests.core.build import BERLIN, minute, ms


@pytest.mark.parametrize(
    ("now", "ceiling"),
    [
        ("2024-06-03T12:00:00.000Z", "2024-06-03T12:00Z"),
        ("2024-06-03T12:00:00.001Z", "2024-06-03T12:01Z"),
        ("2024-06-03T12:00:59.999Z", "2024-06-03T12:01Z"),
    ],
)
def test_now_is_rounded_up_and_an_exact_minute_stays(now: str, ceiling: str) -> None:
    """⌈t⌉ is the first whole minute that is not before t."""
    assert ceil_minute(ms(now)) == minute(ceiling)


@pytest.mark.parametrize(
    ("name", "now", "low", "high"),
    [
        # A minute's window at a whole minute, and a millisecond on either side of it.
        ("1m", "2024-06-03T11:59:59.999Z", "2024-06-03T11:59Z", "2024-06-03T12:00Z"),
        ("1m", "2024-06-03T12:00:00.000Z", "2024-06-03T11:59Z", "2024-06-03T12:00Z"),
        ("1m", "2024-06-03T12:00:00.001Z", "2024-06-03T12:00Z", "2024-06-03T12:01Z"),
        ("1h", "2024-06-03T12:00:30Z", "2024-06-03T11:01Z", "2024-06-03T12:01Z"),
        # A day is still exact to the minute, in each of its three spellings.
        ("1d", "2024-06-03T12:00:30Z", "2024-06-02T12:01Z", "2024-06-03T12:01Z"),
        ("24h", "2024-06-03T12:00:30Z", "2024-06-02T12:01Z", "2024-06-03T12:01Z"),
        ("1440m", "2024-06-03T12:00:30Z", "2024-06-02T12:01Z", "2024-06-03T12:01Z"),
        # What is longer steps by whole hours, in UTC.
        ("1441m", "2024-06-03T12:00:00.000Z", "2024-06-02T11:59Z", "2024-06-03T12:00Z"),
        ("25h", "2024-06-03T12:00:00.000Z", "2024-06-02T11:00Z", "2024-06-03T12:00Z"),
        ("25h", "2024-06-03T12:00:00.001Z", "2024-06-02T12:00Z", "2024-06-03T13:00Z"),
        ("7d", "2024-06-03T12:59:59.999Z", "2024-05-27T13:00Z", "2024-06-03T13:00Z"),
        ("7d", "2024-06-03T13:00:00.000Z", "2024-05-27T13:00Z", "2024-06-03T13:00Z"),
    ],
)
def test_a_rolling_window_is_half_open(name: str, now: str, low: str, high: str) -> None:
    """The window of length W at t is [⌈t⌉ - W, ⌈t⌉), hourly where W is over a day."""
    assert parse_window(name, BERLIN).span(ms(now)) == (minute(low), minute(high))


@pytest.mark.parametrize(
    ("zone", "now", "low", "high"),
    [
        # At midnight exactly the new day has begun and holds nothing yet.
        ("Europe/Berlin", "2024-06-03T21:59:59.999Z", "2024-06-02T22:00Z", "2024-06-03T22:00Z"),
        ("Europe/Berlin", "2024-06-03T22:00:00.000Z", "2024-06-03T22:00Z", "2024-06-03T22:00Z"),
        ("Europe/Berlin", "2024-06-03T22:00:00.001Z", "2024-06-03T22:00Z", "2024-06-03T22:01Z"),
        # Clocks go forward on 31 March 2024 at 01:00 UTC: that day has 23 hours.
        ("Europe/Berlin", "2024-03-31T00:59:00Z", "2024-03-30T23:00Z", "2024-03-31T00:59Z"),
        ("Europe/Berlin", "2024-03-31T01:00:00Z", "2024-03-30T23:00Z", "2024-03-31T01:00Z"),
        ("Europe/Berlin", "2024-03-31T21:59:00Z", "2024-03-30T23:00Z", "2024-03-31T21:59Z"),
        ("Europe/Berlin", "2024-03-31T22:01:00Z", "2024-03-31T22:00Z", "2024-03-31T22:01Z"),
        # They go back on 27 October 2024 at 01:00 UTC: that day has 25 hours, 02:30 twice.
        ("Europe/Berlin", "2024-10-27T00:30:00Z", "2024-10-26T22:00Z", "2024-10-27T00:30Z"),
        ("Europe/Berlin", "2024-10-27T01:30:00Z", "2024-10-26T22:00Z", "2024-10-27T01:30Z"),
        ("Europe/Berlin", "2024-10-27T22:59:00Z", "2024-10-26T22:00Z", "2024-10-27T22:59Z"),
        ("Europe/Berlin", "2024-10-27T23:01:00Z", "2024-10-27T23:00Z", "2024-10-27T23:01Z"),
        # Midnight is not on the hour of UTC everywhere.
        ("Asia/Kolkata", "2024-06-03T18:29:00Z", "2024-06-02T18:30Z", "2024-06-03T18:29Z"),
        ("Asia/Kolkata", "2024-06-03T18:31:00Z", "2024-06-03T18:30Z", "2024-06-03T18:31Z"),
        ("Asia/Kathmandu", "2024-06-03T18:16:00Z", "2024-06-03T18:15Z", "2024-06-03T18:16Z"),
        # Clocks jump over midnight in Beirut and repeat it in Havana.
        ("Asia/Beirut", "2024-03-30T22:30:00Z", "2024-03-30T22:00Z", "2024-03-30T22:30Z"),
        ("America/Havana", "2024-11-03T05:30:00Z", "2024-11-03T04:00Z", "2024-11-03T05:30Z"),
    ],
)
def test_today_is_the_local_calendar_day(zone: str, now: str, low: str, high: str) -> None:
    """`today` begins with the first instant of the site's day and ends with ⌈t⌉."""
    window = parse_window("today", ZoneInfo(zone))
    assert window.span(ms(now)) == (minute(low), minute(high))


@pytest.mark.parametrize(
    ("names", "minutes"),
    [(["15m"], 75), (["1h", "15m"], 120), (["7d", "today"], 10_140), (["today"], 27 * 60)],
)
def test_retention_is_the_longest_window_and_an_hour(names: list[str], minutes: int) -> None:
    """A minute is kept an hour longer than any window can hold it; a day may have 26 hours."""
    assert retention_minutes(tuple(parse_window(name, BERLIN) for name in names)) == minutes


@pytest.mark.parametrize("name", ["1m", "15m", "1h", "36h", "1d", "92d", "2208h", "99999m"])
def test_a_length_is_a_number_and_a_unit(name: str) -> None:
    """Minutes, hours and days, up to 92 days."""
    window = parse_window(name)
    unit = {"m": 1, "h": 60, "d": 1440}[name[-1]]
    assert (window.name, window.length_minutes, window.zone) == (name, int(name[:-1]) * unit, None)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "0m",
        "00m",
        "015m",
        "-1h",
        "1.5h",
        "1w",
        "1H",
        "h",
        "15",
        " 15m",
        "15m\n",
        "93d",
        "TODAY",
    ],
)
def test_what_is_no_window_is_refused_by_name(name: str) -> None:
    """The message quotes what was written."""
    with pytest.raises(ValueError, match="expected 'today', or a length") as caught:
        parse_window(name)
    assert repr(name) in str(caught.value)
