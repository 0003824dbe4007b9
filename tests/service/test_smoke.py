"""Every command line, variable, file and health check of the stack, for real.

Of compose all but Grafana and Mailpit, which are not in Debian's archive and cannot be fetched
otherwise. Grafana's provisioning is held to what compose mounts in `tests/deploy/test_stack.py`,
and each panel's query to a real Prometheus in `tests/deploy/test_live.py`; in Mailpit's place there
is a mail server of the tests' own, which shows that mails come to where Mailpit would be.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.deploy import files
from tests.deploy.exporter import DEPLOY
from tests.kafka.live import wait_until
from tests.ports import free_port
from tests.service.conftest import Site
from tests.service.hosts import Hosts
from tests.service.kubernetes import pod
from tests.service.program import START_S, HttpCheck, Unit, owned
from tests.service.stack import BESIDE_KAFKA, NOT_HERE
from tests.service.systemd import service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_compose_starts_what_it_says(site: Site) -> None:
    """Each service gets well by its own health check, and was not before it ran."""
    stack = site.stack
    stack.stop_ours()
    stack.run_ours()
    assert stack.units.keys() == stack.services.keys() - set(NOT_HERE)
    assert stack.were_unwell == dict.fromkeys(stack.units, True)
    running = [unit.process for unit in stack.units.values()]
    assert all(process is not None and process.poll() is None for process in running)


def test_compose_finds_itself(site: Site) -> None:
    """Prometheus has read its rules, scrapes all of ours, knows the Alertmanager; all ends."""
    stack = site.stack
    if not stack.units.keys() >= set(files.OURS):
        stack.run_ours()
    targets = stack.ask("prometheus", "/api/v1/targets")["data"]["activeTargets"]
    scraped = [t["labels"]["instance"] for t in targets]
    assert sorted(map(stack.hosts.name, scraped)) == sorted(files.OURS)
    wait_until(lambda: len(stack.query("up == 1")) == len(files.OURS), 20, "all are up")
    groups = stack.ask("prometheus", "/api/v1/rules")["data"]["groups"]
    assert {Path(group["file"]).name for group in groups} == {"alerts.yml", "history.yml"}
    known = stack.ask("prometheus", "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
    assert [found["url"] for found in known] == [f"{stack.url('alertmanager')}/api/v2/alerts"]
    assert stack.stop_ours() == dict.fromkeys(files.OURS, 0)


def test_what_is_gone_is_unwell(site: Site) -> None:
    """Prometheus and Alertmanager, by their own checks, and well again once they are back.

    Ours wherever they are stopped, and Kafka before its start: its check takes a JVM, and a minute.
    """
    assert site.stack.restart(*BESIDE_KAFKA) == dict.fromkeys(BESIDE_KAFKA, True)


def test_units_start_what_they_say(site: Site, tmp_path: Path) -> None:
    """A worker and notifications under their variables; well, and ended by SIGTERM in time."""
    site.stack.stop_ours()
    shutil.copytree(DEPLOY, tmp_path / "etc", ignore=shutil.ignore_patterns("grafana"))
    folder = tmp_path / "etc"
    places = f"KPI_STREAM_BROKER={site.stack.broker}\n"
    told = f'KPI_STREAM_NOTIFY__ALERTMANAGERS=["{site.stack.url("alertmanager")}"]\n'
    (folder / "worker-1.env").write_text(places)
    (folder / "notify.env").write_text(places + told)
    names = {"kpi-stream-worker@": "KPI_STREAM_METRICS__PORT"}
    started = [
        service(
            file,
            folder,
            free_port(),
            variable=names.get(file.stem, "KPI_STREAM_NOTIFY__METRICS__PORT"),
            instance="1",
        )
        for file in files.UNITS
    ]
    run_and_stop(started)


def test_pods_start_what_they_say(site: Site, tmp_path: Path) -> None:
    """A worker and notifications with their maps; all probes pass, and a stop is in time."""
    site.stack.stop_ours()
    places = {
        "kpi-stream-worker": {
            "KPI_STREAM_BROKER": site.stack.broker,
            "KPI_STREAM_REPLICATION": "1",  # there is one broker here
        },
        "kpi-stream-notify": {
            "KPI_STREAM_BROKER": site.stack.broker,
            "KPI_STREAM_REPLICATION": "1",
            "KPI_STREAM_NOTIFY__ALERTMANAGERS": json.dumps([site.stack.url("alertmanager")]),
        },
    }
    assert places.keys() == files.pods().keys()
    hosts = Hosts(places)
    started = []
    for name, meant in places.items():
        (tmp_path / name).mkdir()
        started.append(pod(name, tmp_path / name, hosts, meant))
    run_and_stop(started)


def run_and_stop(started: Sequence[tuple[Unit, float]]) -> None:
    """Each is unwell, then runs, is well, ends in its time with 0, and is unwell again."""
    try:
        for unit, _ in started:
            assert unit.is_unwell()
            unit.start()
        for unit, _ in started:
            unit.wait_well()
            if "worker" in unit.name:
                (check, *_) = unit.checks
                assert isinstance(check, HttpCheck)
                url = check.url.removesuffix("/health")
                wait_until(lambda u=url: owned(u) > 0, START_S, "its partitions")  # type: ignore[misc]
        for unit, patience_s in started:
            assert unit.stop(patience_s) == 0, unit.said()
            assert unit.is_unwell()
    finally:
        for unit, _ in started:
            unit.close()
