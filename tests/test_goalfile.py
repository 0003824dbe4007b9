"""Goals: read whole, mapped into the core's, each fault a line from the outside in."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from stream.core.goals import Goal, Target, Terms
from stream.goalfile import GOALS_MAX, load_goals
from stream.yamlfile import Faults

WINDOWS = ("15m", "1h")
AHT = {
    "name": "aht",
    "purpose": "Calls take no longer than planned.",
    "kpi": "handle_time",
    "window": "1h",
    "target": "<= 6m30s",
}
CSAT = {**AHT, "name": "csat-floor", "kpi": "csat", "target": ">= 85%"}


def write(folder: Path, *goals: object, **rest: object) -> Path:
    """A goals file."""
    file = folder / "goals.yaml"
    file.write_text(yaml.safe_dump({"goals": list(goals), **rest}))
    return file


def load(folder: Path, *goals: object) -> tuple[Goal, ...]:
    """These goals, loaded."""
    return load_goals(write(folder, *goals), WINDOWS)[0]


def faults(file: Path) -> list[str]:
    """The lines that loading these goals gives."""
    with pytest.raises(Faults) as refusal:
        load_goals(file, WINDOWS)
    return refusal.value.faults


def test_a_goal_on_what_has_no_team_names_one(tmp_path: Path) -> None:
    """It is who is told of a campaign's miss."""
    (goal,) = load(tmp_path, {**CSAT, "scope": "campaign", "team": "sales"})
    assert goal.team == "sales"


def test_a_goal_says_everything_that_judging_needs(tmp_path: Path) -> None:
    """Every field reaches the core's goal, in the KPI's own unit."""
    entry = {
        **CSAT,
        "clear": ">= 90%",
        "warn": ">= 0.95",
        "min_samples": 20,
        "for": "10m",
        "severity": "critical",
        "evidence": 0.9,
        "what_to_do": "Read the comments.",
        "overrides": {"team": {"new": {"target": ">= 70%"}}, "agent": {"a-1": {"min_samples": 5}}},
    }
    file = write(tmp_path, entry, leads={"new": "ann"})
    (goal,), leads = load_goals(file, WINDOWS)
    terms = Terms(Target(True, 0.85), Target(True, 0.90), Target(True, 0.95), 20)
    assert goal.terms == terms
    assert (goal.for_ms, goal.severity, goal.evidence) == (600_000, "critical", 0.9)
    assert (goal.kpi.name, goal.scope, goal.window) == ("csat", "agent", "1h")
    assert goal.what_to_do == "Read the comments."
    # A moved target leaves the bounds beyond the old one behind; other terms stay.
    assert goal.team is None
    assert goal.by_team == {"new": Terms(Target(True, 0.70), None, None, 20)}
    assert goal.by_id == {"a-1": Terms(terms.target, terms.clear, terms.warn, 5)}
    assert leads == {"new": "ann"}


def test_what_to_do_comes_from_the_catalogue_where_the_goal_is_silent(tmp_path: Path) -> None:
    """An alert always says what to do."""
    (goal,) = load(tmp_path, AHT)
    assert goal.what_to_do == goal.kpi.when_missed
    assert goal.terms == Terms(Target(False, 390.0))


def test_no_file_and_an_empty_one_are_no_goals(tmp_path: Path) -> None:
    """Goals are not obligatory."""
    assert load_goals(tmp_path / "goals.yaml", WINDOWS) == ((), {})
    (tmp_path / "goals.yaml").write_text("# none yet\n")
    assert load_goals(tmp_path / "goals.yaml", WINDOWS) == ((), {})


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"target": ">= 120%"}, "goal 'csat-floor': target '>= 120%': csat lies between 0 and 1"),
        ({"target": "85%"}, "goal 'csat-floor': target '85%': expected '>=' or '<=' and a value"),
        ({"target": ">= high"}, "goal 'csat-floor': target '>= high': csat is in ratio"),
        ({"kpi": "csatt"}, "goal 'csat-floor': kpi: 'csatt': no such KPI"),
        ({"window": "2h"}, "goal 'csat-floor': window: '2h' is not kept; kept are ['15m', '1h']"),
        ({"window": "2x"}, "goal 'csat-floor': window: window '2x'"),
        ({"clear": ">= 80%"}, "goal 'csat-floor': clear '>= 80%': has to lie beyond the target"),
        ({"warn": "<= 90%"}, "goal 'csat-floor': warn '<= 90%': has to lie beyond the target"),
        ({"for": 5}, "goal 'csat-floor': for: 5: expected a duration"),
        ({"min_samples": 0}, "goal 'csat-floor': min_samples: Input should be greater"),
        ({"evidence": 1}, "goal 'csat-floor': evidence: Input should be less than 1"),
        ({"evidence": float("nan")}, "goal 'csat-floor': evidence: Input should be"),
        ({"severity": "dire"}, "goal 'csat-floor': severity: Input should be"),
        ({"colour": "red"}, "goal 'csat-floor': colour: no such field"),
        ({"co\nlour": "red"}, "goal 'csat-floor': 'co\\nlour': no such field"),
        ({"target": ">= " + " " * 100 + "1"}, "goal 'csat-floor': target: String should have at"),
        ({"purpose": ""}, "goal 'csat-floor': purpose: String should have at least 1"),
        ({"name": "Not OK"}, "goal 'Not OK': name: expected up to 100 of a-z, 0-9"),
        ({"name": None}, "goal no. 1: name: Input should be a valid string"),
        ({"scope": "floor"}, "goal 'csat-floor': scope: Input should be 'agent', 'team'"),
        (
            {"kpi": "service_level"},
            "goal 'csat-floor': kpi: 'service_level' is not given for scope 'agent'",
        ),
        (
            {"team": "billing"},
            "goal 'csat-floor': team: each agent has its own; 'team' is for other scopes",
        ),
        (
            {"kpi": "handle_time", "target": "<= 5m", "evidence": 0.9},
            "goal 'csat-floor': evidence: 'handle_time' is a mean, not a rate",
        ),
        (
            {"overrides": {"team": {"new": {"target": ">= 2"}}}},
            "goal 'csat-floor': overrides.team.new.target '>= 2': csat lies between 0 and 1",
        ),
        (
            {"scope": "team", "overrides": {"agent": {"a": {}}}},
            "goal 'csat-floor': overrides.agent: the goal is for a team; use 'id'",
        ),
    ],
)
def test_a_fault_is_a_line_from_the_outside_in(
    tmp_path: Path, change: dict[str, object], fault: str
) -> None:
    """Which goal, which field, what is written there, and what is wrong with it."""
    (line,) = faults(write(tmp_path, {**CSAT, **change}))
    assert line.startswith(fault)


def test_all_faults_of_all_goals_are_said_at_once(tmp_path: Path) -> None:
    """Also the name that two goals share."""
    twice = {**AHT, "target": "<= soon", "clear": "<= later"}
    found = faults(write(tmp_path, AHT, twice, {**CSAT, "window": "8h", "target": ">= 2"}))
    assert [line[:30] for line in found] == [
        "goal 'aht': there are 2 goals "[:30],
        "goal 'aht': target '<= soon': handle_time"[:30],
        "goal 'csat-floor': window: '8h' is not kept"[:30],
        "goal 'csat-floor': target '>= 2': csat"[:30],
    ]


def test_one_goals_fault_does_not_hide_anothers(tmp_path: Path) -> None:
    """A KPI that is not there, a target out of range and a name used twice: all at once."""
    lines = faults(
        write(tmp_path, {**CSAT, "target": ">= 120%"}, {**AHT, "kpi": "nosuch"}, AHT, AHT)
    )
    assert [line.partition(": ")[0] for line in lines] == [
        "goal 'aht'",
        "goal 'csat-floor'",
        "goal 'aht'",
    ]
    assert "there are 3 goals of this name" in lines[0]
    assert "'>= 120%'" in lines[1]
    assert "nosuch" in lines[2]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("goals: [", "not YAML"),
        ("- name: a", "goals file: (as a whole)"),
        ("goals: {a: 1}", "goals file: goals:"),
        ("gaols: []", "goals file: gaols: no such field"),
        ("goals: [7]", "goal no. 1:"),
        ("leads: {red: 7}", "goals file: leads.red:"),
        ("goals: [{1: 2}]", "goal no. 1:"),
        ("leads: {red: 2024-13-45}", "not YAML: line 1, column 14: what stands here is no timest"),
        ('leads: {red: "\\ud800"}', "not YAML: line 1, column 14: text with half of a surrogate"),
    ],
)
def test_a_file_of_another_shape_is_refused_in_a_line(
    tmp_path: Path, text: str, fault: str
) -> None:
    """No traceback, whatever stands in the file."""
    file = tmp_path / "goals.yaml"
    file.write_text(text)
    (line,) = faults(file)
    assert fault in line


def test_there_is_a_limit_on_goals(tmp_path: Path) -> None:
    """A file of a million goals is a mistake."""
    goals = [{**AHT, "name": f"g{n}"} for n in range(GOALS_MAX + 1)]
    (line,) = faults(write(tmp_path, *goals))
    assert line.startswith("goals file: goals: List should have at most 500 items")
