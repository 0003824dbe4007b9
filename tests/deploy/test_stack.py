"""Compose, image, Kubernetes and systemd: they fit each other, the settings and the commands."""

from __future__ import annotations

import http.server
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml

from stream import __version__
from stream.cli import main
from stream.config import Settings, load_settings
from stream.kafka.topicconfig import COMPACTED, wanted_configs
from stream.supervisor import REFUSED
from stream.worker import STOP_DEADLINE_S
from tests.deploy.exporter import DEPLOY, TOP
from tests.deploy.files import (
    DOCKERFILE,
    KUBERNETES,
    OURS,
    UNITS,
    compose,
    environment_file,
    image_check,
    image_command,
    image_folder,
    kustomization,
    manifests,
    of_kind,
    pod_environment,
    pods,
    seconds,
    services,
    unit,
)
from tests.deploy.queries import BOARDS

PROMETHEUS: Final = DEPLOY / "prometheus" / "prometheus.yml"
EXAMPLES: Final = KUBERNETES / "examples"
# What the specification knows and a small stack has use for; a typo is in none of them.
SERVICE_KEYS: Final = {
    *("build", "cap_drop", "command", "cpus", "depends_on", "environment", "healthcheck", "image"),
    *("logging", "mem_limit", "pids_limit", "ports", "read_only", "restart", "security_opt"),
    *("stop_grace_period", "tmpfs", "user", "volumes"),
}
# Of systemd 254; an older one says so, ignores them and waits for RestartSec each time.
NEWER_KEYS: Final = ("RestartSteps", "RestartMaxDelaySec")


def settings_with(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the shipped settings come to in such an environment."""
    with monkeypatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return load_settings(DEPLOY)


# ---------------------------------------------------------------- compose


def test_compose_knows_every_key_and_variable() -> None:
    """No key is misspelt, and each variable of `.env` is in use."""
    parsed = compose()
    assert {key for key in parsed if not key.startswith("x-")} == {"name", "services", "volumes"}
    for name, service in parsed["services"].items():
        assert service.keys() <= SERVICE_KEYS, name
    used = set(re.findall(r"\$\{(\w+)", (TOP / "docker-compose.yml").read_text()))
    assert used == environment_file().keys()


def test_every_service_is_pinned_bounded_and_watched() -> None:
    """A version, a user without rights, limits, a restart, and a question whether it is well."""
    for name, service in services().items():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name
        assert service["user"] not in {"root", "0", "0:0"}, name
        assert service["mem_limit"], name
        assert service["cpus"], name
        assert service["restart"] == "unless-stopped", name
        assert service["cap_drop"] == ["ALL"], name
        assert "build" in service or service["healthcheck"]["test"], name


def test_ports_are_open_to_this_machine_only_and_no_secret_is_written_down() -> None:
    """On loopback, no two alike; passwords are in files."""
    ports = [port for service in services().values() for port in service["ports"]]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.split(":")[1] for port in ports}) == len(ports) == len(services())
    for service in services().values():
        names = " ".join([*service.get("environment", {}), *environment_file()]).upper()
        assert not re.search(r"PASSWORD|SECRET|TOKEN", names)


def test_every_mount_exists() -> None:
    """Folders and files of the repository are there, volumes declared, none for nothing."""
    named = set()
    for service in services().values():
        for source in (volume.split(":")[0] for volume in service.get("volumes", ())):
            if source.startswith("."):
                assert (TOP / source).exists(), source
            else:
                named.add(source)
    assert named == compose()["volumes"].keys()


@pytest.mark.parametrize("name", OURS)
def test_our_services_get_settings_that_are_valid(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mounted where the image looks; they reach the broker inside, and are reached from outside."""
    service = services()[name]
    settings = settings_with(service["environment"], monkeypatch)
    kafka = services()["kafka"]["environment"]
    assert f"INSIDE://{settings.broker}," in kafka["KAFKA_ADVERTISED_LISTENERS"]
    own = settings.notify.metrics if name == "notify" else settings.metrics
    assert own.host == "0.0.0.0"  # noqa: S104 - inside a container
    assert service["ports"][0].endswith(f":{own.port}")
    assert service["volumes"] == [f"./deploy:{image_folder()}:ro"]
    assert service["image"] == f"kpi-stream:{__version__}"
    assert service["read_only"]


def test_workers_have_names_of_their_own_and_time_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two under one name would evict each other; one that is killed in its stop commits nothing."""
    workers = [services()[name] for name in OURS if name.startswith("worker")]
    found = [settings_with(worker["environment"], monkeypatch) for worker in workers]
    assert [settings.instance for settings in found] == ["worker-1", "worker-2"]
    assert all(seconds(worker["stop_grace_period"]) > STOP_DEADLINE_S for worker in workers)
    assert len(workers) <= found[0].partitions


def test_prometheus_and_alertmanager_are_where_they_are_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of our services is scraped at its port; all alerts go to one Alertmanager."""
    config = yaml.safe_load(PROMETHEUS.read_text("utf-8"))
    scraped = {
        target
        for job in config["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    inside = {name: services()[name]["ports"][0].split(":")[2] for name in OURS}
    assert scraped == {f"{name}:{port}" for name, port in inside.items()}
    (told,) = config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    settings = settings_with(services()["notify"]["environment"], monkeypatch)
    (address,) = settings.notify.alertmanagers
    assert address.get_secret_value() == f"http://{told}"
    assert told == f"alertmanager:{services()['alertmanager']['ports'][0].split(':')[2]}"


def test_mails_are_to_be_seen_before_there_is_a_mail_server() -> None:
    """Every receiver's go to Mailpit's SMTP port, by mail alone; its page is what is published."""
    config = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text("utf-8"))
    assert config["global"]["smtp_smarthost"] == "mailpit:1025"
    assert all(found.keys() == {"name", "email_configs"} for found in config["receivers"])
    mailpit = services()["mailpit"]
    assert mailpit["ports"] == [f"127.0.0.1:{environment_file()['MAIL_PORT']}:8025"]
    readme = (TOP / "README.md").read_text("utf-8")
    assert f"http://localhost:{environment_file()['MAIL_PORT']}" in readme


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


# ---------------------------------------------------------------- image


def test_image_is_pinned_and_copies_what_exists() -> None:
    """Both stages have a version; files are there, and not held back by the ignore file."""
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert all(re.search(r":\d+\.\d+\.\d+-", base) for base in bases)
    let_in = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for source in " ".join(copies).split():
        assert (TOP / source).exists()
        assert f"!{source}" in let_in


def test_everything_of_ours_runs_as_the_images_user() -> None:
    """By number, which is not root's; compose and Kubernetes say the same."""
    (user,) = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    assert {services()[name]["user"] for name in OURS} == {user}
    for pod in pods().values():
        context = pod["securityContext"]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == user
        assert context["runAsNonRoot"]


class _Answer(http.server.BaseHTTPRequestHandler):
    """Well at /health only, if at all."""

    status = 200

    def do_GET(self) -> None:
        """Answers as told."""
        self.send_response(self.status if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.mark.parametrize(("variable", "other"), [("HEALTH_PORT", "1"), ("", "")])
@pytest.mark.parametrize("status", [200, 503])
def test_image_asks_for_health_at_the_port_in_use(variable: str, other: str, status: int) -> None:
    """The image's own command, for real: notify's port goes before a worker's."""
    command, _ = image_check()
    handler = type("Answer", (_Answer,), {"status": status})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = str(server.server_port)
        asked = {"HEALTH_PORT": "", "KPI_STREAM_METRICS__PORT": other or port}
        line = [sys.executable, *command[1:]]
        environment = os.environ | asked | ({variable: port} if variable else {})
        done = subprocess.run(line, env=environment, capture_output=True, check=False)
        server.shutdown()
    assert (done.returncode == 0) == (status == 200), done.stderr


def test_image_asks_where_services_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a worker at the settings' port unless told, of notify at its own."""
    assert f"'KPI_STREAM_METRICS__PORT', '{load_settings(DEPLOY).metrics.port}'" in DOCKERFILE
    environment = services()["notify"]["environment"]
    own = settings_with(environment | {"HEALTH_PORT": ""}, monkeypatch).notify.metrics
    assert environment["HEALTH_PORT"] == str(own.port)


# ---------------------------------------------------------------- Kubernetes


def test_kustomize_has_every_file_and_manifest() -> None:
    """All that is named is there, nothing lies about, and the image is this version's."""
    named = kustomization()
    assert {DEPLOY / name for name in named["resources"]} == set(KUBERNETES.glob("*.yaml"))
    files = [name for made in named["configMapGenerator"] for name in made.get("files", [])]
    assert set(files) == {"kpi-stream.yaml", "goals.yaml", "roster.yaml"}
    assert all((DEPLOY / name).is_file() for name in files)
    assert [image["newTag"] for image in named["images"]] == [__version__]
    for manifest in manifests():
        assert {"apiVersion", "kind", "metadata", "spec"} == manifest.keys()
    generated = {made["name"] for made in named["configMapGenerator"]}
    asked = set(re.findall(r"configMap(?:Ref)?: \{name: ([\w-]+)\}", applied()))
    assert asked == generated


def applied() -> str:
    """The text of what is applied."""
    return "".join((DEPLOY / name).read_text("utf-8") for name in kustomization()["resources"])


def test_pods_may_do_nothing_but_their_work() -> None:
    """No rights, a root that cannot be written, no token, bounded memory."""
    for pod in pods().values():
        (container,) = pod["containers"]
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not pod["automountServiceAccountToken"]
        assert container["resources"]["limits"]["memory"]
        # Else KPI_STREAM_NOTIFY_PORT and the like of our own Service are faulty settings.
        assert not pod["enableServiceLinks"]


def test_pods_have_time_to_stop() -> None:
    """A worker ends its stop by itself; killed before that, it commits nothing."""
    for pod in pods().values():
        assert pod["terminationGracePeriodSeconds"] > STOP_DEADLINE_S


@pytest.mark.parametrize("name", ["kpi-stream-worker", "kpi-stream-notify"])
def test_pods_get_settings_that_are_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what Kubernetes puts into the environment; they are probed where they listen."""
    (container,) = pods()[name]["containers"]
    settings = settings_with(pod_environment(name), monkeypatch)
    assert settings.instance == (f"{name}-0" if name.endswith("worker") else None)
    own = settings.metrics if name.endswith("worker") else settings.notify.metrics
    assert own.host == "0.0.0.0"  # noqa: S104 - inside a pod
    assert container["ports"] == [{"name": "metrics", "containerPort": own.port}]
    (service,) = (s for s in of_kind("Service") if s["metadata"]["name"] == name)
    assert service["spec"]["ports"] == [
        {"name": "metrics", "port": own.port, "targetPort": "metrics"}
    ]
    probes = [probe for key, probe in container.items() if key.endswith("Probe")]
    assert len(probes) >= 2
    assert all(p["httpGet"] == {"path": "/health", "port": "metrics"} for p in probes)


def test_selectors_find_their_pods() -> None:
    """Of services, of the disruption budget and of what makes the pods."""
    makers = of_kind("StatefulSet") + of_kind("Deployment")
    labels = {m["metadata"]["name"]: m["spec"]["template"]["metadata"]["labels"] for m in makers}
    for maker in makers:
        assert maker["spec"]["selector"]["matchLabels"] == labels[maker["metadata"]["name"]]
    for service in of_kind("Service"):
        assert service["spec"]["selector"] == labels[service["metadata"]["name"]]
    (workers,) = of_kind("StatefulSet")
    assert workers["spec"]["serviceName"] in labels
    (budget,) = of_kind("PodDisruptionBudget")
    assert budget["spec"]["selector"]["matchLabels"] == labels["kpi-stream-worker"]
    (notify,) = of_kind("Deployment")
    assert (notify["spec"]["replicas"], notify["spec"]["strategy"]) == (1, {"type": "Recreate"})


def test_service_monitor_finds_the_services() -> None:
    """By labels and a port that they have, under job names that the alerts know."""
    (monitor,) = of_kind("ServiceMonitor", EXAMPLES / "servicemonitor.yaml")
    spec = monitor["spec"]
    (rule,) = spec["selector"]["matchExpressions"]
    found = {service["metadata"]["labels"][rule["key"]] for service in of_kind("Service")}
    assert set(rule["values"]) == found
    assert spec["jobLabel"] == rule["key"]
    jobs = {j["job_name"] for j in yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]}
    assert found == jobs
    assert [endpoint["port"] for endpoint in spec["endpoints"]] == ["metrics"]


def test_autoscaler_watches_the_workers_group() -> None:
    """The group and topic of the settings, and no more workers than partitions."""
    settings = load_settings(DEPLOY)
    (scaled,) = of_kind("ScaledObject", EXAMPLES / "scaledobject.yaml")
    target = scaled["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("StatefulSet", "kpi-stream-worker")
    assert scaled["spec"]["maxReplicaCount"] == settings.partitions
    (trigger,) = scaled["spec"]["triggers"]
    asked = trigger["metadata"]
    assert (asked["consumerGroup"], asked["topic"]) == (settings.app, settings.topics.interactions)
    assert all(isinstance(value, str) for value in asked.values())  # KEDA's schema


def test_topics_are_as_a_worker_would_make_them() -> None:
    """Each, with its partitions and configuration; more of that is an operator's business."""
    settings = load_settings(DEPLOY)
    wanted = wanted_configs(settings, with_rollups=True) | {settings.notified: COMPACTED}
    topics = of_kind("KafkaTopic", EXAMPLES / "topics.yaml")
    found = {topic["metadata"]["name"]: topic["spec"] for topic in topics}
    assert found.keys() == wanted.keys()
    for name, spec in found.items():
        assert spec["partitions"] == (1 if name == settings.notified else settings.partitions)
        config = {key: str(value) for key, value in spec["config"].items()}
        assert config.items() >= wanted[name].items()


# ---------------------------------------------------------------- systemd


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.stem)
def test_units_start_again_what_may_work_again(file: Path) -> None:
    """Not what refuses; for as long as it takes; and a stop is waited for."""
    parsed = unit(file)
    service = parsed["Service"]
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == str(REFUSED)
    assert parsed["Unit"]["StartLimitIntervalSec"] == "0"
    assert 0 < seconds(service["RestartSec"]) < seconds(service["RestartMaxDelaySec"])
    assert seconds(service["TimeoutStopSec"]) > STOP_DEADLINE_S
    assert service["User"] not in {"", "root"}
    assert (service["NoNewPrivileges"], service["ProtectSystem"]) == ("yes", "strict")


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.stem)
def test_systemd_has_nothing_against_the_units(file: Path) -> None:
    """Where it is installed; but for what is not on this machine, and keys newer than it."""
    assert unit(file).keys() >= {"Unit", "Service", "Install"}
    if analyse := shutil.which("systemd-analyze"):
        line = [analyse, "verify", str(file)]
        said = subprocess.run(line, capture_output=True, text=True, check=False).stderr
        ignored = (*NEWER_KEYS, "/opt/kpi-stream/bin/kpi-stream is not executable")
        of_ours = [text for text in said.splitlines() if "kpi-stream" in text]
        assert [text for text in of_ours if not any(known in text for known in ignored)] == []


# ---------------------------------------------------------------- every command line


def written_commands() -> Iterator[list[str]]:
    """Each `kpi-stream …` of compose, image, manifests, units and runbook, as words."""
    yield from (services()[name]["command"] for name in OURS)
    yield image_command()
    yield from (pod["containers"][0]["args"] for pod in pods().values())
    for file in UNITS:
        yield shlex.split(unit(file)["Service"]["ExecStart"].rpartition("/")[2])
    runbook = (DEPLOY / "RUNBOOK.md").read_text("utf-8")
    # In prose, a name without arguments is talked about, not to be typed.
    typed = re.compile(r"^\$ (kpi-stream .+)$|`(kpi-stream [\w-]+ [^`]+)`", re.MULTILINE)
    for line in typed.findall(runbook):
        yield shlex.split("".join(line), comments=True)


def parse(command: click.Command, words: list[str], parent: click.Context | None = None) -> None:
    """Has click read a command line to its end, and run nothing."""
    with command.make_context(command.name, words, parent=parent) as context:
        if isinstance(command, click.Group):
            rest = [*context._protected_args, *context.args]
            _, found, left = command.resolve_command(context, rest)
            assert found is not None
            parse(found, left, context)


def test_every_command_line_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read by the command's own parser, with the files that the runbook's examples name."""
    monkeypatch.chdir(tmp_path)
    for name in ("year.csv", "mine.py"):
        (tmp_path / name).touch()
    commands = [words for words in written_commands() if len(words) > 1]
    assert len(commands) >= 10
    assert {words[0] for words in commands} == {"kpi-stream"}
    for words in commands:
        try:
            parse(main, list(words[1:]))
        except click.UsageError as error:
            pytest.fail(f"{shlex.join(words)}: {error.message}")
