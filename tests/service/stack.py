"""The services of `docker-compose.yml` as processes of this machine."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

from tests.deploy import files, prometheus
from tests.deploy.exporter import DEPLOY, TOP
from tests.kafka.live import wait_until
from tests.kafka_broker.broker import fetch_jars
from tests.notify import debian
from tests.service.hosts import Hosts
from tests.service.program import PATH, START_S, CommandCheck, Program, Unit, answer, owned

# What images start where the compose file names no command.
_IMAGES_COMMAND: Final = {
    "prometheus": [
        "--config.file=/etc/prometheus/prometheus.yml",
        "--storage.tsdb.path=/prometheus",
    ]
}
# Debian's own, in place of the images'.
_SERVERS: Final = {
    "prometheus": lambda: prometheus.program("prometheus"),
    "alertmanager": lambda: debian.program(debian.PACKAGE),
}
WORKERS: Final = ("worker-1", "worker-2")
BESIDE_KAFKA: Final = ("prometheus", "alertmanager")
# Neither is in Debian's archive nor to be built without their pages, which npm makes.
NOT_HERE: Final = ("grafana", "mailpit")
_CLUSTER: Final = "5L6g3nShT-eMCtK--X86sw"  # what the image takes where none is named
_SHORTER: Final = {
    "alertmanager.yml": (r"(group_wait|group_interval): \w+", r"\1: 1s"),
    "prometheus.yml": (r"(scrape_interval|scrape_timeout|evaluation_interval): \w+", r"\1: 1s"),
}


class Stack:
    """Kafka, Prometheus and Alertmanager from the start on; workers and notifications as told.

    Files are as they are mounted, but for host names, and for waits of a second.
    """

    def __init__(self, folder: Path, told: Callable[[str], str]) -> None:
        """`told`: what a site makes of Alertmanager's configuration."""
        self.services = files.services()
        self.hosts = Hosts(self.services)
        self.units: dict[str, Unit] = {}
        self.were_unwell: dict[str, bool] = {}
        self._folder = folder
        self._told = told

    def __enter__(self) -> Self:
        try:
            self._start("kafka", *BESIDE_KAFKA)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for unit in reversed(self.units.values()):
            print(f"--- {unit.name}", unit.said(), sep="\n")  # noqa: T201 - pytest shows it of a failure
            unit.close()

    @property
    def broker(self) -> str:
        """Where Kafka is for those outside."""
        return f"{self.hosts.address('kafka')}:{self.port('kafka')}"

    def port(self, name: str) -> int:
        """The port that a service is published at, inside."""
        return int(self.services[name]["ports"][0].split(":")[2])

    def url(self, name: str) -> str:
        """Where a service answers."""
        return f"http://{self.hosts.address(name)}:{self.port(name)}"

    def ask(self, name: str, path: str, **parameters: str) -> Any:
        """What a service answers to a GET, as JSON."""
        asked = f"{self.url(name)}{path}?{urllib.parse.urlencode(parameters)}"
        return json.loads(answer(asked))

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that Prometheus finds now."""
        found = self.ask("prometheus", "/api/v1/query", query=expression)["data"]["result"]
        return list(found)

    def counted(self, name: str) -> int:
        """How many calls a worker has counted since its start."""
        return sum(self._shown(name, 'kpi_stream_events_total{kind="interaction"}'))

    def lag(self) -> int:
        """How many records both workers have yet to count."""
        return sum(n for name in WORKERS for n in self._shown(name, "kpi_stream_lag_records"))

    def _shown(self, name: str, metric: str) -> list[int]:
        """The samples that a worker's `/metrics` has now."""
        lines = answer(f"{self.url(name)}/metrics").splitlines()
        return [int(float(line.split()[-1])) for line in lines if line.startswith(metric)]

    def run_ours(self, deploy: Path = DEPLOY) -> None:
        """Workers and notifications with this folder in place of `./deploy`, until all is owned."""
        self._start(*files.OURS, deploy=deploy)
        self.wait_owned()

    def wait_owned(self) -> None:
        """Until every partition is owned and caught up on."""
        partitions = int(files.environment_file()["PARTITIONS"])
        wait_until(
            lambda: sum(owned(self.url(name)) for name in WORKERS) == partitions,
            START_S,
            "all is owned",
        )

    def stop_ours(self) -> dict[str, int]:
        """What of these runs ends as `docker compose stop` ends it, in its time; exit codes.

        What has ended is unwell by its own check, or that is none.
        """
        running: list[str] = [name for name in files.OURS if name in self.units]
        patience_s = {
            n: files.seconds(self.services[n].get("stop_grace_period", 10)) for n in running
        }
        if not running:
            return {}
        with ThreadPoolExecutor(len(running)) as threads:
            codes = threads.map(lambda n: self.units[n].stop(patience_s[n]), running)
            found = dict(zip(running, codes, strict=True))
        assert self._unwell(running) == dict.fromkeys(running, True)
        for name in running:
            self.units.pop(name).close()
        return found

    def restart(self, *names: str) -> dict[str, bool]:
        """SIGKILL, and start; whether each was unwell in between."""
        for name in names:
            self.units[name].kill()
        found = self._unwell(names)
        self._run(names)
        return found

    def _start(self, *names: str, deploy: Path = DEPLOY) -> None:
        """Asks each whether it is well, which it cannot be yet; then starts them, and waits."""
        for name in names:
            restarts = self.services[name]["restart"] == "unless-stopped"
            self.units[name] = Unit(name, *self._described(name, deploy), restarts=restarts)
        self.were_unwell |= self._unwell(names)
        self._run(names)

    def _unwell(self, names: Sequence[str]) -> dict[str, bool]:
        with ThreadPoolExecutor(len(names)) as threads:
            unwell = threads.map(lambda name: self.units[name].is_unwell(), names)
            return dict(zip(names, unwell, strict=True))

    def _run(self, names: Iterable[str]) -> None:
        for name in names:
            self.units[name].start()
        for name in names:
            # A check of Kafka's starts a JVM, so it is not asked before there is hope.
            wait_until(lambda n=name: self._may_be_well(n), START_S, f"{name} listens")  # type: ignore[misc]
            self.units[name].wait_well()

    def _may_be_well(self, name: str) -> bool:
        self.units[name].check_runs()
        return self.hosts.answers(name, self.port(name))

    # ------------------------------------------------------------ what the file says of a service

    def _described(self, name: str, deploy: Path) -> tuple[Program, list[CommandCheck]]:
        """What a service runs, and its health check."""
        service = self.services[name]
        command: list[str] | str
        mounts = dict(self._mounted(name, deploy))
        environment = {
            key: _moved(value, mounts)
            for key, value in self.hosts.variables(name, service.get("environment", {})).items()
        }
        if name in files.OURS:
            environment = files.image_environment() | environment
            line, folder = service["command"], mounts[files.image_folder()]
            command, timeout_s = files.image_check()
        elif name == "kafka":
            line, folder = self._kafka(environment)
            command, timeout_s = _health(service)
        else:
            line, folder = self._server(name, mounts)
            command, timeout_s = _health(service)
        asked = self._asked(name, command, mounts)
        program = Program(line, environment, folder)
        return program, [CommandCheck(asked, timeout_s, environment)]

    def _asked(
        self, name: str, command: list[str] | str, mounts: Mapping[str, Path]
    ) -> list[str] | str:
        """A health check's command, to be run here; a text is for a shell."""
        if isinstance(command, str):
            tools = {"/opt/kafka/bin": self._kafka_tools()}
            return _moved(self.hosts.inside(name, command), {**mounts, **tools})
        words = command[1:] if command[0] == "CMD" else command
        return [self.hosts.inside(name, word) for word in words]

    def _mounted(self, name: str, deploy: Path) -> Iterator[tuple[str, Path]]:
        """Where each of a service's folders is: an empty one, or a copy with other host names."""
        for source, target, *_ in (v.split(":") for v in self.services[name].get("volumes", ())):
            place = self._folder / name / deploy.name / target.strip("/")
            if source.startswith("."):
                self._copy(deploy if source == "./deploy" else TOP / source, place)
            else:
                place.mkdir(parents=True, exist_ok=True)
            yield target, place

    def _copy(self, source: Path, place: Path) -> None:
        for file in [source] if source.is_file() else sorted(source.rglob("*")):
            if file.suffix in {".tmpl", ".yaml", ".yml"}:
                text = self.hosts.named(file.read_text("utf-8"))
                if file.name == "alertmanager.yml":
                    text = self._told(text)
                if file.name in _SHORTER:
                    text = re.sub(*_SHORTER[file.name], text)
                copy = place / file.relative_to(source) if source.is_dir() else place
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(text)

    # ------------------------------------------------------------ what the images would do

    def _server(self, name: str, mounts: Mapping[str, Path]) -> tuple[list[str], Path]:
        """Debian's Prometheus or Alertmanager, with the flags for the image's own."""
        flags = self.services[name].get("command") or _IMAGES_COMMAND[name]
        own = f"--web.listen-address={self.hosts.address(name)}:{self.port(name)}"
        line = [_SERVERS[name](), *(_moved(flag, mounts) for flag in flags), own]
        return line, debian.SHARE if debian.SHARE.exists() else self._folder

    def _kafka(self, environment: dict[str, str]) -> tuple[list[str], Path]:
        """The image's own code makes a file of the variables and formats the storage."""
        here = f"://{self.hosts.address('kafka')}:"
        for key, value in environment.items():
            environment[key] = value.replace("://:", here)
        folder = self._folder / "kafka"
        settings = [folder / part for part in ("default", "mounted", "final")]
        for made in settings:
            made.mkdir(parents=True, exist_ok=True)
        words = ("--default-configs-dir", "--mounted-configs-dir", "--final-configs-dir")
        places = [str(word) for pair in zip(words, settings, strict=True) for word in pair]
        java = ["java", *shlex.split(environment["KAFKA_HEAP_OPTS"]), "-cp", f"{fetch_jars()}/*"]
        done = subprocess.run(
            [*java, "kafka.docker.KafkaDockerWrapper", "setup", *places],
            env={"PATH": PATH, "CLUSTER_ID": _CLUSTER, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [
            *java[:-2],
            quiet,
            *java[-2:],
            "kafka.Kafka",
            f"{settings[2]}/server.properties",
        ], folder

    def _kafka_tools(self) -> Path:
        """The folder with the one script that is asked for; the jars have none."""
        folder = self._folder / "kafka" / "bin"
        folder.mkdir(parents=True, exist_ok=True)
        script = folder / "kafka-broker-api-versions.sh"
        tool = "org.apache.kafka.tools.BrokerApiVersionsCommand"
        java = f'java -XX:TieredStopAtLevel=1 -cp "{fetch_jars()}/*"'
        script.write_text(f'#!/bin/sh\nexec {java} {tool} "$@"\n')
        script.chmod(0o755)
        return folder


def _health(service: Mapping[str, Any]) -> tuple[list[str] | str, float]:
    """A health check's command, and for how many seconds it is waited for."""
    check = service["healthcheck"]
    return check["test"], files.seconds(check["timeout"])


def _moved(text: str, mounts: Mapping[str, Any]) -> str:
    """A command or variable, with the folders of this machine in place of the image's."""
    for target, place in mounts.items():
        text = re.sub(rf"(?<![\w./-]){re.escape(target)}(?![\w.-])", str(place), text)
    return text
