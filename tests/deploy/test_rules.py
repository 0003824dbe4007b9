"""Prometheus's configuration, rules and alerts: accepted, tried, and explained in the runbook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.deploy import queries
from tests.deploy.exporter import DEPLOY
from tests.fetched import run

PROMETHEUS: Final = DEPLOY / "prometheus"
CASES: Final = Path(__file__).with_name("alerts.test.yml")
DISCOVERY: Final = sorted((PROMETHEUS / "discovery").glob("*.yml"))
# Debian's build leaves these out, and its checker knows nothing of them: their fields, by the
# documentation of Prometheus 3.
ELSEWHERE: Final = {
    "consul_sd_configs": {"server", "services"},
    "kubernetes_sd_configs": {"role", "selectors"},
}


def alerts() -> dict[str, dict[str, Any]]:
    """The alerts about ourselves, by name."""
    groups = yaml.safe_load((PROMETHEUS / "rules" / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def test_prometheus_accepts_its_configuration(promtool: str) -> None:
    """`promtool check config` has nothing against it, and it loads every rule."""
    file = PROMETHEUS / "prometheus.yml"
    run(promtool, "check", "config", file)
    config = yaml.safe_load(file.read_text())
    assert {file.relative_to(PROMETHEUS).as_posix() for file in queries.RULES} == {
        found.relative_to(PROMETHEUS).as_posix()
        for pattern in config["rule_files"]
        for found in PROMETHEUS.glob(pattern)
    }


@pytest.mark.parametrize("file", DISCOVERY, ids=lambda file: file.stem)
def test_prometheus_accepts_every_way_to_find_us(promtool: str, tmp_path: Path, file: Path) -> None:
    """Each example as it is; of those that Debian's build leaves out, all but the discovery."""
    config = yaml.safe_load(file.read_text())
    for job in config["scrape_configs"]:
        for name in ELSEWHERE.keys() & job.keys():
            (found,) = job.pop(name)
            assert found.keys() <= ELSEWHERE[name]
    written = tmp_path / "discovery" / file.name
    written.parent.mkdir()
    beside = [f"discovery/{path.name}" for path in (PROMETHEUS / "discovery").glob("*.json")]
    for needed in (*beside, *(f"rules/{rule.name}" for rule in queries.RULES)):
        (tmp_path / needed).parent.mkdir(exist_ok=True)
        (tmp_path / needed).write_text((PROMETHEUS / needed).read_text())
    written.write_text(yaml.safe_dump(config))
    run(promtool, "check", "config", "--lint-fatal", written)
    jobs = [job["job_name"] for job in config["scrape_configs"]]
    assert jobs == ["kpi-stream", "kpi-stream-notify"]  # by which the alerts know them


def test_alerts_fire_when_they_should_and_only_then(promtool: str) -> None:
    """`promtool test rules` over the cases beside this file."""
    run(promtool, "test", "rules", CASES)


def test_every_alert_is_tried_both_ways() -> None:
    """Each has a case in which it fires, with all that it says, and one in which it does not."""
    tried: dict[bool, set[str]] = {True: set(), False: set()}
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for check in case["alert_rule_test"]:
            tried[bool(check["exp_alerts"])].add(check["alertname"])
    assert tried[True] == tried[False] == alerts().keys()


def test_every_alert_is_in_the_runbook() -> None:
    """The runbook has a section for each, where its annotation points; and none for others."""
    runbook = (DEPLOY / "RUNBOOK.md").read_text()
    section = re.compile(
        r"^### (\w+)\n\*\*Means\.\*\* .+?\n\n\*\*Do\.\*\*", re.MULTILINE | re.DOTALL
    )
    explained = {name for name in section.findall(runbook) if name.startswith("KpiStream")}
    assert explained == alerts().keys()
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook"] == f"deploy/RUNBOOK.md#{name.lower()}"
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
