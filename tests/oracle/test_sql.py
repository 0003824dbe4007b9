"""The oracle judged by hand: tiny cases with literal answers, and the totals of the real data."""

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from . import data_dir
from .adapters import Event, anonymous_bank, shopzilla
from .sql import SCOPES, Oracle, Value, epoch_ms

_NUMBERS = itertools.count()
_BANK = data_dir() / "anonymous_bank" / "calls.tsv"
_SHOP = data_dir() / "shopzilla" / "contacts.csv"
_NOON = "2024-06-03T12:00:00Z"


def call(ended_at: str | int = "2024-06-03T11:59:00Z", **fields: Any) -> Event:
    """A handled interaction of agent a1, a minute before noon, unless told otherwise."""
    event = {"event_id": f"i{next(_NUMBERS)}", "outcome": "handled", "agent_id": "a1"}
    return {"type": "interaction", "ended_at": ended_at} | event | fields


def survey(answered_at: str | int = "2024-06-03T11:59:00Z", **fields: Any) -> Event:
    """A survey about agent a1, a minute before noon, unless told otherwise."""
    event = {"event_id": f"s{next(_NUMBERS)}", "agent_id": "a1"}
    return {"type": "survey", "answered_at": answered_at} | event | fields


def kpis(
    events: list[Event], scope: str, id_: str, /, *, at: str = _NOON, **options: Any
) -> dict[str, Value]:
    """The KPIs of one id in the last hour before an instant."""
    oracle = Oracle(events, **options)
    return oracle.expected(epoch_ms(at), scope, ["1h"])[id_, "1h"]


def handled(
    oracle: Oracle, at: str, window: str, included: Mapping[tuple[str, int], int] | None = None
) -> int:
    """How many legs agent a1 handled in a window."""
    result = oracle.expected(epoch_ms(at), "agent", [window], included)
    return result.get(("a1", window), {"handled": (None, 0)})["handled"][1]


# ---------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("text", "millis"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1500),
        ("1970-01-01t02:00:00.0019+02:00", 1),
        ("1969-12-31T23:00:00-01:00", 0),
        ("2000-03-01T00:00:00Z", 951_868_800_000),
        (1234, 1234),
    ],
)
def test_times_are_read_to_the_millisecond(text: str | int, millis: int) -> None:
    """RFC 3339 with any offset and epoch milliseconds denote the same instants."""
    assert epoch_ms(text) == millis


@pytest.mark.parametrize("text", ["2024-06-03", "2024-06-03T12:00:00", "1717416000000"])
def test_other_times_are_refused(text: str) -> None:
    """A time without an offset says nothing certain, so it is an error."""
    with pytest.raises(ValueError, match="not an RFC 3339 time"):
        epoch_ms(text)


def test_window_includes_its_start_and_excludes_its_end() -> None:
    """The hour up to noon holds 11:00:00.000 and 11:59:59.999 but neither neighbour."""
    ends = ["10:59:59.999", "11:00:00.000", "11:59:59.999", "12:00:00.000"]
    oracle = Oracle([call(f"2024-06-03T{end}Z") for end in ends])
    assert handled(oracle, _NOON, "1h") == 2


def test_window_ends_at_the_next_full_minute() -> None:
    """A millisecond after noon the hour runs from 11:01 to 12:01, so 12:00:59 is in already."""
    ends = ["11:00:59", "11:01:00", "12:00:59", "12:01:00"]
    oracle = Oracle([call(f"2024-06-03T{end}Z") for end in ends])
    assert handled(oracle, "2024-06-03T12:00:00.001Z", "1h") == 2
    assert handled(oracle, "2024-06-03T12:01:00.000Z", "1h") == 2
    assert handled(oracle, "2024-06-03T12:01:00.001Z", "1h") == 2
    assert handled(oracle, "2024-06-03T12:01:00.001Z", "15m") == 2


def test_windows_over_a_day_move_by_the_hour() -> None:
    """At 12:00:01 seven days end at 13:00; a day, which is not over a day, ends at 12:01."""
    oracle = Oracle([])
    at = epoch_ms("2024-06-08T12:00:01Z")
    week = ("2024-06-01T13:00:00Z", "2024-06-08T13:00:00Z")
    day = ("2024-06-07T12:01:00Z", "2024-06-08T12:01:00Z")
    assert oracle.bounds(at, "7d") == tuple(map(epoch_ms, week))
    assert oracle.bounds(at, "1d") == oracle.bounds(at, "24h") == tuple(map(epoch_ms, day))
    assert oracle.bounds(at, "25h")[1] == epoch_ms(week[1])
    assert oracle.bounds(epoch_ms(week[1]), "7d") == tuple(map(epoch_ms, week))


@pytest.mark.parametrize("window", ["7w", "0m", "h", "1.5h", "", "Today"])
def test_unknown_windows_are_refused(window: str) -> None:
    """A window that nobody defined is an error, not an empty answer."""
    with pytest.raises(ValueError, match="not a window"):
        Oracle([]).bounds(0, window)


@pytest.mark.parametrize(
    ("zone", "at", "start", "end"),
    [
        # The clocks went forward at 02:00, so the day began at +1 and 10:00 is at +2.
        (
            "Europe/Berlin",
            "2024-03-31T10:00:00+02:00",
            "2024-03-31T00:00:00+01:00",
            "2024-03-31T10:00:00+02:00",
        ),
        # Back at 03:00: the last minute of a day of 25 hours.
        (
            "Europe/Berlin",
            "2024-10-27T23:59:59+01:00",
            "2024-10-27T00:00:00+02:00",
            "2024-10-28T00:00:00+01:00",
        ),
        # At midnight itself the day is new and empty.
        (
            "Europe/Berlin",
            "2024-06-03T00:00:00+02:00",
            "2024-06-03T00:00:00+02:00",
            "2024-06-03T00:00:00+02:00",
        ),
        # UTC's day is another.
        (
            "UTC",
            "2024-06-03T00:00:00.5+02:00",
            "2024-06-02T00:00:00Z",
            "2024-06-02T22:01:00Z",
        ),
        # Midnight was skipped (forward at 24:00): the day began at 01:00.
        (
            "Africa/Cairo",
            "2024-04-26T09:00:00+03:00",
            "2024-04-26T01:00:00+03:00",
            "2024-04-26T09:00:00+03:00",
        ),
        # Midnight struck twice (back at 01:00): the day began with the first.
        (
            "America/Havana",
            "2024-11-03T09:00:00-05:00",
            "2024-11-03T00:00:00-04:00",
            "2024-11-03T09:00:00-05:00",
        ),
        (
            "America/Havana",
            "2024-11-03T00:30:00-04:00",
            "2024-11-03T00:00:00-04:00",
            "2024-11-03T00:30:00-04:00",
        ),
    ],
)
def test_today_begins_at_local_midnight(zone: str, at: str, start: str, end: str) -> None:
    """The window 'today' is the local calendar day up to the next full minute, clocks and all."""
    bounds = Oracle([], timezone=zone).bounds(epoch_ms(at), "today")
    assert bounds == (epoch_ms(start), epoch_ms(end))


def test_today_counts_the_events_of_a_day_that_lost_an_hour() -> None:
    """In Berlin on 31 March 2024 one call before midnight is out, those around the gap are in."""
    ends = ["30T23:59:59+01:00", "31T00:00:00+01:00", "31T01:59:59+01:00", "31T03:00:00+02:00"]
    oracle = Oracle([call(f"2024-03-{end}") for end in ends], timezone="Europe/Berlin")
    assert handled(oracle, "2024-03-31T10:00:00+02:00", "today") == 3


# ---------------------------------------------------------------- which events count


def test_first_of_duplicates_wins() -> None:
    """An id counts once within its kind; an interaction and a survey may share one."""
    events = [
        call(event_id="x", talk_ms=1000),
        call(event_id="x", talk_ms=9000),
        survey(event_id="x", csat=5),
        survey(event_id="x", csat=1),
    ]
    result = kpis(events, "agent", "a1")
    assert result["handled"] == (1.0, 1)
    assert result["talk_time"] == (1.0, 1)
    assert result["csat_mean"] == (5.0, 1)


def test_duplicate_is_not_rescued_by_its_time() -> None:
    """The first event with an id wins even where it lies outside the window and the next inside."""
    events = [call("2024-06-02T11:59:00Z", event_id="x"), call(event_id="x")]
    assert handled(Oracle(events), _NOON, "1h") == 0


def test_only_included_offsets_count() -> None:
    """Offsets below the number given for kind and partition count; absent partitions do not."""
    events = [call(_partition=0, _offset=offset) for offset in range(3)]
    events += [call(_partition=1, _offset=7), call()]
    events += [survey(_partition=0, _offset=0, csat=4)]
    oracle = Oracle(events)
    at = epoch_ms(_NOON)
    assert handled(oracle, _NOON, "1h") == 5
    assert handled(oracle, _NOON, "1h", {("interaction", 0): 2}) == 2
    assert handled(oracle, _NOON, "1h", {("interaction", 0): 2, ("interaction", 1): 8}) == 3
    assert handled(oracle, _NOON, "1h", {("survey", 0): 1}) == 0
    assert oracle.expected(at, "agent", ["1h"], {}) == {}
    assert handled(oracle, _NOON, "1h") == 5


def test_duplicates_are_judged_among_the_included() -> None:
    """When the first event with an id is not included, the next one is the first."""
    events = [
        call(event_id="x", _partition=0, _offset=5, talk_ms=1000),
        call(event_id="x", _partition=1, _offset=0, talk_ms=9000),
    ]
    oracle = Oracle(events)
    included = {("interaction", 0): 5, ("interaction", 1): 1}
    result = oracle.expected(epoch_ms(_NOON), "agent", ["1h"], included)
    assert result["a1", "1h"]["talk_time"] == (9.0, 1)


def test_only_ids_with_events_in_the_window_appear() -> None:
    """An agent seen an hour ago is absent now; rows without an id make no id."""
    events = [call("2024-06-03T10:30:00Z"), call(agent_id=None), survey(agent_id="a2")]
    result = Oracle(events).expected(epoch_ms(_NOON), "agent", ["1h", "8h"])
    assert set(result) == {("a2", "1h"), ("a1", "8h"), ("a2", "8h")}


@pytest.mark.parametrize("scope", SCOPES)
def test_scopes_use_their_own_column(scope: str) -> None:
    """Every scope finds a leg by its own id and has service KPIs unless it is the agent's."""
    ids = {"team_id": "t", "site_id": "s", "queue": "q", "channel": "c", "campaign": "k"}
    wanted = {"agent": "a1", "team": "t", "queue": "q", "channel": "c", "campaign": "k"}
    result = kpis([call(**ids)], scope, wanted.get(scope, "s"))
    assert result["handled"] == (1.0, 1)
    assert ("offered" in result) == (scope != "agent")


# ---------------------------------------------------------------- KPIs of every scope


def test_times_are_means_over_the_legs_that_know_them() -> None:
    """An unknown talk time takes the leg out; unknown hold and wrap times add nothing to it."""
    events = [
        call(talk_ms=100_000, hold_ms=20_000, wrap_ms=30_000),
        call(talk_ms=50_000),
        call(hold_ms=0, wrap_ms=10_000),
        call(outcome="abandoned", talk_ms=999_000, hold_ms=999_000, wrap_ms=999_000),
    ]
    result = kpis(events, "agent", "a1")
    assert result["handled"] == (3.0, 3)
    assert result["handle_time"] == (100.0, 2)
    assert result["talk_time"] == (75.0, 2)
    assert result["hold_time"] == (10.0, 2)
    assert result["hold_time_held"] == (20.0, 1)
    assert result["wrap_time"] == (20.0, 2)


def test_rates_of_legs() -> None:
    """Only agents' transfers of handled legs count; resolution counts wherever it is known."""
    events = [
        call(transferred_by="agent", resolved=True),
        call(transferred_by="queue", resolved=False),
        call(transferred_by="flow"),
        call(),
        call(outcome="no_answer", transferred_by="agent", resolved=False),
    ]
    result = kpis(events, "agent", "a1")
    assert result["transfer_rate"] == (0.25, 4)
    assert result["resolution_rate"] == (1 / 3, 3)


def test_agents_legs_count_in_every_direction() -> None:
    """For the agent's own work, later legs and outbound calls are work like any other."""
    events = [call(leg=2), call(direction="outbound"), call(direction="internal", leg=3)]
    assert kpis(events, "agent", "a1")["handled"] == (3.0, 3)


def test_surveys() -> None:
    """Scores are judged each by its own answers; detractors begin at 0, passives count."""
    events = [
        survey(csat=5, nps=10, ces=7),
        survey(csat=4, nps=8, resolved=True),
        survey(csat=3, nps=0, ces=2),
        survey(nps=9),
        survey(),
    ]
    result = kpis(events, "agent", "a1")
    assert result["csat"] == (2 / 3, 3)
    assert result["csat_mean"] == (4.0, 3)
    assert result["nps"] == (25.0, 4)
    assert result["ces"] == (4.5, 2)
    assert result["surveys"] == (5.0, 5)
    assert result["resolution_rate"] == (None, 0)


def test_net_promoter_score_can_be_negative() -> None:
    """One promoter and two detractors of six make -100/6."""
    assert kpis([survey(nps=0), survey(nps=9)], "agent", "a1")["nps"] == (0.0, 2)
    scores = [9, 6, 5, 7, 8, 7]
    result = kpis([survey(nps=nps) for nps in scores], "agent", "a1")
    assert result["nps"] == (-100 / 6, 6)


def test_nothing_known_is_null() -> None:
    """Without samples a KPI is None, and so is a count of nothing."""
    result = kpis([call(outcome="other", queue="q")], "queue", "q")
    assert len(result) == 17
    assert set(result.values()) == {(None, 0)}


# ---------------------------------------------------------------- service KPIs


def queue_calls(**fields: Any) -> list[Event]:
    """Ten inbound legs on queue q: the arithmetic of the service KPIs on one page."""
    legs = [
        ("handled", 20_000),  # within 20 s
        ("handled", 20_001),
        ("handled", None),
        ("abandoned", 5000),  # short
        ("abandoned", 5001),
        ("abandoned", None),  # not known to be short
        ("callback", 1000),
        ("voicemail", None),
        ("overflowed", 90_000),
        ("no_answer", 1000),  # not offered
    ]
    return [
        call(outcome=outcome, wait_ms=wait, queue="q", channel="c", **fields)
        for outcome, wait in legs
    ]


def test_service_kpis() -> None:
    """Short abandons leave both sides; legs without a wait leave the service level only."""
    result = kpis(queue_calls(), "queue", "q")
    assert result["offered"] == (9.0, 9)
    assert result["service_level"] == (1 / 3, 3)
    assert result["answer_time"] == (40.001 / 2, 2)
    assert result["abandon_rate"] == (2 / 8, 8)


def test_sums_are_exact_integers() -> None:
    """The parts of every KPI are integers in milliseconds, legs and answers."""
    oracle = Oracle([*queue_calls(), survey(queue="q", nps=3), survey(queue="q", csat=2)])
    sums = oracle.sums(epoch_ms(_NOON), "queue", ["1h"])["q", "1h"]
    assert sums["offered"] == (9, 1)
    assert sums["service_level"] == (1, 3)
    assert sums["answer_time"] == (40_001, 2)
    assert sums["abandon_rate"] == (2, 8)
    assert sums["nps"] == (-1, 1)
    assert sums["csat_mean"] == (2, 1)
    assert sums["talk_time"] == (0, 0)
    assert sums["surveys"] == (2, 1)


def test_thresholds_can_be_set_for_all_and_by_queue() -> None:
    """A queue's own thresholds replace the general ones, in the scopes above it too."""
    events = [*queue_calls(), call(wait_ms=25_000, queue="other", channel="c")]
    own = {"q": (30_000, 6000)}
    result = kpis(events, "queue", "q", queue_thresholds=own)
    assert result["service_level"] == (1.0, 2)
    assert result["abandon_rate"] == (1 / 7, 7)
    result = kpis(events, "channel", "c", queue_thresholds=own)
    assert result["service_level"] == (2 / 3, 3)
    result = kpis(events, "channel", "c", service_s=25, short_s=0)
    assert result["service_level"] == (3 / 5, 5)
    assert result["abandon_rate"] == (3 / 10, 10)


@pytest.mark.parametrize("direction", ["outbound", "internal"])
def test_only_inbound_calls_are_served(direction: str) -> None:
    """Calls of other directions are handled but never offered."""
    result = kpis(queue_calls(direction=direction), "queue", "q")
    assert result["handled"] == (3.0, 3)
    for name in ("offered", "service_level", "answer_time", "abandon_rate"):
        assert result[name] == (None, 0)


def test_later_legs_are_served_by_queues_only() -> None:
    """A transferred customer waits again in a queue, but was offered to the channel once."""
    events = [call(queue="q", channel="c", wait_ms=1000, leg=leg) for leg in (1, 2, 3)]
    assert kpis(events, "queue", "q")["offered"] == (3.0, 3)
    result = kpis(events, "channel", "c")
    assert result["offered"] == (1.0, 1)
    assert result["handled"] == (3.0, 3)


def test_agents_have_no_service_kpis() -> None:
    """Whether a call was answered in time is the queue's doing."""
    result = kpis(queue_calls(), "agent", "a1")
    assert not {"offered", "service_level", "answer_time", "abandon_rate"} & set(result)


def test_queue_answers_to_its_team() -> None:
    """Service goes by the queue's team, whoever helped out; work goes by the agent's team."""
    events = [
        call(queue="q", team_id="t2", wait_ms=1000),
        call(queue="q", outcome="abandoned", wait_ms=9000, agent_id=None),
        call(queue="unmapped", team_id="t2", wait_ms=1000),
        call(queue="q", team_id="t2", wait_ms=1000, leg=2),
    ]
    oracle = Oracle(events, queue_teams={"q": "t1"})
    result = oracle.expected(epoch_ms(_NOON), "team", ["1h"])
    assert set(result) == {("t1", "1h"), ("t2", "1h")}
    first, second = result["t1", "1h"], result["t2", "1h"]
    assert first["offered"] == (2.0, 2)
    assert first["service_level"] == (0.5, 2)
    assert first["handled"] == (None, 0)
    assert second["offered"] == (None, 0)
    assert second["handled"] == (3.0, 3)


def test_events_without_team_go_by_their_queue() -> None:
    """Work and surveys without a team belong to the team of their queue, when it has one."""
    events = [
        call(queue="q", talk_ms=7000),
        call(queue="unmapped", talk_ms=9000),
        survey(queue="q", csat=5),
        survey(queue="q", csat=1, team_id="t2"),
        survey(csat=1),
    ]
    oracle = Oracle(events, queue_teams={"q": "t1"})
    result = oracle.expected(epoch_ms(_NOON), "team", ["1h"])
    assert set(result) == {("t1", "1h"), ("t2", "1h")}
    assert result["t1", "1h"]["talk_time"] == (7.0, 1)
    assert result["t1", "1h"]["csat_mean"] == (5.0, 1)
    assert result["t2", "1h"]["csat_mean"] == (1.0, 1)


def test_without_a_map_no_team_is_served() -> None:
    """A team's service KPIs need the map of queues to teams."""
    result = kpis([call(queue="q", team_id="t", wait_ms=0)], "team", "t")
    assert result["handled"] == (1.0, 1)
    assert result["offered"] == (None, 0)


# ---------------------------------------------------------------- the real data


@pytest.fixture(scope="module")
def bank() -> list[Event]:
    """The calls of an Israeli bank in February 1999."""
    if not _BANK.exists():
        pytest.skip("the bank's data is not here")
    return list(anonymous_bank(_BANK))


@pytest.fixture(scope="module")
def shop() -> list[Event]:
    """The contacts and surveys of an Indian web shop in August 2023."""
    if not _SHOP.exists():
        pytest.skip("the shop's data is not here")
    return list(shopzilla(str(_SHOP)))


def unique_ids(events: list[Event]) -> bool:
    """Whether no two events share an id."""
    return len({event["event_id"] for event in events}) == len(events)


def longest(events: list[Event]) -> Iterator[int]:
    """The lengths of all texts but the comments."""
    for event in events:
        yield from (len(v) for k, v in event.items() if isinstance(v, str) and k != "comment")


def test_bank_has_every_call_but_the_phantoms(bank: list[Event]) -> None:
    """The counts are those of the data set's notes, and nothing unknown is given a value."""
    assert len(bank) == 33_066
    assert unique_ids(bank)
    assert {event["type"] for event in bank} == {"interaction"}
    assert Counter(event["outcome"] for event in bank) == {"handled": 27_162, "abandoned": 5904}
    agents = {event.get("agent_id"): event.get("team_id") for event in bank}
    assert agents.pop(None) is None
    assert len(agents) == 24
    assert Counter(agents.values()) == {f"team-{number}": 6 for number in (1, 2, 3, 4)}
    without = [event for event in bank if "agent_id" not in event]
    assert Counter(event["outcome"] for event in without) == {"abandoned": 5904, "handled": 491}
    assert not any(None in event.values() or "0" in event.values() for event in bank)


def test_bank_times_are_plausible(bank: list[Event]) -> None:
    """All calls end in Israel's February 1999, in order; waits and talks are within the notes'."""
    israel = ZoneInfo("Asia/Jerusalem")
    ends = [event["ended_at"] for event in bank]
    assert ends == sorted(ends)
    assert dt.datetime.fromtimestamp(ends[0] / 1000, israel).date() == dt.date(1999, 2, 1)
    assert dt.datetime.fromtimestamp(ends[-1] / 1000, israel) < dt.datetime(
        1999, 3, 1, 1, tzinfo=israel
    )
    assert max(event.get("talk_ms", 0) for event in bank) == 4_264_000
    assert all(0 <= event["wait_ms"] < 3_600_000 for event in bank)
    assert all(("talk_ms" in event) == (event["outcome"] == "handled") for event in bank)


def test_bank_calls_over_midnight_end_the_next_day(bank: list[Event]) -> None:
    """Rows dated 15, 10 and 20 February whose last step came after midnight."""
    ends = {event["event_id"]: event["ended_at"] for event in bank}
    assert ends["AA0102-31056"] == epoch_ms("1999-02-16T00:01:33+02:00")
    assert ends["AA0105-35608"] == epoch_ms("1999-02-11T00:00:26+02:00")
    assert ends["AA0102-31307"] == epoch_ms("1999-02-21T00:01:28+02:00")
    # Not the VRU's inverted times, and a call that never queued.
    assert ends["AA0106-37110"] == epoch_ms("1999-02-23T15:57:34+02:00")
    assert ends["AA0101-34536"] == epoch_ms("1999-02-01T07:05:41+02:00")


def test_bank_totals(bank: list[Event]) -> None:
    """A window over the whole month holds exactly the notes' totals."""
    oracle = Oracle(bank, queue_teams={"PS": "private"})
    at = epoch_ms("1999-03-02T00:00:00+02:00")
    site = oracle.expected(at, "site", ["30d"])["haifa", "30d"]
    assert site["handled"] == (27_162.0, 27_162)
    assert site["offered"] == (33_066.0, 33_066)
    assert site["surveys"] == (None, 0)
    assert site["hold_time"] == (None, 0)
    queues = oracle.expected(at, "queue", ["30d"])
    assert {id_ for id_, _ in queues} == {"PS", "NW", "NE", "TT", "IN", "PE"}
    assert sum(values["offered"][1] for values in queues.values()) == 33_066
    teams = oracle.expected(at, "team", ["30d"])
    assert teams["private", "30d"]["offered"] == queues["PS", "30d"]["offered"]
    assert sum(row["handled"][1] for row in teams.values()) == 27_162 - sum(
        "agent_id" not in event and event["outcome"] == "handled" and event["queue"] != "PS"
        for event in bank
    )


def test_shop_has_a_contact_and_a_survey_for_every_row(shop: list[Event]) -> None:
    """The counts are those of the data set's notes."""
    assert Counter(event["type"] for event in shop) == {"interaction": 17_182, "survey": 17_182}
    assert unique_ids(shop)
    contacts = [event for event in shop if event["type"] == "interaction"]
    assert {event["outcome"] for event in contacts} == {"handled"}
    assert len({event["agent_id"] for event in shop}) == 1368
    assert len({event["team_id"] for event in shop}) == 40
    assert len({event["site_id"] for event in shop}) == 6
    assert len({event["queue"] for event in shop}) == 12
    assert len({event["reason"] for event in shop}) == 54
    assert sum("talk_ms" in event for event in contacts) == 46
    assert Counter(event["channel"] for event in contacts) == {
        "inbound": 13_644,
        "outcall": 2943,
        "email": 595,
    }
    assert sum(event.get("direction") == "outbound" for event in contacts) == 2943


def test_shop_texts_and_times_are_plausible(shop: list[Event]) -> None:
    """Answers are of August 2023 in India, in order; first responses within the notes' maximum."""
    ends = [event["ended_at" if "ended_at" in event else "answered_at"] for event in shop]
    assert ends == sorted(ends)
    assert ends[0].startswith("2023-08-01T")
    assert ends[-1].startswith("2023-08-31T")
    assert all(end.endswith(":00+05:30") for end in ends)
    assert max(longest(shop)) <= 200
    comments = [event["comment"] for event in shop if "comment" in event]
    assert all(0 < len(text) <= 2000 and text == text.strip() for text in comments)
    responses = {
        event["event_id"]: (event["ended_at"], event["first_response_ms"])
        for event in shop
        if "first_response_ms" in event
    }
    assert all(0 <= taken <= 5721 * 60_000 for _, taken in responses.values())
    assert not any(end.startswith("2023-08-28") for end, _ in responses.values())
    assert responses["fc42f862-7521-472c-b569-8bce866ebe8c"][1] == 9 * 60_000


def test_shop_totals(shop: list[Event]) -> None:
    """A window over the whole month holds exactly the notes' totals."""
    oracle = Oracle(shop, timezone="Asia/Kolkata")
    at = epoch_ms("2023-09-01T00:00:00+05:30")
    channels = oracle.sums(at, "channel", ["40d"])
    surveys = sum(row["surveys"][0] for row in channels.values())
    assert surveys == sum(row["handled"][0] for row in channels.values()) == 17_182
    assert sum(row["csat"][0] for row in channels.values()) == 11_934 + 2277
    means = oracle.expected(at, "channel", ["40d"])
    assert means["email", "40d"]["csat_mean"][0] == pytest.approx(3.88, abs=0.005)
    assert means["inbound", "40d"]["offered"] == (13_644.0, 13_644)
    assert means["outcall", "40d"]["offered"] == (None, 0)
