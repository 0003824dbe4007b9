"""What a lead reads, word by word; and what an Alertmanager is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from stream.notify.book import Book, Notice
from stream.notify.digest import Digest, Reason
from stream.notify.labels import in_order, labels, posting
from stream.notify.letter import IN_FULL_MAX, IN_LINES_MAX, write_letter
from stream.notify.message import Wording
from stream.notify.roster import Entry, Roster
from stream.notify.succession import APP_CHANGED
from stream.notify.transition import VALUE_BYTES_MAX, Transition, decode_transition
from tests.core.build import ms
from tests.notify.records import record, transition

TOP: Final = Path(__file__).parents[2]
SINCE: Final = ms("2026-03-02T08:42:00Z")
FIRED: Final = ms("2026-03-02T08:57:00Z")
BERLIN: Final = ZoneInfo("Europe/Berlin")
LINKS: Final[Any] = {"agent": "http://g/d/agent?var-agent={id}&var-window={window}&from={since_ms}"}
ROSTER: Final = Roster({"a-17": Entry(name="Mika Adler")})
NOBODY: Final = Roster()


def notice(*, end: str | None = None, name: str = "a-17", **fields: Any) -> Notice:
    """An alert of the second of March 2026, and its end."""
    fired = transition("firing", name, since_ms=SINCE, at_ms=FIRED, **fields)
    book = Book()
    book.take(fired, "Kim", FIRED)
    if end is not None:
        over = transition(end, name, since_ms=SINCE, at_ms=ms("2026-03-02T10:20:00Z"), **fields)
        book.take(over, None, FIRED + 5_000)
    (made,) = book
    return made


def text(said: Notice, roster: Roster = ROSTER) -> str:
    """In words, with a link for agents."""
    return Wording(BERLIN, LINKS).message(said, roster).text()


def test_a_target_of_half_a_per_cent_is_said() -> None:
    """Whoever has 98 % of at least 98.5 % reads why that is a miss."""
    assert "csat 98%, target at least 98.5% " in text(notice(target=">= 0.985", value=0.984))


def test_a_miss_in_full() -> None:
    """Who, what, how sure, since when, what for, what to do, where to look."""
    assert text(notice()) == (
        "Mika Adler (a-17), team billing\n"
        "  what:       csat 57%, target at least 85% (goal agent-csat, window today)\n"
        "  how sure:   28 surveys; 90% sure that it lies between 42% and 71%\n"
        "  since:      Mon 02 Mar 09:42 CET, told after 15m\n"
        "  what for:   Customers leave satisfied.\n"
        "  what to do: Listen to the low-rated calls together before saying anything else.\n"
        f"  look at:    http://g/d/agent?var-agent=a-17&var-window=today&from={SINCE}"
    )


def test_the_readme_shows_what_is_sent() -> None:
    """Its example is the one above, with the readme's own link."""
    links: Any = {
        "agent": "http://grafana.example/d/kpi-stream-agent?var-agent={id}&from={since_ms}"
    }
    said = Wording(BERLIN, links).message(notice(), ROSTER).text()
    assert f"[warning] {said}\n```" in (TOP / "README.md").read_text()


def test_an_end_says_how_it_came_and_not_what_to_do() -> None:
    """With the figures of the end and how long it had lasted."""
    said = text(notice(end="resolved"))
    assert "  now:        met again, 90% of 40 surveys, Mon 02 Mar 11:20 CET, after 1h38m\n" in said
    assert "what to do" not in said
    assert "which is not a success" in text(notice(end="ended_no_data"))
    assert "no longer configured" in text(notice(end="withdrawn"))
    left = text(notice(end="withdrawn", app="old", reason=APP_CHANGED))
    assert "  now:        no longer judged: app old has a successor, " in left


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        ({}, "agent a-17, team billing"),
        ({"team": None}, "agent a-17"),
        ({"scope": "queue", "name": "invoices"}, "queue invoices, team billing"),
        ({"scope": "site", "name": "north", "team": None}, "site north"),
        ({"scope": "team", "name": "billing"}, "team billing"),
    ],
)
def test_where_there_is_no_name_the_id_is_shown(fields: dict[str, Any], who: str) -> None:
    """And only agents have names in the roster; one that is the id says nothing more."""
    assert text(notice(**fields), NOBODY).splitlines()[0] == who
    assert text(notice(**fields), Roster({"a-17": Entry(name="a-17")})).splitlines()[0] == who


def test_a_mean_has_no_bounds_and_a_newer_kpi_a_bare_number() -> None:
    """What is not known is not made up."""
    mean: dict[str, Any] = {
        "kpi": "handle_time",
        "unit": "seconds",
        "target": "<= 390",
        "value": 411.5,
    }
    said = text(notice(**mean, samples=1))
    assert "handle time 6m51s, target at most 6m30s" in said
    assert "  how sure:   1 contact\n" in said
    newer = text(notice(kpi="effort", unit="points", target="<= 3", value=3.5, samples=9))
    assert "effort 3.5, target at most 3 " in newer
    assert "  how sure:   9 samples\n" in newer


def test_a_team_says_how_many_of_its_agents_miss_it_too() -> None:
    """Half of them or more: a common cause; fewer: see who."""
    about: dict[str, Any] = {"scope": "team", "name": "billing", "agents_judged": 4}
    assert "2 of 4 agents judged on it miss it: look for a common cause" in text(
        notice(**about, agents_missing=2)
    )
    assert "; 1 of 4 agents judged on it miss it\n" in text(notice(**about, agents_missing=1))


def test_an_id_cannot_break_out_of_a_link() -> None:
    """Ids are the producers' to choose."""
    assert "var-agent=a%26from%3D0%20%2F&" in text(notice(name="a&from=0 /"))


# ---------------------------------------------------------------- to Alertmanager


def test_labels_say_which_alert_it_is_and_stay_as_they_were() -> None:
    """Also at its end, when the worker may not know the team any more."""
    expected = {
        "alertname": "agent-csat",
        "severity": "warning",
        "kpi": "csat",
        "scope": "agent",
        "id": "a-17",
        "window": "today",
        "team": "billing",
        "lead": "Kim",
    }
    assert labels(notice()) == labels(notice(end="withdrawn")) == expected


@pytest.mark.parametrize(
    ("judged", "missing", "label"), [(3, 1, "false"), (4, 2, "true"), (0, 0, "false")]
)
def test_half_of_those_judged_make_a_miss_widespread(judged: int, missing: int, label: str) -> None:
    """And none of none does not."""
    about: dict[str, Any] = {"scope": "team", "name": "billing"}
    said = labels(notice(**about, agents_judged=judged, agents_missing=missing))
    assert said["widespread"] == label


def test_it_is_posted_from_when_it_was_seen_until_it_is_over() -> None:
    """While it fires, until nothing has been heard for `keep`."""
    message = Wording(BERLIN, {}).message(notice(), NOBODY)
    posted = posting(notice(), message, FIRED + 60_000, 3_600_000)
    assert posted["startsAt"] == "2026-03-02T08:57:00.000+00:00"
    assert posted["endsAt"] == "2026-03-02T09:58:00.000+00:00"
    assert "generatorURL" not in posted
    over = posting(notice(end="resolved"), message, FIRED + 60_000, 3_600_000)
    assert over["endsAt"] == "2026-03-02T08:57:05.000+00:00"
    assert {"value": "0.9", "samples": "40"}.items() <= over["annotations"].items()


def test_a_clock_that_was_put_back_ends_an_alert_all_the_same() -> None:
    """Seen a day ahead, it would fire for a day more."""
    yesterday = FIRED - 86_400_000
    message = Wording(BERLIN, {}).message(notice(), NOBODY)
    over = posting(notice(end="resolved"), message, yesterday, 3_600_000)
    assert over["startsAt"] == over["endsAt"] == "2026-03-01T08:57:00.000+00:00"
    fires = posting(notice(), message, yesterday, 3_600_000)
    assert fires["endsAt"] == "2026-03-01T09:57:00.000+00:00"


def test_of_alerts_with_the_same_labels_the_last_counts_and_ends_come_last() -> None:
    """The end of one must not end its successor; what inhibits others comes first."""
    first, second = notice(end="resolved"), notice()
    wide = notice(scope="team", name="billing", agents_judged=2, agents_missing=2)
    over = notice(name="a-2", end="resolved")
    assert in_order([over, first, second, wide]) == [[wide], [second], [over]]


# ---------------------------------------------------------------- letters


def letter(**parts: tuple[Notice, ...]) -> str:
    """A digest in words."""
    none: dict[str, Any] = dict.fromkeys(("new", "still", "over", "passed"), ())
    reason: Reason = "changed" if parts.keys() - {"still"} else "unchanged"
    wording = Wording(BERLIN, {})
    digest = Digest(reason, **{**none, **parts})
    return write_letter(digest, "0a1b2c3d", lambda n: wording.message(n, ROSTER)).text


def test_a_letter_has_news_in_full_and_the_rest_in_lines() -> None:
    """And its key at the end, by which a repeat is known."""
    said = letter(new=(notice(),), still=(notice(name="a-2"),), over=(notice(end="resolved"),))
    assert said.startswith("Missed now\n\n[warning] Mika Adler (a-17), team billing\n  what:")
    assert "Still missed\n\n[warning] agent a-2, team billing: csat 57%, target" in said
    assert "Over\n\n[warning] Mika Adler (a-17), team billing\n" in said
    assert said.endswith("\nMessage 0a1b2c3d")
    assert "  what to do: " in letter(still=(notice(),))


def test_a_letter_is_bounded() -> None:
    """So many in full, so many in a line, and the rest as a number."""
    count = IN_FULL_MAX + IN_LINES_MAX + 7
    said = letter(new=tuple(notice(name=f"a-{n}") for n in range(count)))
    assert said.count("what to do:") == IN_FULL_MAX
    assert said.count("[warning]") == IN_FULL_MAX + IN_LINES_MAX
    assert "… and 7 more" in said


# ---------------------------------------------------------------- records


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (None, "tombstone"),
        (b"{", "truncated"),
        (b'{"v": 1}', "alert_id"),
        (b"[]", "Expected `object`"),
    ],
)
def test_what_is_no_alert_is_said(value: bytes | None, fault: str) -> None:
    """With the place in it."""
    with pytest.raises(ValueError, match=fault):
        decode_transition(value)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"since": "yesterday"}, "since: 'yesterday' is no instant"),
        ({"since": "2026-06-03T12:00:00"}, "since: .* with an offset"),
        ({"at": "9999-12-31T23:59:59Z"}, "at: .* 1970 to 2100"),
        ({"fired_at": ""}, "fired_at: '' is no instant"),
        ({"target": ">= much"}, "target: '>= much' has no number"),
        ({"target": ">= 1e999"}, "target: '>= 1e999' has no number"),
        ({"purpose": "p" * VALUE_BYTES_MAX}, "bytes, more than"),
    ],
)
def test_what_could_not_be_put_into_words_or_kept_is_no_alert(
    fields: dict[str, Any], fault: str
) -> None:
    """Kept, it would end the notifier at every start anew."""
    with pytest.raises(ValueError, match=fault):
        decode_transition(json.dumps({**record(), **fields}).encode())


@pytest.mark.parametrize("fields", [{"value": 7.5}, {"value": -0.5}, {"samples": -3}])
def test_a_rate_that_is_none_is_told_without_bounds(fields: dict[str, Any]) -> None:
    """A wrong figure is no reason to tell nobody."""
    said = text(notice(**fields))
    assert "how sure" in said
    assert "% sure" not in said


def test_another_version_is_not_read_and_unknown_fields_are() -> None:
    """What has a meaning keeps it within a version, so more fields do no harm."""
    newer = transition(feeling="blue")
    assert newer == transition(since_ms=ms(newer.since), at_ms=ms(newer.at))
    with pytest.raises(ValueError, match="v: 2; this version reads 1"):
        transition(v=2)


def test_a_repeated_transition_changes_nothing() -> None:
    """Nor does an end without its beginning, or what never fired."""
    book = Book()

    def take(said: Transition) -> bool:
        return book.take(said, None, FIRED) is not None

    fired, over = (transition(state, since_ms=SINCE) for state in ("firing", "resolved"))
    assert [take(each) for each in (over, fired, fired, over, over, fired)] == [
        *(False, True, False, True, False, False)
    ]
    assert not take(transition("pending", "a-2"))
    assert not take(transition("cancelled", "a-2"))
    assert len(book) == 1


def test_a_new_id_at_the_same_place_takes_the_old_ones_place() -> None:
    """A worker that lost its state begins anew; of the old alert nobody would say that it ended."""
    book = Book()
    book.take(transition(since_ms=SINCE), None, FIRED)
    book.take(transition("firing", "a-2", since_ms=SINCE), None, FIRED)
    again = transition(since_ms=SINCE + 60_000)
    assert book.superseded_by(again) == [transition(since_ms=SINCE).alert_id]
    assert book.superseded_by(transition(since_ms=SINCE)) == []
    assert book.superseded_by(transition("resolved", since_ms=SINCE + 60_000)) == []
