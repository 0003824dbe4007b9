"""The boards are those of their code, ask for what a worker shows, and say what it judges."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.boards.__main__ import generated
from deploy.grafana.boards.names import TITLES
from deploy.grafana.boards.promql import recorded
from stream.config import load_settings
from stream.core.kpis import CATALOGUE, kpis_of
from tests.deploy import exporter, queries
from tests.deploy.exporter import DEPLOY
from tests.deploy.queries import Query, dashboards, panels
from tests.fetched import run

TARGET_LABELS = {"job", "instance"}
ALL = queries.queries()


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """The labels of every metric that a worker or a notifier shows, and of every recorded one."""
    shown = exporter.labels_by_metric(exporter.metrics(exporter.engine(satisfied=0)))
    shown |= exporter.labels_by_metric(exporter.notifier())
    shown |= exporter.owned()
    shown |= {kpi.metric: shown["kpi_csat_ratio"] for kpi in CATALOGUE.values()}
    kept = {name: queries.groupings(asked) for name, asked in queries.rules("record").items()}
    return shown | kept


# ---------------------------------------------------------------- as generated


@pytest.mark.parametrize("file", generated(), ids=lambda file: file.name)
def test_files_are_those_of_the_code(file: Path) -> None:
    """`make boards` would change nothing."""
    assert file.read_text("utf-8") == generated()[file]


def test_no_board_is_left_behind() -> None:
    """Every board has its code."""
    assert set(queries.BOARDS) <= set(generated())


@pytest.mark.parametrize("name", dashboards())
def test_boards_fit_grafanas_model(name: str) -> None:
    """The SDK's types of Grafana's schema read a board and write the same: no stray field."""
    register_default_plugins()
    board = dashboards()[name]
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    assert again == board


def test_panels_lie_side_by_side() -> None:
    """Within 24 columns, none on another, each with a number of its own."""
    for name, board in dashboards().items():
        numbers = [panel["id"] for panel in panels(board)]
        assert len(set(numbers)) == len(numbers), name
        for group in (board["panels"], *(p.get("panels", []) for p in board["panels"])):
            taken = [cell for panel in group for cell in cells(panel["gridPos"])]
            assert len(set(taken)) == len(taken), name
            assert all(column < 24 for column, _ in taken)


def cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    """The cells of the grid that a panel covers."""
    for column in range(place["x"], place["x"] + place["w"]):
        for row in range(place["y"], place["y"] + place["h"]):
            yield column, row


def test_every_panel_says_what_it_shows() -> None:
    """A title, a description, and words for where there is nothing."""
    for name, board in dashboards().items():
        for panel in panels(board):
            assert panel["title"], name
            assert panel["description"], (name, panel["title"])
            nothing = panel["fieldConfig"]["defaults"]["noValue"]
            assert nothing, (name, panel["title"])
            assert nothing != "0", (name, panel["title"])


# ---------------------------------------------------------------- asks for what there is


def test_boards_and_rules_ask_for_metrics_that_exist(known: dict[str, set[str]]) -> None:
    """Each metric and label, of queries, variables and recording rules, is one that is shown."""
    asked = [(query.panel, query.filled()) for query in ALL]
    asked += [(board, queries.fill(series)) for board, series, _ in queries.choices()]
    asked += list(queries.rules("record").items())
    asked += list(queries.rules("alert").items())
    for where, expression in asked:
        uses = queries.used(expression)
        assert uses, where
        for metric, labels in uses:
            if metric == "up":
                continue
            assert metric in known, (where, metric)
            assert labels <= known[metric] | TARGET_LABELS, (where, metric)
        there = set().union(*(known.get(metric, set()) for metric, _ in uses)) | TARGET_LABELS
        assert queries.groupings(expression) <= there | queries.made(expression), where


def test_the_readme_names_metrics_that_exist(known: dict[str, set[str]]) -> None:
    """Its table of metrics is that of the exporter."""
    readme = (DEPLOY.parent / "README.md").read_text("utf-8")
    named = set(re.findall(r"`(kpi_\w+?)`", readme[readme.index("## Metrics") :]))
    assert len(named) > 12
    assert named <= known.keys()


def test_variables_list_labels_that_exist(known: dict[str, set[str]]) -> None:
    """What a variable lists is a label of its series."""
    for board, series, label in queries.choices():
        ((metric, _),) = queries.used(queries.fill(series))
        assert label in known[metric], board


def test_variables_that_queries_use_are_there() -> None:
    """No query waits for a variable that its board has not."""
    for name, board in dashboards().items():
        names = {v["name"] for v in board.get("templating", {}).get("list", [])}
        text = json.dumps([panel["targets"] for panel in panels(board)])
        for variable in ("site", "team", "queue", "agent", "window"):
            assert (f"${variable}" not in text) or variable in names, (name, variable)


def test_windows_are_shown() -> None:
    """The windows that boards open with are among those that the settings show."""
    shown = load_settings(DEPLOY).metrics.show.windows
    for name, board in dashboards().items():
        for variable in board.get("templating", {}).get("list", []):
            if variable["name"] == "window":
                assert variable["current"]["value"] in shown, name


def test_every_kpi_is_on_a_board_of_each_scope_that_has_one() -> None:
    """The catalogue is the boards' source: nothing new is forgotten."""
    assert set(TITLES) == set(CATALOGUE)
    for board, kind in (("agent", "agent"), ("site", "site")):
        metrics = {m for q in ALL if q.board == board for m, _ in queries.used(q.filled())}
        assert {kpi.metric for kpi in kpis_of(kind)} <= metrics
    recorded_names = set(queries.rules("record"))
    assert {recorded(kpi.metric) for kpi in CATALOGUE.values()} <= recorded_names


def test_every_figure_has_its_samples() -> None:
    """No rate or mean is on a board without the number of contacts it rests on."""
    figures = {kpi.metric: kpi for kpi in CATALOGUE.values() if kpi.shape != "count"}
    figures |= {recorded(metric): kpi for metric, kpi in figures.items()}
    for board, content in dashboards().items():
        for panel in panels(content):
            text = " ".join(target["expr"] for target in panel["targets"])
            uses = [
                u.metric for t in panel["targets"] for u in queries.used(queries.fill(t["expr"]))
            ]
            for kpi in {figures[metric].name for metric in uses if metric in figures}:
                assert f'samples{{kpi="{kpi}"' in text or f'samples:max{{kpi="{kpi}"' in text, board


def test_the_wall_is_read_from_five_metres() -> None:
    """Figures are 16 minutes of arc high and names 10, and no panel has text of a fixed size.

    On a screen of 55 inches, 1,218 mm wide; capitals are 0.7 of a font's size.
    """
    for panel in panels(dashboards()["wall"]):
        assert panel["type"] in {"stat", "bargauge"}, panel["title"]
    big = [p for p in panels(dashboards()["wall"]) if p["gridPos"]["h"] > 3]
    minute = math.tan(math.radians(1 / 60)) * 5_000 / (0.7 * 1_218 / 1_920)
    for panel in big:
        assert panel["options"]["text"]["valueSize"] >= 16 * minute, panel["title"]
        assert panel["options"]["text"]["titleSize"] >= 10 * minute, panel["title"]
    assert sum(p["gridPos"]["h"] for p in big if p["gridPos"]["x"] == 0) <= 26  # of a screen's 28


# ---------------------------------------------------------------- says what is judged


def answers(promtool: str, folder: Path, text: str, expected: dict[str, int]) -> None:
    """Asserts how many series each expression finds in what a worker shows."""
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    series = [
        {"series": name, "values": value}
        for name, value in lines
        if name.startswith("kpi_") and "_bucket{" not in name
    ]
    checks = [
        {
            "expr": f"count({expression})",
            "eval_time": "0s",
            "exp_samples": [{"labels": "{}", "value": count}] if count else [],
        }
        for expression, count in expected.items()
    ]
    file = folder / "test.yml"
    test = {"interval": "1m", "input_series": series, "promql_expr_test": checks}
    file.write_text(json.dumps({"rule_files": [], "tests": [test]}))
    run(promtool, "test", "rules", file)


def tile(panel: str = "Satisfied") -> list[Query]:
    """The questions of one of the wall's tiles."""
    return [query for query in ALL if (query.board, query.panel) == ("wall", panel)]


@pytest.mark.parametrize(
    ("satisfied", "verdict"), [(10, "met"), (9, "met"), (8, "unproven"), (0, "missed")]
)
def test_tiles_say_the_verdict(promtool: str, tmp_path: Path, satisfied: int, verdict: str) -> None:
    """Of a tile's five colours one shows: that of the goal's verdict."""
    text = exporter.metrics(exporter.engine(satisfied))
    expected = {query.filled(): int(query.ref == verdict) for query in tile()}
    assert len(expected) == 5
    answers(promtool, tmp_path, text, expected)


def test_tiles_are_yellow_in_the_amber_band(promtool: str, tmp_path: Path) -> None:
    """Met, and not yet beyond `warn`: a team whose goal begins to warn at more than it has."""
    text = exporter.metrics(exporter.engine(satisfied=9))
    warned = text.replace('bound="min"} 0.88', 'bound="min"} 0.95')
    assert warned != text
    expected = {query.filled(): int(query.ref == "near") for query in tile()}
    answers(promtool, tmp_path, warned, expected)


def test_tiles_are_neutral_without_a_goal(promtool: str, tmp_path: Path) -> None:
    """On a window that has no goal a tile shows its figure and judges nothing."""
    text = exporter.metrics(exporter.engine(satisfied=0))
    expected = {query.filled(window="today"): int(query.ref == "free") for query in tile()}
    answers(promtool, tmp_path, text, expected)


def test_agents_are_each_ranked_once(promtool: str, tmp_path: Path) -> None:
    """Whatever their verdicts, the colours together hold every agent of the team."""
    text = exporter.metrics(exporter.engine(satisfied=0))
    ranked = [q for q in ALL if q.board == "wall" and q.panel.startswith("Agents of")]
    assert len(ranked) == 5
    everyone = " or ".join(f"({query.filled()})" for query in ranked)
    answers(promtool, tmp_path, text, {everyone: 4})


@pytest.mark.parametrize("notifiers", [0, 1, 2])
def test_people_go_by_their_name_where_the_roster_has_one(
    promtool: str, tmp_path: Path, notifiers: int
) -> None:
    """In the ranking and among the alerts; the others by their id, and all where nobody serves it.

    A second notifier that is not gone yet, with another name for somebody, makes nobody two.
    """
    shown = exporter.metrics(exporter.engine(satisfied=0))
    entry = 'kpi_stream_roster_info{agent="a-1",name="Mika",site="",team=""} 1.0'
    assert entry in exporter.notifier()
    served = [entry.replace("{", f'{{instance="{n}",').replace("Mika", f"Mika {n}") for n in "ab"]
    text = "\n".join([*served[:notifiers], shown])
    wall = [q for q in ALL if q.board == "wall"]
    ranked = [f"({q.filled()})" for q in wall if q.panel.startswith("Agents of")]
    fired = [f"({q.filled()})" for q in wall if q.panel == "Alerts firing"]
    everyone, alerts = " or ".join(ranked), " or ".join(fired)

    def called(*names: str) -> str:
        given = [f'label_replace(vector(1), "name", "{name}", "", "")' for name in names]
        return f"and on (name) ({' or '.join(given)})"

    expected = {
        f"({everyone}) {called('Mika a', 'Mika b')}": min(notifiers, 1),
        f"({everyone}) {called('a-0', 'a-1', 'a-2', 'a-3')}": 4 - min(notifiers, 1),
        f"({alerts}) {called(exporter.TEAM)}": 1,
    }
    answers(promtool, tmp_path, text, expected)


def test_a_sites_teams_are_those_with_somebody_there(promtool: str, tmp_path: Path) -> None:
    """Once, however many of its agents are there; and not at a site where it has nobody."""
    text = exporter.metrics(exporter.engine(satisfied=0))
    listed = [q for q in ALL if q.board == "site" and q.ref == "csat"][:1]
    expected = {q.filled(site=site): n for q in listed for site, n in (("north", 1), ("south", 0))}
    assert len(expected) == 2
    answers(promtool, tmp_path, text, expected)


def test_the_firing_alert_is_listed_under_its_severity(promtool: str, tmp_path: Path) -> None:
    """A warning is among the warnings only."""
    text = exporter.metrics(exporter.engine(satisfied=0))
    listed = [q for q in ALL if (q.board, q.panel) == ("wall", "Alerts firing")]
    expected = {query.filled(): int(query.ref == "warning") for query in listed}
    assert len(expected) == 3
    answers(promtool, tmp_path, text, expected)


def test_prometheus_accepts_every_query(promtool: str, tmp_path: Path) -> None:
    """Each query of every board is PromQL to Prometheus itself."""
    rules = [
        {"record": "q", "expr": q.filled(), "labels": {"n": str(n)}} for n, q in enumerate(ALL)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "boards", "rules": rules}]}))
    run(promtool, "check", "rules", "--lint=none", file)
