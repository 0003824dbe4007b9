"""The KPI definitions as SQL over two tables, `interactions` and `surveys`, in DuckDB.

It judges events that were accepted; it does not validate them. An absent field is unknown (NULL),
never 0, and a KPI without samples has the value None.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import duckdb

Id = str
Window = str
Value = tuple[float | None, int]
"""A KPI's value and its number of samples."""
Fraction = tuple[int, int]
"""A KPI's numerator and denominator: milliseconds, legs or answers. A count's denominator is 1."""
Expected = dict[tuple[Id, Window], dict[str, Value]]
Sums = dict[tuple[Id, Window], dict[str, Fraction]]
Included = Mapping[tuple[str, int], int]
"""By kind ('interaction' or 'survey') and partition: the offset below which events count."""

_MINUTE: Final = 60_000
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_UNITS: Final = {"m": _MINUTE, "h": _HOUR, "d": _DAY}

# ---------------------------------------------------------------- the catalogue


class Kpi(NamedTuple):
    """A KPI as two SQL aggregates over one kind of rows; its value is `up * num / (down * den)`."""

    name: str
    rows: str
    num: str
    den: str | None = None  # None: a count, whose samples are itself
    up: int = 1
    down: int = 1


def _count(where: str) -> str:
    """How many rows fulfil a condition."""
    return f"count(*) FILTER ({where})"


def _sum(what: str, where: str) -> str:
    """A sum over the rows that fulfil a condition; 0 when none does."""
    return f"coalesce(sum({what}) FILTER ({where}), 0)"


_HANDLED: Final = "outcome = 'handled'"
_TALKED: Final = f"{_HANDLED} AND talk_ms IS NOT NULL"
_HELD: Final = f"{_HANDLED} AND hold_ms > 0"
_HANDLE_MS: Final = "talk_ms + coalesce(hold_ms, 0) + coalesce(wrap_ms, 0)"
_OFFERED: Final = "outcome IN ('handled', 'abandoned', 'callback', 'voicemail', 'overflowed')"
_ABANDONED: Final = "outcome = 'abandoned'"
# Without a wait_ms the comparison is NULL and filters the row out: not known to be short.
_SHORT: Final = f"{_ABANDONED} AND wait_ms <= short_ms"
_ANSWERED: Final = f"{_HANDLED} AND wait_ms IS NOT NULL"
_LEFT: Final = f"{_ABANDONED} AND wait_ms IS NOT NULL"

KPIS: Final = (
    Kpi("handled", "legs", _count(_HANDLED)),
    Kpi("handle_time", "legs", _sum(_HANDLE_MS, _TALKED), _count(_TALKED), down=1000),
    Kpi("talk_time", "legs", _sum("talk_ms", _TALKED), _count(_TALKED), down=1000),
    Kpi(
        "hold_time",
        "legs",
        _sum("hold_ms", _HANDLED),
        _count(f"{_HANDLED} AND hold_ms IS NOT NULL"),
        down=1000,
    ),
    Kpi("hold_time_held", "legs", _sum("hold_ms", _HELD), _count(_HELD), down=1000),
    Kpi(
        "wrap_time",
        "legs",
        _sum("wrap_ms", _HANDLED),
        _count(f"{_HANDLED} AND wrap_ms IS NOT NULL"),
        down=1000,
    ),
    Kpi(
        "transfer_rate",
        "legs",
        _count(f"{_HANDLED} AND transferred_by = 'agent'"),
        _count(_HANDLED),
    ),
    Kpi("resolution_rate", "legs", _count("resolved"), _count("resolved IS NOT NULL")),
    Kpi("offered", "calls", _count(_OFFERED)),
    Kpi(
        "service_level",
        "calls",
        _count(f"{_HANDLED} AND wait_ms <= service_ms"),
        f"{_count(_ANSWERED)} + {_count(_LEFT)} - {_count(_SHORT)}",
    ),
    Kpi("answer_time", "calls", _sum("wait_ms", _ANSWERED), _count(_ANSWERED), down=1000),
    Kpi(
        "abandon_rate",
        "calls",
        f"{_count(_ABANDONED)} - {_count(_SHORT)}",
        f"{_count(_OFFERED)} - {_count(_SHORT)}",
    ),
    Kpi("csat", "answers", _count("csat IN (4, 5)"), _count("csat IS NOT NULL")),
    Kpi("csat_mean", "answers", _sum("csat", "true"), _count("csat IS NOT NULL")),
    Kpi(
        "nps",
        "answers",
        f"{_count('nps IN (9, 10)')} - {_count('nps BETWEEN 0 AND 6')}",
        _count("nps IS NOT NULL"),
        up=100,
    ),
    Kpi("ces", "answers", _sum("ces", "true"), _count("ces IS NOT NULL")),
    Kpi("surveys", "answers", _count("true")),
)


class Scope(NamedTuple):
    """Whose KPIs: the id of a row, the id it has for service KPIs, and the legs these count."""

    id: str
    service_id: str
    service_legs: str
    has_service: bool = True


SCOPES: Final = {
    "agent": Scope("agent_id", "agent_id", "false", has_service=False),
    "team": Scope("coalesce(team_id, queue_team)", "queue_team", "leg = 1"),
    "queue": Scope("queue", "queue", "true"),
    "channel": Scope("channel", "channel", "leg = 1"),
    "campaign": Scope("campaign", "campaign", "leg = 1"),
    "site": Scope("site_id", "site_id", "leg = 1"),
}

# ---------------------------------------------------------------- the tables

_SHARED_COLUMNS: Final = {
    "seq": "BIGINT",
    "part": "BIGINT",
    "position": "BIGINT",
    "event_id": "VARCHAR",
    "t": "BIGINT",
    "agent_id": "VARCHAR",
    "team_id": "VARCHAR",
    "site_id": "VARCHAR",
    "queue": "VARCHAR",
    "channel": "VARCHAR",
    "campaign": "VARCHAR",
}
_COLUMNS: Final = {
    "interaction": _SHARED_COLUMNS
    | {
        "outcome": "VARCHAR",
        "leg": "BIGINT",
        "direction": "VARCHAR",
        "transferred_by": "VARCHAR",
        "wait_ms": "BIGINT",
        "talk_ms": "BIGINT",
        "hold_ms": "BIGINT",
        "wrap_ms": "BIGINT",
        "resolved": "BOOLEAN",
    },
    "survey": _SHARED_COLUMNS | {"csat": "BIGINT", "nps": "BIGINT", "ces": "BIGINT"},
}
_TIME_FIELD: Final = {"interaction": "ended_at", "survey": "answered_at"}

# The first of the events with one id wins, among those that are included.
_SELECT_EVENTS: Final = """
CREATE OR REPLACE TABLE {kind}s AS
SELECT event.*, team AS queue_team,
       coalesce(thresholds.service_ms, $service_ms) AS service_ms,
       coalesce(thresholds.short_ms, $short_ms) AS short_ms
FROM (
    SELECT raw_{kind}.* FROM raw_{kind} {join}
    QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY seq) = 1
) AS event
LEFT JOIN queue_teams ON queue_teams.queue = event.queue
LEFT JOIN thresholds ON thresholds.queue = event.queue
"""
_JOIN_INCLUDED: Final = """
JOIN included ON included.kind = '{kind}' AND included.part = raw_{kind}.part
             AND raw_{kind}.position < included.below
"""

# Where clocks go back over midnight it strikes twice; the day begins with the first. DuckDB knows
# the second, so earlier instants are tried as long as they belong to the same day.
_MIDNIGHT: Final = """
WITH today AS (
    SELECT date_trunc('day', timezone($zone, timezone('UTC', make_timestamp($t * 1000)))) AS day
)
SELECT min(epoch_ms(timezone($zone, day) - to_minutes(15 * k)))
FROM today, range(13) AS steps(k)
WHERE date_trunc('day', timezone($zone, timezone($zone, day) - to_minutes(15 * k))) = day
"""

_QUERY: Final = """
WITH legs AS (
    SELECT {id} AS id, {legs} FROM interactions
    WHERE t >= $start AND t < $end AND {id} IS NOT NULL GROUP BY 1
), calls AS (
    SELECT {service_id} AS id, {calls} FROM interactions
    WHERE t >= $start AND t < $end AND {service_id} IS NOT NULL
      AND direction = 'inbound' AND {service_legs} GROUP BY 1
), answers AS (
    SELECT {id} AS id, {answers} FROM surveys
    WHERE t >= $start AND t < $end AND {id} IS NOT NULL GROUP BY 1
)
SELECT id, {all} FROM legs FULL JOIN calls USING (id) FULL JOIN answers USING (id)
"""


def _aggregates(rows: str) -> str:
    """The numerators and denominators of the KPIs over one kind of rows, as a select list."""
    pairs = [
        f"{kpi.num} AS {kpi.name}_num, {kpi.den or '1'} AS {kpi.name}_den"
        for kpi in KPIS
        if kpi.rows == rows
    ]
    return ", ".join(pairs)


def query(scope: str) -> str:
    """The SQL text of a scope; only its id columns and its filter of legs differ."""
    kpis = [
        f"coalesce({kpi.name}_num, 0), coalesce({kpi.name}_den, {0 if kpi.den else 1})"
        for kpi in KPIS
    ]
    return _QUERY.format(
        id=SCOPES[scope].id,
        service_id=SCOPES[scope].service_id,
        service_legs=SCOPES[scope].service_legs,
        legs=_aggregates("legs"),
        calls=_aggregates("calls"),
        answers=_aggregates("answers"),
        all=", ".join(kpis),
    )


# ---------------------------------------------------------------- time

_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


def epoch_ms(time: str | int) -> int:
    """Epoch milliseconds of an RFC 3339 string (finer digits are dropped) or of themselves."""
    if isinstance(time, int):
        return time
    match = _RFC3339.fullmatch(time)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {time!r}")
    date, hour, minute, second, fraction, sign, off_hour, off_minute = match.groups()
    days = (dt.date.fromisoformat(date) - dt.date(1970, 1, 1)).days
    offset = int(off_hour or 0) * _HOUR + int(off_minute or 0) * _MINUTE
    clock = int(hour) * _HOUR + int(minute) * _MINUTE + int(second) * 1000
    millis = int((fraction or "")[:3].ljust(3, "0"))
    return days * _DAY + clock + millis - (-offset if sign == "-" else offset)


def ceil_to(t: int, step: int) -> int:
    """The first multiple of a step that is not before `t`."""
    return -(-t // step) * step


def length_ms(window: Window) -> int:
    """The length of a window such as 15m, 8h or 7d."""
    match = re.fullmatch(r"([1-9][0-9]*)([mhd])", window)
    if match is None:
        raise ValueError(f"not a window: {window!r}")
    return int(match[1]) * _UNITS[match[2]]


# ---------------------------------------------------------------- the oracle


class Oracle:
    """Expected KPIs of a fixed list of events.

    Args:
        events: Event dicts with the extra key `type` ('interaction' or 'survey'), in the order in
            which they were accepted; optional keys `_partition` and `_offset` serve `included`.
        queue_teams: The team that answers for a queue.
        service_s: Answered within this many seconds is within the service level.
        short_s: Abandoned within this many seconds is a short abandon, not counted.
        queue_thresholds: By queue, both thresholds in milliseconds, in place of the two above.
        timezone: Whose midnight begins the window 'today'.
    """

    def __init__(
        self,
        events: Iterable[Mapping[str, Any]],
        *,
        queue_teams: Mapping[str, str] | None = None,
        service_s: float = 20,
        short_s: float = 5,
        queue_thresholds: Mapping[str, tuple[int, int]] | None = None,
        timezone: str = "UTC",
    ) -> None:
        self._db = duckdb.connect(":memory:")
        self._defaults = {"service_ms": round(service_s * 1000), "short_ms": round(short_s * 1000)}
        self._timezone = timezone
        self._selected: tuple[dict[tuple[str, int], int] | None, ...] = ()
        self._load_events(events)
        self._load(
            "queue_teams",
            {"queue": "VARCHAR", "team": "VARCHAR"},
            list((queue_teams or {}).items()),
        )
        self._load(
            "thresholds",
            {"queue": "VARCHAR", "service_ms": "BIGINT", "short_ms": "BIGINT"},
            [(queue, *both) for queue, both in (queue_thresholds or {}).items()],
        )
        self._select(None)

    def close(self) -> None:
        """Free the database."""
        self._db.close()

    def expected(
        self,
        as_of_ms: int,
        scope: str,
        windows: Sequence[Window],
        included: Included | None = None,
    ) -> Expected:
        """Value and samples of every KPI by id and window, for ids with an event in the window.

        With `included`, only events with an offset below the number given for their kind and
        partition count; those of other partitions, or without one, do not.
        """
        return {
            key: {kpi.name: _value(kpi, *sums[kpi.name]) for kpi in KPIS if kpi.name in sums}
            for key, sums in self.sums(as_of_ms, scope, windows, included).items()
        }

    def sums(
        self,
        as_of_ms: int,
        scope: str,
        windows: Sequence[Window],
        included: Included | None = None,
    ) -> Sums:
        """Numerator and denominator of every KPI, as `expected` would divide them."""
        self._select(None if included is None else dict(included))
        text = query(scope)
        result: Sums = {}
        for window in windows:
            start, end = self.bounds(as_of_ms, window)
            for id_, *numbers in self._rows(text, {"start": start, "end": end}):
                result[id_, window] = {
                    kpi.name: (int(num), int(den))
                    for kpi, num, den in zip(KPIS, numbers[::2], numbers[1::2], strict=True)
                    if SCOPES[scope].has_service or kpi.rows != "calls"
                }
        return result

    def bounds(self, as_of_ms: int, window: Window) -> tuple[int, int]:
        """The first instant of a window and the first after it."""
        if window == "today":
            ((midnight,),) = self._rows(_MIDNIGHT, {"zone": self._timezone, "t": as_of_ms})
            return int(midnight), ceil_to(as_of_ms, _MINUTE)
        length = length_ms(window)
        end = ceil_to(as_of_ms, _HOUR if length > _DAY else _MINUTE)
        return end - length, end

    def _rows(self, text: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        rows: list[tuple[Any, ...]] = self._db.execute(text, dict(parameters)).fetchall()
        return rows

    def _load_events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Fill the two raw tables; `seq` keeps the order of arrival."""
        rows: dict[str, list[tuple[Any, ...]]] = {kind: [] for kind in _COLUMNS}
        for seq, event in enumerate(events):
            kind = event["type"]
            rows[kind].append(_row(kind, seq, event))
        for kind, columns in _COLUMNS.items():
            self._load(f"raw_{kind}", columns, rows[kind])

    def _load(
        self, table: str, columns: Mapping[str, str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Create a table, column by column (many times faster than row by row)."""
        unnest = ", ".join(f"unnest(?::{type_}[]) AS {name}" for name, type_ in columns.items())
        lists = [[row[index] for row in rows] for index in range(len(columns))]
        self._db.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT {unnest}", lists).fetchall()

    def _select(self, included: dict[tuple[str, int], int] | None) -> None:
        """Make the tables `interactions` and `surveys` of the events that count."""
        if self._selected == (included,):
            return
        self._load(
            "included",
            {"kind": "VARCHAR", "part": "BIGINT", "below": "BIGINT"},
            [(*key, below) for key, below in (included or {}).items()],
        )
        for kind in _COLUMNS:
            join = "" if included is None else _JOIN_INCLUDED.format(kind=kind)
            self._rows(_SELECT_EVENTS.format(kind=kind, join=join), self._defaults)
        self._selected = (included,)


def _row(kind: str, seq: int, event: Mapping[str, Any]) -> tuple[Any, ...]:
    """An event as a row of its raw table, with the defaults of the schema filled in."""
    special: dict[str, Callable[[], Any]] = {
        "seq": lambda: seq,
        "part": lambda: event.get("_partition"),
        "position": lambda: event.get("_offset"),
        "t": lambda: epoch_ms(event[_TIME_FIELD[kind]]),
        "leg": lambda: _default(event.get("leg"), 1),
        "direction": lambda: _default(event.get("direction"), "inbound"),
    }
    return tuple(special[name]() if name in special else event.get(name) for name in _COLUMNS[kind])


def _default(value: Any, default: Any) -> Any:
    """The value, or the default when it is absent."""
    return default if value is None else value


def _value(kpi: Kpi, num: int, den: int) -> Value:
    """Divide once, at the end, so that the value is the nearest float to the exact one."""
    if kpi.den is None:
        return (float(num) if num else None, num)
    return (kpi.up * num / (kpi.down * den) if den else None, den)
