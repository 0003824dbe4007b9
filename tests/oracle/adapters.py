"""Turn two real data sets into events of schema v1, in the order of their event times.

Each function is an adapter for `kpi-stream replay FILE --adapter FILE.py:FUNCTION`, so this module
stands alone: it imports only the standard library.
"""

import csv
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

Event = dict[str, Any]

_DAY_S: Final = 86_400
_EPOCH: Final = dt.date(1970, 1, 1)
_ISRAEL_S: Final = 2 * 3600  # Asia/Jerusalem was at UTC+2 in all of February 1999
_INDIA: Final = dt.timezone(dt.timedelta(hours=5, minutes=30))
_MAX_TEXT: Final = 200
_MAX_COMMENT: Final = 2000
_UNSET: Final = "0:00:00"  # the bank's sentinel; a true midnight has a partner that differs


def anonymous_bank(path: str | Path) -> Iterator[Event]:
    """Yield one interaction for every call but the phantoms; times are epoch milliseconds."""
    rows = [row for row in _rows(path, delimiter="\t") if row["outcome"] != "PHANTOM"]
    servers = sorted({row["server"] for row in rows} - {"NO_SERVER"})
    teams = {server: f"team-{index % 4 + 1}" for index, server in enumerate(servers)}
    yield from sorted((_bank_call(row, teams) for row in rows), key=lambda call: call["ended_at"])


def shopzilla(path: str | Path) -> Iterator[Event]:
    """Yield an interaction and then its survey for every contact; times are RFC 3339 strings."""
    contacts = [(_shop_time(row["issue_responded"]), row) for row in _rows(path, delimiter=",")]
    for ended, row in sorted(contacts, key=lambda contact: contact[0]):
        yield _shop_contact(row, ended)
        yield _shop_survey(row, ended)


def _rows(path: str | Path, *, delimiter: str) -> Iterator[dict[str, str]]:
    """Read a delimited file with a header line."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter=delimiter)


def _present(event: Event) -> Event:
    """Leave out what is unknown and cut over-long text."""
    known = {key: value for key, value in event.items() if value is not None and value != ""}
    return {
        key: value[:_MAX_TEXT] if isinstance(value, str) and key != "comment" else value
        for key, value in known.items()
    }


def _bank_call(row: dict[str, str], teams: dict[str, str]) -> Event:
    """One call: AGENT means handled, HANG abandoned; a server of NO_SERVER is unknown."""
    handled = {"AGENT": True, "HANG": False}[row["outcome"]]
    # Neither part is unique alone.
    call = f"{row['vru+line']}-{row['call_id']}"
    return _present(
        {
            "type": "interaction",
            "event_id": call,
            "interaction_id": call,
            "ended_at": _bank_end(row, handled=handled),
            "outcome": "handled" if handled else "abandoned",
            "agent_id": None if row["server"] == "NO_SERVER" else row["server"],
            "team_id": teams.get(row["server"]),
            "site_id": "haifa",
            "queue": row["type"],
            "channel": "phone",
            "reason": row["type"],
            "customer_id": None if row["customer_id"] == "0" else row["customer_id"],
            "wait_ms": int(row["q_time"]) * 1000,
            "talk_ms": int(row["ser_time"]) * 1000 if handled else None,
        }
    )


def _bank_end(row: dict[str, str], *, handled: bool) -> int:
    """When the call ended, in epoch milliseconds: the last recorded step the customer took.

    The times have no date, so each is put on the day that brings it nearest to the step before.
    """
    moment = _midnight(row["date"]) + _clock(row["vru_entry"])
    moment = _nearest(moment, row["vru_exit"])
    if _recorded(row["q_start"], row["q_exit"]):
        moment = _nearest(moment, row["q_exit"])
    if handled and _recorded(row["ser_start"], row["ser_exit"]):
        moment = _nearest(moment, row["ser_exit"])
    return (moment - _ISRAEL_S) * 1000


def _recorded(*clocks: str) -> bool:
    """Whether a step took place: when it did not, its start and its end are both the sentinel."""
    return any(clock != _UNSET for clock in clocks)


def _midnight(yymmdd: str) -> int:
    """The first second of a day of the 1900s, in local seconds."""
    day = dt.date(1900 + int(yymmdd[:2]), int(yymmdd[2:4]), int(yymmdd[4:6]))
    return (day - _EPOCH).days * _DAY_S


def _clock(hms: str) -> int:
    """Seconds after midnight of H:MM:SS."""
    hours, minutes, seconds = map(int, hms.split(":"))
    return hours * 3600 + minutes * 60 + seconds


def _nearest(before: int, hms: str) -> int:
    """The instant with this clock time that is nearest to `before`, earlier or later."""
    half = _DAY_S // 2
    return before + (_clock(hms) - before + half) % _DAY_S - half


def _shop_time(text: str) -> dt.datetime:
    """Read dd/mm/yyyy HH:MM as Indian time."""
    return dt.datetime.strptime(text, "%d/%m/%Y %H:%M").replace(tzinfo=_INDIA)


def _shop_shared(row: dict[str, str]) -> Event:
    """What the contact and its survey have in common."""
    return {
        "interaction_id": row["Unique id"],
        "agent_id": row["Agent_name"],
        "team_id": row["Supervisor"],
        "site_id": row["Manager"],
        "queue": row["category"],
        "channel": row["channel_name"].lower(),
        "product": row["Product_category"],
        "reason": row["Sub-category"],
    }


def _shop_contact(row: dict[str, str], ended: dt.datetime) -> Event:
    """The contact itself, always handled; the direction is given only when not the default."""
    talk = row["connected_handling_time"]
    return _present(
        {
            "type": "interaction",
            "event_id": row["Unique id"],
            **_shop_shared(row),
            "ended_at": ended.isoformat(),
            "outcome": "handled",
            "direction": "outbound" if row["channel_name"] == "Outcall" else None,
            "talk_ms": round(float(talk) * 1000) if talk else None,
            "first_response_ms": _shop_response(row, ended),
        }
    )


def _shop_survey(row: dict[str, str], ended: dt.datetime) -> Event:
    """Its survey, answered at the same instant (the file has only the day, always the same)."""
    return _present(
        {
            "type": "survey",
            "event_id": f"{row['Unique id']}-survey",
            **_shop_shared(row),
            "answered_at": ended.isoformat(),
            "csat": int(row["CSAT Score"]),
            "comment": row["Customer Remarks"].strip()[:_MAX_COMMENT],
        }
    )


def _shop_response(row: dict[str, str], ended: dt.datetime) -> int | None:
    """How long the first response took; unknown when negative or answered on 28 August.

    That day's export kept the date only.
    """
    if (ended.month, ended.day) == (8, 28):
        return None
    seconds = (ended - _shop_time(row["Issue_reported at"])).total_seconds()
    return round(seconds * 1000) if seconds >= 0 else None
