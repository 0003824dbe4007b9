"""Gauges say what readings say, of what the allow-list names, in text that Prometheus reads."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from stream.config import Shown
from stream.core.engine import Engine
from stream.core.goals import Target, Terms
from stream.core.kpis import CATALOGUE, SCOPE_KINDS
from stream.serve.exposition import Exposition
from tests.core.build import call, engine, goal, ms, survey, with_events

WINDOWS = ("15m", "1h")
ALL = Shown(windows=WINDOWS)


def samples(*engines: Engine, shown: Shown = ALL) -> list[Sample]:
    """What Prometheus's own parser reads."""
    text = b"".join(Exposition(shown).render(engines)).decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def gauges(found: list[Sample]) -> dict[tuple[str, str, str, str], float]:
    """KPI values by metric, scope, id and window; no two of the same."""
    kpis = [s for s in found if "kpi" not in s.labels and s.name != "kpi_agent_info"]
    places = [(s.name, s.labels["scope"], s.labels["id"], s.labels["window"]) for s in kpis]
    assert len(set(places)) == len(places)
    return dict(zip(places, (s.value for s in kpis), strict=True))


def busy() -> Engine:
    """An engine in which every KPI of every scope has samples, and most have several."""
    where = {"team_id": "t", "site_id": "s", "channel": "phone", "campaign": "c"}
    calls = [
        call(
            "2024-06-03T11:50:00Z",
            agent_id=agent,
            queue=queue,
            wait_ms=n * 7_000,
            talk_ms=n * 60_001,
            hold_ms=n * 1_000,
            wrap_ms=n * 7,
            resolved=n % 2 == 0,
            transferred_by="agent" if n == 2 else None,
            **where,
        )
        for agent, queue in (("a1", "q1"), ("a2", "q2"), ("a1", "q2"))
        for n in range(1, 8)
    ]
    calls += [
        call("2024-06-03T11:20:00Z", agent_id=None, outcome="abandoned", queue="q1", wait_ms=9_000)
    ]
    answers = [
        survey(
            "2024-06-03T11:55:00Z", agent_id=agent, queue="q1", csat=n, nps=2 * n, ces=n, **where
        )
        for agent in ("a1", "a2")
        for n in range(1, 6)
    ]
    return with_events(*calls, *answers, queue_teams={"q1": "t"})


def test_every_gauge_equals_its_reading() -> None:
    """Each KPI of each scope, id and window: the same value, the same samples, nothing else."""
    made = busy()
    found = samples(made)
    values = gauges(found)
    counts = {
        (s.labels["kpi"], s.labels["scope"], s.labels["id"], s.labels["window"]): s.value
        for s in found
        if s.name == "kpi_samples"
    }
    expected: dict[tuple[str, str, str, str], float] = {}
    expected_counts: dict[tuple[str, str, str, str], float] = {}
    for kind in SCOPE_KINDS:
        for window in WINDOWS:
            for reading in made.read_all(kind, window):
                for figure in reading.figures:
                    if figure.value is not None:
                        place = (kind, reading.scope_id, window)
                        expected[figure.kpi.metric, *place] = figure.value
                        expected_counts[figure.kpi.name, *place] = figure.samples
    assert values == expected
    assert counts == expected_counts
    assert {name for name, *_ in values} == {kpi.metric for kpi in CATALOGUE.values()}


@given(st.lists(st.text(min_size=1, max_size=200), min_size=1, max_size=5, unique=True))
def test_any_name_comes_through_the_parser(names: list[str]) -> None:
    """Whatever an id or a team consists of, Prometheus's parser gives it back."""
    made = with_events(*[call(agent_id=name, team_id=name, talk_ms=1) for name in names])
    shown = Shown(scopes=("agent",), windows=("1h",), kpis=("handled",))
    found = [s for s in samples(made, shown=shown) if s.name == "kpi_handled_contacts"]
    assert sorted(s.labels["id"] for s in found) == sorted(names)
    assert all(s.labels["team"] == s.labels["id"] for s in found)


def test_the_allow_list_is_all_that_is_shown() -> None:
    """Scopes, windows and KPIs that it does not name are not there, also among the samples."""
    shown = Shown(scopes=("queue",), windows=("15m",), kpis=("csat",))
    found = samples(busy(), shown=shown)
    assert {(s.name, s.labels["scope"], s.labels["window"]) for s in found} == {
        ("kpi_csat_ratio", "queue", "15m"),
        ("kpi_samples", "queue", "15m"),
    }
    assert {s.labels["kpi"] for s in found if s.name == "kpi_samples"} == {"csat"}


def test_what_is_empty_has_no_sample_and_no_head() -> None:
    """No survey: no CSAT line at all, not 0, not NaN; an engine without a now shows nothing."""
    text = b"".join(Exposition(ALL).render([with_events(call(talk_ms=1))])).decode()
    assert "csat" not in text
    assert "NaN" not in text
    assert list(Exposition(ALL).render([engine(at=None)])) == []
    assert list(Exposition(ALL).render([])) == []


def test_an_agent_who_left_the_window_is_gone_from_the_next_scrape() -> None:
    """Nothing is kept between scrapes; a window kept but not shown does not bring it back."""
    made = with_events(call(talk_ms=1))
    exposition = Exposition(ALL)
    assert b'id="a1"' in b"".join(exposition.render([made]))
    made.tick(ms("2024-06-03T13:00:00Z"))
    assert list(exposition.render([made])) == []


def judged(**fields: Any) -> Engine:
    """An engine whose agent a1 misses a goal, and a2 meets it."""
    made = engine(goals=(goal("<= 5m", **fields),))
    made.begin_judging()
    made.apply([call(talk_ms=600_000), call(agent_id="a2", talk_ms=1_000)])
    made.tick(ms("2024-06-03T12:00:30Z"))
    return made


def test_goals_show_state_target_and_the_alert_while_it_fires() -> None:
    """The states are numbered as the help text says; only a firing alert has a line."""
    found = samples(judged())
    states = {s.labels["id"]: s.value for s in found if s.name == "kpi_goal_state"}
    targets = {s.labels["id"]: s.value for s in found if s.name == "kpi_goal_target"}
    firing = {s.labels["id"]: s.value for s in found if s.name == "kpi_alert_firing"}
    assert states == {"a1": 3, "a2": 1}
    assert targets == {"a1": 300, "a2": 300}
    assert firing == {"a1": 1}
    pending = samples(judged(for_ms=60_000))
    assert not [s for s in pending if s.name == "kpi_alert_firing"]


def test_targets_say_on_which_side_good_values_lie_and_where_amber_begins() -> None:
    """The side is that of the goal's own bound; a goal without an amber band has no line for it."""
    lines = {s.name: s for s in samples(judged(warn="<= 4m")) if s.labels.get("id") == "a1"}
    assert (lines["kpi_goal_target"].labels["bound"], lines["kpi_goal_target"].value) == (
        "max",
        300,
    )
    assert (lines["kpi_goal_warn"].labels["bound"], lines["kpi_goal_warn"].value) == ("max", 240)
    assert "kpi_goal_warn" not in {s.name for s in samples(judged())}
    least = judged(terms=Terms(Target(at_least=True, bound=1.0)))
    assert {s.labels["bound"] for s in samples(least) if s.name == "kpi_goal_target"} == {"min"}


def test_a_firing_alert_says_since_when() -> None:
    """In event time, with the same labels as the alert itself; a pending one says nothing."""
    found = {s.name: s for s in samples(judged())}
    fired, firing = found["kpi_alert_fired_timestamp_seconds"], found["kpi_alert_firing"]
    assert fired.value == ms("2024-06-03T12:00:30Z") / 1000
    assert fired.labels == firing.labels
    assert (firing.labels["kpi"], firing.labels["severity"]) == ("handle_time", "warning")
    pending = samples(judged(for_ms=60_000))
    assert not [s for s in pending if s.name.startswith("kpi_alert")]


def test_an_alert_has_the_team_that_its_goal_names() -> None:
    """A wall shows its own; the site's figures themselves are nobody's."""
    made = engine(goals=(goal("<= 5m", scope="site", team="t9"),))
    made.begin_judging()
    made.apply([call(talk_ms=600_000, site_id="s")])
    made.tick(ms("2024-06-03T12:00:30Z"))
    teams = {s.name: s.labels["team"] for s in samples(made) if s.labels.get("scope") == "site"}
    assert teams["kpi_alert_firing"] == teams["kpi_alert_fired_timestamp_seconds"] == "t9"
    assert {teams["kpi_goal_state"], teams["kpi_samples"]} == {""}


def test_agents_say_their_team_and_site() -> None:
    """One line per agent who is shown, of the latest event that named a team."""
    made = with_events(
        call("2024-06-03T11:50:00Z", agent_id="a1", team_id="old", site_id="south", talk_ms=1),
        call("2024-06-03T11:55:00Z", agent_id="a1", team_id="new", site_id="north", talk_ms=1),
        call("2024-06-03T11:55:00Z", agent_id="a2", talk_ms=1),
        call("2024-06-03T10:30:00Z", agent_id="gone", team_id="new", talk_ms=1),
    )
    found = [s.labels for s in samples(made) if s.name == "kpi_agent_info"]
    assert found == [
        {"id": "a1", "team": "new", "site": "north"},
        {"id": "a2", "team": "", "site": ""},
    ]
    hidden = samples(made, shown=Shown(scopes=("team",), windows=WINDOWS))
    assert "kpi_agent_info" not in {s.name for s in hidden}


def test_a_goal_outside_the_allow_list_or_before_judging_is_not_shown() -> None:
    """No verdict is shown that was not given yet, nor one of a window that is not shown."""
    made = engine(goals=(goal("<= 5m"),))
    made.apply([call(talk_ms=600_000)])
    made.tick(ms("2024-06-03T12:00:30Z"))
    assert not [s for s in samples(made) if "goal" in s.labels]
    hidden = samples(judged(), shown=Shown(windows=("15m",)))
    assert not [s for s in hidden if "goal" in s.labels]


def test_samples_of_one_metric_stand_together() -> None:
    """Two partitions' gauges come under one head, as the format asks."""
    other = with_events(call(agent_id="b1", talk_ms=1))
    lines = b"".join(Exposition(ALL).render([busy(), other])).decode().splitlines()
    heads = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))
    names = [line.split("{")[0] for line in lines if not line.startswith("#")]
    changes = [name for before, name in zip(["", *names], names, strict=False) if before != name]
    assert len(changes) == len(set(changes))


def test_a_scrape_goes_on_in_steps_and_is_of_the_first() -> None:
    """Events are counted between two steps; what is shown is as of one instant."""
    made, expected = busy(), b"".join(Exposition(ALL).render([busy()]))
    steps = Exposition(ALL).render([made])
    parts = [next(steps)]
    made.apply([call(talk_ms=1), call(agent_id="new", talk_ms=1)])
    parts += steps
    assert len(parts) > 5
    assert b"".join(parts) == expected
