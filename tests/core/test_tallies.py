"""How many of a team's agents miss a KPI too: on one partition, and added up over several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stream.core.rollup import Batch, Report, Rollup
from stream.core.tallies import Tally
from tests.core.build import NOON, call, engine, goal, ms, survey, with_events

if TYPE_CHECKING:
    from stream.core.board import Board
    from stream.core.engine import Engine
    from stream.core.events import Event
    from stream.core.goals import Goal

LONG = 600_000
SHORT = 60_000
AGENTS = goal("<= 5m", name="agent-aht", min_samples=2)
TEAMS = goal("<= 5m", name="team-aht", scope="team")
GOALS = (TEAMS, AGENTS)  # teams first: their agents are judged after them


def contacts(agent: str, lengths: list[int], team: str | None = "red") -> list[Event]:
    """An agent's calls of these lengths in milliseconds."""
    return [call(agent_id=agent, team_id=team, talk_ms=length) for length in lengths]


def judged(*events: Event, goals: tuple[Goal, ...] = GOALS, **rules: Any) -> Engine:
    """An engine that has judged these at noon."""
    made = with_events(*events, goals=goals, **rules)
    made.begin_judging()
    made.tick(ms(NOON))
    return made


def tally_of(board: Board[Any]) -> dict[str, Tally | None]:
    """The tallies on what was announced, by goal and id."""
    announcements, _ = board.take_alerts()
    return {f"{a.key.goal}/{a.key.scope_id}": a.tally for a in announcements}


def test_a_teams_alert_says_how_many_of_its_agents_miss_the_kpi_too() -> None:
    """Two of three; the third meets it. Agents' own alerts say nothing of others."""
    made = judged(
        *contacts("a1", [LONG] * 4), *contacts("a2", [LONG] * 4), *contacts("a3", [SHORT] * 2)
    )
    assert tally_of(made) == {
        "team-aht/red": Tally(3, 2),
        "agent-aht/a1": None,
        "agent-aht/a2": None,
    }


def test_who_is_unproven_is_judged_and_who_has_nothing_is_not() -> None:
    """One contact is too few to miss it; no contact is nothing to judge."""
    events = [*contacts("a1", [LONG] * 4), *contacts("a2", [LONG])]
    events += [survey(agent_id="a3", team_id="red", csat=5)]
    assert tally_of(judged(*events))["team-aht/red"] == Tally(2, 1)


def test_an_agent_of_another_team_or_of_none_does_not_count() -> None:
    """An agent's team is that of the latest event."""
    events = [*contacts("a1", [LONG] * 2), *contacts("a2", [LONG] * 2, "blue")]
    events += contacts("a3", [LONG] * 2, None)
    found = tally_of(judged(*events))
    assert (found["team-aht/red"], found["team-aht/blue"]) == (Tally(1, 1), Tally(1, 1))


def test_of_two_goals_on_the_kpi_one_is_enough_to_miss_it() -> None:
    """An agent counts once, however many goals there are."""
    strict = goal("<= 1s", name="agent-strict", window="15m")
    found = tally_of(judged(*contacts("a1", [LONG, 2_000]), goals=(TEAMS, AGENTS, strict)))
    assert found["team-aht/red"] == Tally(1, 1)


@pytest.mark.parametrize(
    "goals",
    [(TEAMS,), (TEAMS, goal(">= 80%", name="csat", kpi="csat"))],
    ids=["none for agents", "for agents on another KPI"],
)
def test_where_agents_have_no_goal_on_the_kpi_nothing_is_said(goals: tuple[Goal, ...]) -> None:
    """None of them is judged on it, so nobody's alert is to wait."""
    assert tally_of(judged(*contacts("a1", [LONG] * 4), goals=goals)) == {"team-aht/red": None}


@pytest.mark.parametrize("is_older", [False, True])
def test_over_several_partitions_the_tallies_add_up(is_older: bool) -> None:
    """Each source tallies its own agents; the sum goes on the team's alert, with what it rests on.

    A source of an older version tells no tallies: then nothing is said, not half of it.
    """
    events = [
        [*contacts("a1", [LONG] * 4), *contacts("a2", [SHORT] * 2)],
        [*contacts("b1", [LONG] * 4), *contacts("b2", [LONG] * 2, "blue")],
    ]
    rollup = Rollup(engine(goals=GOALS, kinds=("team",)).rules, 2)
    for number, own in enumerate(events):
        source = judged(*own, kinds=("agent",), shared_kinds=("team",))
        tallies = None if is_older and number else source.verdicts.tallies()
        report = Report(number, ms(NOON), {}, {}, tallies=tallies)
        rollup.absorb(Batch(report, *source.shares.take(None)))
    rollup.begin_judging()
    rollup.roll(ms(NOON))
    assert tally_of(rollup)["team-aht/red"] == (None if is_older else Tally(3, 2))
