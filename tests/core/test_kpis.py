"""The catalogue: each KPI's value from literal sums, and what is said about it."""

from __future__ import annotations

import numpy as np
import pytest

from stream.core.kpis import CATALOGUE, SCOPE_KINDS, Kpi, definitions, kpis_of
from stream.core.measures import COLUMN, COLUMNS, Threshold, Thresholds
from stream.core.ratios import ratio


def value(name: str, kind: str, **sums: int) -> tuple[float | int | None, int]:
    """A KPI's value and samples over these sums, whose names spell `:` as `__`."""
    row = [0] * COLUMNS
    for measure, amount in sums.items():
        row[COLUMN[measure.replace("__", ":")]] = amount
    numerator, denominator = CATALOGUE[name].form(kind).fraction(row)
    return ratio(numerator, denominator, CATALOGUE[name]), denominator


@pytest.mark.parametrize(
    ("name", "sums", "expected"),
    [
        ("handled", {"handled": 7}, (7, 7)),
        ("handle_time", {"handle_ms": 450_001, "talked": 4}, (112.50025, 4)),
        ("talk_time", {"talk_ms": 100_000, "talked": 3}, (33.333333333333336, 3)),
        ("hold_time", {"hold_ms": 6_000, "hold_known": 4, "held": 3}, (1.5, 4)),
        ("hold_time_held", {"hold_ms": 6_000, "hold_known": 4, "held": 3}, (2.0, 3)),
        ("wrap_time", {"wrap_ms": 1, "wrap_known": 2}, (0.0005, 2)),
        ("transfer_rate", {"transferred_by_agent": 1, "handled": 8}, (0.125, 8)),
        ("resolution_rate", {"resolved": 3, "resolved_known": 4, "handled": 9}, (0.75, 4)),
        ("csat", {"csat_satisfied": 3, "csat_answered": 4, "surveys": 9}, (0.75, 4)),
        ("csat_mean", {"csat_points": 17, "csat_answered": 4}, (4.25, 4)),
        ("nps", {"nps_promoters": 5, "nps_detractors": 2, "nps_answered": 10}, (30.0, 10)),
        ("nps", {"nps_detractors": 1, "nps_answered": 3}, (-33.333333333333336, 3)),
        ("ces", {"ces_points": 11, "ces_answered": 2}, (5.5, 2)),
        ("surveys", {"surveys": 2}, (2, 2)),
    ],
)
def test_a_work_kpi_is_the_same_for_every_kind(
    name: str, sums: dict[str, int], expected: tuple[float, int]
) -> None:
    """Its value from literal sums, with its samples."""
    for kind in SCOPE_KINDS:
        assert value(name, kind, **sums) == expected


@pytest.mark.parametrize(
    ("name", "sums", "expected"),
    [
        ("offered", {"offered": 9}, (9, 9)),
        # In time ÷ (answered + abandoned - short), of those with a known wait.
        (
            "service_level",
            {"answered_in_time": 6, "answered_waited": 8, "abandoned_waited": 4}
            | {"abandoned_short": 2, "abandoned": 5, "offered": 99},
            (0.6, 10),
        ),
        ("answer_time", {"answer_wait_ms": 50_000, "answered_waited": 4}, (12.5, 4)),
        # (Abandoned - short) ÷ (offered - short).
        ("abandon_rate", {"abandoned": 5, "abandoned_short": 2, "offered": 14}, (0.25, 12)),
        # When all that was offered were short abandons there is nothing to count from.
        ("abandon_rate", {"abandoned": 2, "abandoned_short": 2, "offered": 2}, (None, 0)),
        ("service_level", {"abandoned_waited": 2, "abandoned_short": 2}, (None, 0)),
    ],
)
def test_a_service_kpi_counts_legs_for_a_queue_and_first_legs_above(
    name: str, sums: dict[str, int], expected: tuple[float | None, int]
) -> None:
    """A queue's figure is over its own legs, the others' over contacts as they came in."""
    nothing = (None, 0)
    for kind in SCOPE_KINDS[1:]:
        own, other = (":leg", ":first_leg") if kind == "queue" else (":first_leg", ":leg")
        assert value(name, kind, **{measure + own: n for measure, n in sums.items()}) == expected
        assert value(name, kind, **{measure + other: n for measure, n in sums.items()}) == nothing


@pytest.mark.parametrize("kpi", CATALOGUE.values(), ids=CATALOGUE)
def test_many_scopes_at_once_have_the_same_fractions(kpi: Kpi) -> None:
    """The gauges' way over arrays and the readings' way over one row agree."""
    sums = np.arange(3 * COLUMNS, dtype=np.int64).reshape(3, COLUMNS)
    for kind in SCOPE_KINDS:
        form = kpi.form(kind)
        numerators, denominators = form.columns_of(sums)
        pairs = zip(numerators.tolist(), denominators.tolist(), strict=True)
        assert list(pairs) == [form.fraction(row) for row in sums.tolist()]


@pytest.mark.parametrize("kind", SCOPE_KINDS)
def test_empty_is_none(kind: str) -> None:
    """Nothing to count from is no value, and never 0."""
    assert {value(kpi.name, kind) for kpi in kpis_of(kind)} == {(None, 0)}


def test_an_agent_has_no_service_kpis() -> None:
    """How long callers waited is nothing an agent decides."""
    names = {kpi.name for kpi in kpis_of("agent")}
    service = {"offered", "service_level", "answer_time", "abandon_rate"}
    assert names.isdisjoint(service)
    assert all({kpi.name for kpi in kpis_of(kind)} == names | service for kind in SCOPE_KINDS[1:])


def test_every_kpi_says_what_it_is_for() -> None:
    """Formula, purpose, what to do and source are there, and the metrics' names are distinct."""
    for kpi in CATALOGUE.values():
        assert all([kpi.formula, kpi.purpose, kpi.when_missed, kpi.source]), kpi.name
    assert len({kpi.metric for kpi in CATALOGUE.values()}) == len(CATALOGUE)


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("handle_time", "kpi_handle_time_seconds"),
        ("csat", "kpi_csat_ratio"),
        ("csat_mean", "kpi_csat_mean_points"),
        ("handled", "kpi_handled_contacts"),
        ("surveys", "kpi_surveys"),
    ],
)
def test_a_metric_ends_in_its_unit(name: str, metric: str) -> None:
    """As Prometheus wants it, without saying a word twice."""
    assert CATALOGUE[name].metric == metric


@pytest.mark.parametrize(
    ("kind", "scope_id", "name", "definition"),
    [
        ("team", "t1", "handle_time", "handle_time/1"),
        ("team", "t1", "answer_time", "answer_time/1"),
        (
            "team",
            "t1",
            "service_level",
            "service_level/1:wait<=20000ms,short<=5000ms,per-queue,by-end",
        ),
        ("team", "t1", "abandon_rate", "abandon_rate/1:short<=5000ms,per-queue,by-end"),
        ("queue", "q1", "service_level", "service_level/1:wait<=20000ms,short<=5000ms,by-end"),
        ("queue", "slow", "service_level", "service_level/1:wait<=60000ms,short<=0ms,by-end"),
        ("queue", "slow", "abandon_rate", "abandon_rate/1:short<=0ms,by-end"),
    ],
)
def test_a_definition_names_the_thresholds_that_were_used(
    kind: str, scope_id: str, name: str, definition: str
) -> None:
    """Two numbers under one definition were counted alike."""
    thresholds = Thresholds(by_queue={"slow": Threshold(60_000, 0)})
    assert definitions(kind, scope_id, thresholds)[name] == definition


def test_without_queues_of_their_own_a_definition_is_not_per_queue() -> None:
    """One threshold for all needs no remark."""
    found = definitions("site", "s1", Thresholds())
    assert found["abandon_rate"] == "abandon_rate/1:short<=5000ms,by-end"
