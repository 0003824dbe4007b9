"""What events add to the measures of their rows, a whole block at a time: [event, column]."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import numpy as np

from stream.core.arrays import Flags, Ints
from stream.core.events import Interaction, Kind, Survey
from stream.core.measures import COLUMN, COLUMNS, SERVICE, Thresholds

Column = Sequence[Any]

# Those that were offered to agents have the lower numbers.
_OFFERED: Final = ("handled", "abandoned", "callback", "voicemail", "overflowed")
_OUTCOMES: Final = {name: n for n, name in enumerate((*_OFFERED, "no_answer", "other"))}
_INBOUND: Final = frozenset(["inbound", None])
_FIRST: Final = frozenset([1, None])
_BY_AGENT: Final = frozenset(["agent"])
_SATISFIED_MIN: Final = 4  # the top two of five boxes
_PROMOTER_MIN: Final = 9
_DETRACTOR_MAX: Final = 6
_CONTACT: Final = attrgetter(
    *("outcome", "direction", "leg", "queue", "resolved", "transferred_by"),
    *("wait_ms", "talk_ms", "hold_ms", "wrap_ms"),
)
_SURVEY: Final = attrgetter("csat", "nps", "ces")


def of_contacts(contacts: Sequence[Interaction], thresholds: Thresholds) -> Ints:
    """What finished contacts, at least one, add."""
    outcomes, direction, leg, queue, resolved, transferred, wait, *work = _columns(
        _CONTACT, contacts
    )
    outcome = np.fromiter(map(_OUTCOMES.__getitem__, outcomes), np.int64, len(outcomes))
    is_handled = outcome == _OUTCOMES["handled"]
    is_offered = _among(_INBOUND, direction) & (outcome < len(_OFFERED))
    is_first = _among(_FIRST, leg)
    has_resolved, is_resolved = _known(resolved)
    service = _service(outcome, wait, queue, thresholds)
    return _made(
        len(contacts),
        {
            **_work(is_handled, *work),
            "transferred_by_agent": is_handled & _among(_BY_AGENT, transferred),
            "resolved_known": has_resolved,
            "resolved": is_resolved,
            **{f"{name}:leg": service[name] * is_offered for name in SERVICE},
            **{f"{name}:first_leg": service[name] * (is_offered & is_first) for name in SERVICE},
        },
    )


def of_surveys(surveys: Sequence[Survey], _: Thresholds) -> Ints:
    """What answered surveys, at least one, add."""
    (has_csat, csat), (has_nps, nps), (has_ces, ces) = map(_known, _columns(_SURVEY, surveys))
    return _made(
        len(surveys),
        {
            "surveys": np.ones(len(surveys), dtype=bool),
            "csat_answered": has_csat,
            "csat_satisfied": csat >= _SATISFIED_MIN,
            "csat_points": csat,
            "nps_answered": has_nps,
            "nps_promoters": nps >= _PROMOTER_MIN,
            "nps_detractors": has_nps & (nps <= _DETRACTOR_MAX),
            "ces_answered": has_ces,
            "ces_points": ces,
        },
    )


CONTRIBUTIONS: Final[Mapping[Kind, Callable[[Sequence[Any], Thresholds], Ints]]] = {
    "interaction": of_contacts,
    "survey": of_surveys,
}


def _work(is_handled: Flags, *durations: Column) -> dict[str, Ints | Flags]:
    """What agents did; unknown hold and wrap add nothing to the handle time, unknown talk all."""
    (has_talk, talk), (has_hold, hold), (has_wrap, wrap) = map(_known, durations)
    is_talked = is_handled & has_talk
    return {
        "legs": np.ones(len(is_handled), dtype=bool),
        "handled": is_handled,
        "talked": is_talked,
        "handle_ms": is_talked * (talk + hold + wrap),
        "talk_ms": is_talked * talk,
        "hold_known": is_handled & has_hold,
        "hold_ms": is_handled * hold,
        "held": is_handled & (hold > 0),
        "wrap_known": is_handled & has_wrap,
        "wrap_ms": is_handled * wrap,
    }


def _service(
    outcome: Ints, wait_ms: Column, queue: Column, thresholds: Thresholds
) -> dict[str, Ints | Flags]:
    """What callers met, of contacts that were offered."""
    has_waited, wait = _known(wait_ms)
    is_abandoned = outcome == _OUTCOMES["abandoned"]
    is_answered = (outcome == _OUTCOMES["handled"]) & has_waited
    has_left = is_abandoned & has_waited
    answer_ms, short_abandon_ms = _limits(queue, thresholds)
    return {
        "offered": np.ones(len(wait), dtype=bool),
        "abandoned": is_abandoned,
        "abandoned_waited": has_left,
        "abandoned_short": has_left & (wait <= short_abandon_ms),
        "answered_waited": is_answered,
        "answer_wait_ms": is_answered * wait,
        "answered_in_time": is_answered & (wait <= answer_ms),
    }


def _limits(queue: Column, thresholds: Thresholds) -> tuple[Ints, Ints]:
    """Each contact's thresholds: how long for an answer, and for an abandon that is short."""
    if not thresholds.by_queue:
        default = thresholds.default
        return np.array([default.answer_ms]), np.array([default.short_abandon_ms])
    found = [thresholds.of(name) for name in queue]
    return np.array([t.answer_ms for t in found]), np.array([t.short_abandon_ms for t in found])


def _columns(fields: attrgetter[Any], events: Sequence[Any]) -> list[Column]:
    return list(zip(*map(fields, events), strict=True))


def _among(values: frozenset[Any], column: Column) -> Flags:
    """Where there is one of these values; mostly that is everywhere, or nowhere."""
    found = set(column)
    if found <= values or found.isdisjoint(values):
        return np.full(len(column), found <= values)
    return np.fromiter(map(values.__contains__, column), np.bool_, len(column))


def _known(column: Column) -> tuple[Flags, Ints]:
    """Where there is a number, and the numbers, 0 where there is none.

    By way of floats, in which None is not a number; those within an event's limits are exact.
    """
    values = np.array(column, dtype=np.float64)
    is_known = ~np.isnan(values)
    return is_known, np.where(is_known, values, 0).astype(np.int64)


def _made(events: int, named: Mapping[str, Ints | Flags]) -> Ints:
    sums = np.zeros((events, COLUMNS), dtype=np.int64)
    for name, values in named.items():
        sums[:, COLUMN[name]] = values
    return sums
