"""Judges the `alerts` topic: every transition once and in order, and who is alerted by SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stream.durations import parse_duration_ms
from tests.chaos.findings import Findings
from tests.oracle.sql import Oracle

FOLLOWS: Final[dict[str, set[str | None]]] = {
    "pending": {None, "cancelled", "resolved", "ended_no_data"},
    "firing": {"pending"},
    "cancelled": {"pending"},
    "resolved": {"firing"},
    "ended_no_data": {"firing"},
}
Open = Mapping[tuple[str, str], tuple[str, str]]


def check_transitions(findings: Findings, alerts: Sequence[Mapping[str, Any]]) -> None:
    """Every transition follows from the one before it, and is there once."""
    transitions = Counter((alert["alert_id"], alert["state"]) for alert in alerts)
    fired = Counter(key for key in transitions.elements() if key[1] == "firing")
    last: dict[tuple[str, str], tuple[str, str]] = {}
    broken: list[str] = []
    for alert in alerts:
        place = (alert["goal"], alert["id"])
        before, alert_id = last.get(place, (None, ""))
        goes_on = alert["state"] == "pending" or alert["alert_id"] == alert_id
        if before not in FOLLOWS[alert["state"]] or not goes_on:
            broken.append(f"{place}: {alert['state']} after {before} at {alert['at']}")
        last[place] = (alert["state"], alert["alert_id"])
    findings.set("alert ids fired twice", repeated(fired))
    findings.set("transitions seen twice", repeated(transitions))
    findings.set("transitions that do not follow from the one before", broken)
    findings.seen["transitions seen"] = len(alerts)
    findings.seen["alert ids"] = len({alert["alert_id"] for alert in alerts})
    findings.seen["alert ids fired"] = len(fired)


def check_open_alerts(
    findings: Findings,
    oracle: Oracle,
    alerts: Sequence[Mapping[str, Any]],
    stored: Open,
    goals: Sequence[Mapping[str, Any]],
    rest: range,
) -> None:
    """Open alerts are those in the state; who missed all through the rest is alerted, others not.

    `rest` has the instants of a time in which no event came and every minute was judged.
    """
    is_open = under_way(alerts)
    findings.count("alerts that topic and state disagree on", is_open.items() ^ stored.items())
    for goal in goals:
        must, must_not = by_sql(oracle, goal, rest)
        firing = {
            scope_id
            for (name, scope_id), (state, _) in is_open.items()
            if name == goal["name"] and state == "firing"
        }
        lost = [(goal["name"], name) for name in must - firing]
        in_vain = [(goal["name"], name) for name in must_not & firing]
        findings.count("alerts lost", lost)
        findings.count("alerts firing in vain", in_vain)
        judged = findings.alerts[goal["scope"]]
        judged.demanded += len(must)
        judged.lost += len(lost)
        judged.forbidden += len(must_not)
        judged.in_vain += len(in_vain)


def under_way(alerts: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], tuple[str, str]]:
    """By goal and id: state and alert id of the alerts whose last transition leaves them open."""
    last = {(a["goal"], a["id"]): (str(a["state"]), str(a["alert_id"])) for a in alerts}
    return {place: found for place, found in last.items() if found[0] in ("pending", "firing")}


def by_sql(oracle: Oracle, goal: Mapping[str, Any], rest: range) -> tuple[set[str], set[str]]:
    """Who missed the goal in every minute of the rest; who is now clear of it, or gone."""
    missed: set[str] | None = None
    known: set[str] = set()
    now: dict[str, tuple[float | None, int]] = {}
    for at_ms in rest:
        figures = oracle.expected(at_ms, goal["scope"], [goal["window"]])
        now = {key[0]: kpis[goal["kpi"]] for key, kpis in figures.items()}
        missing = {name for name, figure in now.items() if _is_missed(figure, goal)}
        missed = missing if missed is None else missed & missing
        known |= now.keys()
    return missed or set(), {name for name in known if _is_over(now.get(name), goal["clear"])}


def within(value: float, bound: str) -> bool:
    """Whether a value keeps a goal such as `<= 2m30s` or `>= 80%`."""
    sign, _, text = bound.partition(" ")
    limit = float(text[:-1]) / 100 if text.endswith("%") else parse_duration_ms(text) / 1000
    return value <= limit if sign == "<=" else value >= limit


def repeated(counts: Counter[Any]) -> list[Any]:
    """What was seen again, as often as it was."""
    return list((counts - Counter(dict.fromkeys(counts, 1))).elements())


def _is_missed(figure: tuple[float | None, int], goal: Mapping[str, Any]) -> bool:
    value, samples = figure
    enough = value is not None and samples >= goal["min_samples"]
    return enough and value is not None and not within(value, goal["target"])


def _is_over(figure: tuple[float | None, int] | None, clear: str) -> bool:
    """Nothing left to judge, or the figure is beyond `clear`."""
    return figure is None or figure[0] is None or within(figure[0], clear)
