"""The shipped settings, goals, image and compose file load, and name what exists."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from stream.config import load_settings
from stream.goalfile import load_goals
from tests.deploy.exporter import DEPLOY, TOP
from tests.deploy.queries import BOARDS

COMPOSE = TOP / "docker-compose.yml"


def services() -> dict[str, Any]:
    """The compose file's services."""
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    return parsed


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
    assert home == f"{path}/wall.json"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())
    uids = re.findall(r'"uid": "(\w+)"', "".join(file.read_text() for file in BOARDS))
    assert set(uids) == {source["datasources"][0]["uid"]}
