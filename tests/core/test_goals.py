"""Targets as people write them, and when a figure is a proven miss."""

from __future__ import annotations

from typing import Any, Final

import pytest

from stream.core.goals import Judgement, Target, Terms, Verdict, judge, parse_target, wilson
from stream.core.kpis import CATALOGUE
from tests.core.build import goal


@pytest.mark.parametrize(
    ("kpi", "text", "at_least", "bound"),
    [
        ("csat", ">= 85%", True, 0.85),
        ("csat", ">=0.85", True, 0.85),
        ("csat", "  >=  85 %  ", True, 0.85),
        ("csat", ">= 100%", True, 1.0),
        ("abandon_rate", "<= 5%", False, 0.05),
        ("abandon_rate", "<= 0", False, 0.0),
        ("abandon_rate", "<= 12.5%", False, 0.125),
        ("handle_time", "<= 6m30s", False, 390.0),
        ("handle_time", "<= 390s", False, 390.0),
        ("handle_time", "<= 1h", False, 3_600.0),
        ("handle_time", "<= 1h1m1.5s", False, 3_661.5),
        ("handle_time", "<= 90m", False, 5_400.0),
        ("answer_time", ">= 0s", True, 0.0),
        ("csat_mean", ">= 4.2", True, 4.2),
        ("csat_mean", ">= 1", True, 1.0),
        ("ces", ">= 5.5", True, 5.5),
        ("nps", ">= -100", True, -100.0),
        ("nps", ">= 30", True, 30.0),
        ("handled", ">= 40", True, 40.0),
        ("surveys", "<= 1e3", False, 1_000.0),
    ],
)
def test_a_target_is_a_bound_in_the_kpis_unit(
    kpi: str, text: str, at_least: bool, bound: float
) -> None:
    """Percent or share for a ratio, a duration for seconds, a number for the rest."""
    assert parse_target(text, CATALOGUE[kpi]) == Target(at_least, bound)


@pytest.mark.parametrize(
    ("kpi", "text", "message"),
    [
        ("csat", "85%", "expected '>=' or '<=' and a value"),
        ("csat", "> 85%", "expected '>=' or '<=' and a value"),
        ("csat", "== 85%", "expected '>=' or '<=' and a value"),
        ("csat", ">=", "expected '>=' or '<=' and a value"),
        ("csat", "", "expected '>=' or '<=' and a value"),
        ("csat", ">= 85", "csat lies between 0 and 1"),
        ("csat", ">= 101%", "csat lies between 0 and 1"),
        ("csat", ">= -1%", "csat lies between 0 and 1"),
        ("csat", ">= high", "csat is in ratio; expected '85%' or 0.85"),
        ("csat", ">= nan", "csat is in ratio; expected '85%' or 0.85"),
        ("csat", ">= 5m", "csat is in ratio; expected '85%' or 0.85"),
        ("handle_time", "<= 390", "handle_time is a duration; expected one such as '6m30s'"),
        ("handle_time", "<= 85%", "handle_time is a duration"),
        ("handle_time", "<= 30s6m", "handle_time is a duration"),
        ("handle_time", "<= -5m", "handle_time is a duration"),
        ("handle_time", "<= 6 m", "handle_time is a duration"),
        ("csat_mean", ">= 85%", "csat_mean is in points; expected a number"),
        ("csat_mean", ">= 0.9", "csat_mean lies between 1 and 5"),
        ("csat_mean", ">= 5.1", "csat_mean lies between 1 and 5"),
        ("ces", ">= 0.9", "ces lies between 1 and 7"),
        ("ces", ">= 7.1", "ces lies between 1 and 7"),
        ("nps", ">= 101", "nps lies between -100 and 100"),
        ("nps", ">= -101", "nps lies between -100 and 100"),
        ("handled", ">= -1", "handled lies between 0 and inf"),
        ("handled", ">= inf", "handled is in contacts; expected a number"),
        ("handle_time", f"<= {'9' * 400}s", "handle_time lies between 0 and inf"),
        ("handled", ">= 1e999", "handled is in contacts; expected a number"),
    ],
)
def test_a_wrong_target_is_refused_with_what_was_expected(
    kpi: str, text: str, message: str
) -> None:
    """The message quotes the text and names the KPI."""
    with pytest.raises(ValueError, match=r"expected|lies between") as caught:
        parse_target(text, CATALOGUE[kpi])
    assert message in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(("text", "written"), [(">=4.20", ">= 4.2"), ("<= 1", "<= 1")])
def test_a_target_can_be_written_again(text: str, written: str) -> None:
    """As one would write it."""
    assert str(parse_target(text, CATALOGUE["csat_mean"])) == written


@pytest.mark.parametrize(
    ("target", "numerator", "denominator", "verdict", "value", "samples"),
    [
        # Nothing to count from is no verdict, whatever the target; nor is a nonsense denominator.
        ("<= 5m", 0, 0, Verdict.NO_DATA, None, 0),
        ("<= 5m", 0, -1, Verdict.NO_DATA, None, 0),
        # The bound itself is met, on either side.
        ("<= 5m", 300_000, 1, Verdict.MET, 300.0, 1),
        ("<= 5m", 300_001, 1, Verdict.MISSED, 300.001, 1),
        (">= 5m", 300_000, 1, Verdict.MET, 300.0, 1),
        (">= 5m", 299_999, 1, Verdict.MISSED, 299.999, 1),
        ("<= 0s", 0, 3, Verdict.MET, 0.0, 3),
    ],
)
def test_a_mean_is_met_or_missed(
    target: str,
    numerator: int,
    denominator: int,
    verdict: Verdict,
    value: float | None,
    samples: int,
) -> None:
    """A mean needs its samples only; the judgement says what it rests on."""
    made = goal(target)
    judgement = judge(made, made.terms, numerator, denominator)
    assert judgement == Judgement(verdict, value, samples, made.terms)


@pytest.mark.parametrize(
    ("samples", "verdict"), [(9, Verdict.UNPROVEN), (10, Verdict.MISSED), (11, Verdict.MISSED)]
)
def test_a_miss_of_too_few_samples_is_unproven(samples: int, verdict: Verdict) -> None:
    """`min_samples` itself is enough; a met goal needs none."""
    made = goal(min_samples=10)
    assert judge(made, made.terms, samples * 600_000, samples).verdict is verdict
    assert judge(made, made.terms, 1, 1).verdict is Verdict.MET


@pytest.mark.parametrize(
    ("successes", "samples", "confidence", "low", "high"),
    [
        # The roots of (share - p)² = z² p (1 - p) ÷ n, solved with 40 decimals.
        (0, 1, 0.9, 0.0, 0.621552496775),
        (1, 1, 0.9, 0.378447503225, 1.0),
        (7, 10, 0.9, 0.49737170524, 0.846200821924),
        (70, 100, 0.9, 0.638427089717, 0.755109564952),
        (700, 1_000, 0.9, 0.681112951515, 0.718231175907),
        (0, 20, 0.95, 0.0, 0.119157837361),
        (20, 20, 0.95, 0.880842162639, 1.0),
        (3, 4, 0.99, 0.247810142129, 0.964686928961),
        (5, 10, 0.8, 0.371404464863, 0.628595535137),
        (3, 4, 0.5, 0.75, 0.75),
    ],
)
def test_wilson_bounds_are_those_of_a_table(
    successes: int, samples: int, confidence: float, low: float, high: float
) -> None:
    """Computed elsewhere; at a confidence of one half the bound is the share itself."""
    assert wilson(successes, samples, confidence) == pytest.approx((low, high), abs=1e-11)


@pytest.mark.parametrize(
    ("target", "satisfied", "answers", "evidence", "verdict"),
    [
        # At 90 % the upper bound of 7 in 10 is 84.6 %, of 70 in 100 75.5 %.
        (">= 85%", 7, 10, 0.9, Verdict.MISSED),
        (">= 84%", 7, 10, 0.9, Verdict.UNPROVEN),
        (">= 84%", 7, 10, None, Verdict.MISSED),
        (">= 76%", 70, 100, 0.9, Verdict.MISSED),
        (">= 75%", 70, 100, 0.9, Verdict.UNPROVEN),
        (">= 70%", 70, 100, 0.9, Verdict.MET),
        # The lower bound of 7 in 10 is 49.7 %, where less is better.
        ("<= 49%", 7, 10, 0.9, Verdict.MISSED),
        ("<= 50%", 7, 10, 0.9, Verdict.UNPROVEN),
        # The upper bound of none in one is 62.2 %.
        (">= 63%", 0, 1, 0.9, Verdict.MISSED),
        (">= 62%", 0, 1, 0.9, Verdict.UNPROVEN),
    ],
)
def test_a_rate_that_chance_explains_is_unproven(
    target: str, satisfied: int, answers: int, evidence: float | None, verdict: Verdict
) -> None:
    """With `evidence` a rate is missed only where its Wilson bound misses the target."""
    made = goal(target, kpi="csat", evidence=evidence)
    assert judge(made, made.terms, satisfied, answers).verdict is verdict


def test_evidence_and_samples_are_both_needed() -> None:
    """A miss beyond chance is unproven while too few stand behind it."""
    made = goal(">= 85%", kpi="csat", evidence=0.9, min_samples=11)
    assert judge(made, made.terms, 0, 10).verdict is Verdict.UNPROVEN
    assert judge(made, made.terms, 0, 11).verdict is Verdict.MISSED


@pytest.mark.parametrize(("kpi", "target"), [("nps", ">= 30"), ("csat_mean", ">= 4")])
def test_what_is_no_rate_needs_samples_only(kpi: str, target: str) -> None:
    """A mean has no count of successes to draw a bound from."""
    made = goal(target, kpi=kpi, evidence=0.99)
    assert judge(made, made.terms, 0, 1).verdict is Verdict.MISSED


EVERYBODY: Final = goal().terms
TEAM: Final = Terms(Target(at_least=False, bound=360.0))
OWN: Final = Terms(Target(at_least=False, bound=420.0))


@pytest.mark.parametrize(
    ("scope_id", "team", "terms"),
    [
        ("a1", "t1", OWN),
        ("a1", None, OWN),
        ("a2", "t1", TEAM),
        ("a2", "t2", EVERYBODY),
        ("a2", None, EVERYBODY),
        ("t1", None, EVERYBODY),
    ],
)
def test_the_nearest_terms_hold(scope_id: str, team: str | None, terms: Terms) -> None:
    """A scope's own terms, else its team's, else everybody's."""
    made = goal(by_team={"t1": TEAM}, by_id={"a1": OWN})
    assert made.terms_for(scope_id, team) == terms


@pytest.mark.parametrize(
    ("target", "band", "value", "amber"),
    [
        ("<= 5m", {"warn": "<= 4m30s"}, 270_000, False),
        ("<= 5m", {"warn": "<= 4m30s"}, 270_001, True),
        ("<= 5m", {"warn": "<= 4m30s"}, 300_000, True),
        ("<= 5m", {"warn": "<= 4m30s"}, 300_001, False),
        ("<= 5m", {}, 300_000, False),
    ],
)
def test_amber_is_met_but_within_the_warning_band(
    target: str, band: dict[str, Any], value: int, amber: bool
) -> None:
    """A missed goal is red, not amber; without a band nothing is."""
    made = goal(target, **band)
    assert judge(made, made.terms, value, 1).amber is amber


@pytest.mark.parametrize(
    ("band", "value", "cleared"),
    [
        ({"clear": "<= 4m"}, 240_000, True),
        ({"clear": "<= 4m"}, 240_001, False),
        ({"clear": "<= 4m"}, 300_001, False),
        ({}, 300_000, True),
        ({}, 300_001, False),
    ],
)
def test_an_alert_clears_beyond_the_hysteresis(
    band: dict[str, Any], value: int, cleared: bool
) -> None:
    """Without a `clear` bound, meeting the target is enough."""
    made = goal(**band)
    assert judge(made, made.terms, value, 1).cleared is cleared


def test_no_data_is_neither_amber_nor_cleared() -> None:
    """Nothing follows from nothing."""
    made = goal(clear="<= 4m", warn="<= 4m30s")
    judgement = judge(made, made.terms, 0, 0)
    assert (judgement.amber, judgement.cleared) == (False, False)


def test_a_verdicts_number_is_part_of_the_interface() -> None:
    """Dashboards colour by the number, readings spell the word."""
    assert {verdict.value: verdict.word for verdict in Verdict} == {
        0: "no_data",
        1: "met",
        2: "unproven",
        3: "missed",
    }
