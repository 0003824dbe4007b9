"""The shipped files load, name what exists, and Prometheus understands them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from stream.config import load_settings
from stream.core.kpis import CATALOGUE
from stream.goalfile import load_goals
from tests.deploy import wall
from tests.deploy.wall import DEPLOY, TOP

if TYPE_CHECKING:
    from pathlib import Path

COMPOSE = TOP / "docker-compose.yml"
# They have no sample until a partition is owned, so a fresh registry does not show them.
BY_PARTITION = {
    "kpi_stream_commit_age_seconds": {"stage", "partition"},
    "kpi_stream_lag_records": {"topic", "partition"},
    "kpi_stream_partition_ready": {"stage", "partition"},
    "kpi_stream_rows": {"stage", "partition"},
}


@pytest.fixture(scope="module")
def promtool() -> str:
    """Prometheus's own checker."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    return found


def services() -> dict[str, Any]:
    """The compose file's services."""
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    return parsed


def run(*command: str | Path) -> None:
    """Runs a checker; what it says is the failure's message."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# ---------------------------------------------------------------- settings and goals


def test_settings_load() -> None:
    """The example settings are valid."""
    settings = load_settings(DEPLOY)
    assert settings.partitions == 4
    assert settings.security.protocol == "PLAINTEXT"


def test_goals_load_and_can_be_shown() -> None:
    """The example goals are valid, say what to do, and lie in scopes and windows that are shown."""
    settings = load_settings(DEPLOY)
    goals, leads = load_goals(DEPLOY / "goals.yaml", settings.windows)
    shown = settings.metrics.show
    assert 4 <= len(goals) <= 6
    assert set(leads) == set(settings.queue_teams().values())
    for goal in goals:
        assert goal.purpose
        assert goal.what_to_do != goal.kpi.when_missed
        assert goal.window in shown.windows
        assert goal.scope in shown.scopes


def test_overrides_name_teams_that_exist() -> None:
    """An override for a team nobody is in would be a typo."""
    settings = load_settings(DEPLOY)
    goals, _ = load_goals(DEPLOY / "goals.yaml", settings.windows)
    assert {team for goal in goals for team in goal.by_team} <= set(settings.queue_teams().values())


# ---------------------------------------------------------------- compose


def test_compose_mounts_what_exists() -> None:
    """Every path of this repository that a service mounts or builds from is there."""
    for service in services().values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (TOP / source).exists(), source
        if "build" in service:
            assert (TOP / service["build"]["context"] / service["build"]["dockerfile"]).exists()


def test_compose_pins_versions_and_keeps_no_secret() -> None:
    """Images have versions, no password is written down, ports are open to this machine only."""
    for name, service in services().items():
        image = service.get("image", "built:0.0")
        assert re.search(r":v?\d+\.\d+", image), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        settings = " ".join(service.get("environment", {})).upper()
        assert not re.search(r"PASSWORD|SECRET|TOKEN", settings), name


def test_worker_gets_settings_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's environment and mounted file together are valid and reach the broker inside."""
    worker = services()["worker"]
    for name, value in worker["environment"].items():
        monkeypatch.setenv(name, value)
    settings = load_settings(DEPLOY)
    assert settings.metrics.host == "0.0.0.0"  # noqa: S104 - inside a container
    assert f":{settings.metrics.port}" in worker["ports"][0]
    kafka = services()["kafka"]["environment"]
    assert f"INSIDE://{settings.broker}," in kafka["KAFKA_ADVERTISED_LISTENERS"]
    targets = {volume.split(":")[1] for volume in worker["volumes"]}
    workdir = re.findall(r"^WORKDIR (\S+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)[-1]
    assert targets == {f"{workdir}/kpi-stream.yaml", f"{workdir}/goals.yaml"}


def test_image_copies_what_exists() -> None:
    """Each file that the image copies is there, and not held back by its ignore file."""
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    let_in = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    for source in " ".join(copies).split():
        assert (TOP / source).exists()
        assert f"!{source}" in let_in
    assert "USER kpi-stream" in dockerfile
    assert f":{load_settings(DEPLOY).metrics.port}/health" in dockerfile


def test_grafana_finds_its_dashboards_and_data() -> None:
    """The provider looks where compose mounts the dashboards, and the data source has their uid."""
    provisioning = DEPLOY / "grafana" / "provisioning"
    provider = yaml.safe_load((provisioning / "dashboards" / "walls.yaml").read_text())
    path = provider["providers"][0]["options"]["path"]
    mounts = [volume.split(":")[:2] for volume in services()["grafana"]["volumes"]]
    assert ["./deploy/grafana/dashboards", path] in mounts
    home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{path}/{wall.WALL.name}"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())
    uids = set(re.findall(r'"type": "prometheus",\s*"uid": "(\w+)"', wall.WALL.read_text()))
    assert uids == {source["datasources"][0]["uid"]}


# ---------------------------------------------------------------- the wall


def test_wall_asks_for_metrics_that_exist() -> None:
    """Each metric and label of the wall's queries and variables is one that a worker shows."""
    known = wall.labels_by_metric(wall.metrics(wall.engine(satisfied=0))) | BY_PARTITION
    known |= {kpi.metric: known["kpi_csat_ratio"] for kpi in CATALOGUE.values()}
    asked = [query.expression for query in wall.queries()]
    asked += [variable["definition"] for variable in wall.dashboard()["templating"]["list"]]
    for expression in asked:
        uses = list(wall.used(expression))
        assert uses, expression
        for metric, labels in uses:
            assert metric in known, expression
            assert labels <= known[metric], expression
        everything = set().union(*(known[metric] for metric, _ in uses))
        assert wall.groupings(expression) <= everything, expression


def test_wall_names_goals_and_kpis_that_exist() -> None:
    """Each goal on the wall is among the shipped ones, and of the KPI beside it; so are samples."""
    settings = load_settings(DEPLOY)
    goals, _ = load_goals(DEPLOY / "goals.yaml", settings.windows)
    kpi_of_goal = {goal.name: goal.kpi.name for goal in goals}
    metrics = {kpi.metric: name for name, kpi in CATALOGUE.items()}
    for panel in wall.dashboard()["panels"]:
        text = " ".join(target["expr"] for target in panel["targets"])
        shown = {metrics[metric] for metric, _ in wall.used(text) if metric in metrics}
        assert {kpi_of_goal[name] for name in re.findall(r'goal="([\w-]+)"', text)} <= shown
        assert set(re.findall(r'kpi="(\w+)"', text)) <= shown


def test_every_figure_has_its_samples() -> None:
    """No rate or mean is on the wall without the number of contacts it rests on."""
    metrics = {kpi.metric: kpi for kpi in CATALOGUE.values() if kpi.shape != "count"}
    for panel in wall.dashboard()["panels"]:
        text = " ".join(target["expr"] for target in panel["targets"])
        shown = {metrics[metric].name for metric, _ in wall.used(text) if metric in metrics}
        assert shown <= set(re.findall(r'kpi_samples\{kpi="(\w+)"', text)), panel["title"]


def test_wall_windows_are_shown() -> None:
    """The window that the wall opens with is among those that the settings show."""
    variables = {v["name"]: v for v in wall.dashboard()["templating"]["list"]}
    assert set(variables) == {"team", "window"}
    shown = load_settings(DEPLOY).metrics.show.windows
    assert variables["window"]["current"]["value"] in shown


# ---------------------------------------------------------------- Prometheus


def test_prometheus_accepts_its_configuration(promtool: str) -> None:
    """`promtool check config` has nothing against it, and it scrapes the worker's port."""
    file = DEPLOY / "prometheus" / "prometheus.yml"
    run(promtool, "check", "config", file)
    scraped = yaml.safe_load(file.read_text())["scrape_configs"][0]["dns_sd_configs"][0]
    assert scraped["names"] == ["worker"]
    assert scraped["port"] == load_settings(DEPLOY).metrics.port


def test_prometheus_accepts_every_query(promtool: str, tmp_path: Path) -> None:
    """Each query of the wall is PromQL."""
    rules = [{"record": "q", "expr": q.filled(), "labels": {"n": q.ref}} for q in wall.queries()]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "wall", "rules": rules}]}))
    run(promtool, "check", "rules", "--lint=none", file)


def answers(promtool: str, folder: Path, text: str, expected: dict[str, int]) -> None:
    """Asserts how many series each expression finds in what a worker shows."""
    series = [
        {"series": name, "values": value}
        for name, value in (
            line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")
        )
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


@pytest.mark.parametrize(("satisfied", "verdict"), [(10, "met"), (0, "missed"), (8, "unproven")])
def test_tiles_say_the_verdict(promtool: str, tmp_path: Path, satisfied: int, verdict: str) -> None:
    """Of a tile's four colours one shows: that of the goal's verdict, with target and samples."""
    text = wall.metrics(wall.engine(satisfied))
    tile = {q.ref: q.filled() for q in wall.queries() if q.panel == "Satisfied customers"}
    always = {"target", "samples"}
    assert set(tile) == {"met", "unproven", "missed", "free"} | always
    expected = {tile[ref]: int(ref in {verdict} | always) for ref in tile}
    answers(promtool, tmp_path, text, expected)


def test_tiles_are_neutral_without_a_goal(promtool: str, tmp_path: Path) -> None:
    """On a window that has no goal a tile shows its figure and judges nothing."""
    text = wall.metrics(wall.engine(satisfied=0))
    tile = [q for q in wall.queries() if q.panel == "Satisfied customers"]
    expected = {q.filled(window="today"): int(q.ref in {"free", "samples"}) for q in tile}
    answers(promtool, tmp_path, text, expected)


def test_tables_have_their_rows(promtool: str, tmp_path: Path) -> None:
    """The agents' table has a row per agent, and the alerts' table the one that fires."""
    text = wall.metrics(wall.engine(satisfied=0))
    rows = {q.filled(): 4 for q in wall.queries() if q.panel.startswith("Agents of")}
    firing = next(q for q in wall.queries() if q.panel == "Alerts firing")
    answers(promtool, tmp_path, text, rows | {firing.filled(): 1})
