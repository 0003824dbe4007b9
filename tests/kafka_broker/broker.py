"""One Apache Kafka broker from its jars, on free ports, ended by its own process id."""

from __future__ import annotations

import asyncio
import base64
import functools
import re
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from aiokafka.admin import AIOKafkaAdminClient

from tests.fetched import BUILD, UnavailableError, making, run
from tests.ports import HOST, free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping

JAVA_AT_LEAST: Final = 17
FETCH_SECONDS: Final = 900
START_SECONDS: Final = 60
STOP_SECONDS: Final = 30

POM: Final = Path(__file__).with_name("pom.xml")
LIBS: Final = BUILD / "kafka-libs"

ONE_NODE: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "min.insync.replicas": "1",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    # For so long a killed broker's successor is refused as a double; by default 9 s.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "2500",
    # By default a quarter of the heap, taken at once.
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
}


class BrokerError(UnavailableError):
    """The broker is not to be had."""


class KafkaBroker:
    """One broker with data of its own, which survive `stop`, `kill` and `restart`.

    Every method blocks: from a coroutine, call `await asyncio.to_thread(broker.restart)`.
    """

    def __init__(
        self,
        config: Mapping[str, str] | None = None,
        *,
        heap: str = "512m",
        scram: Mapping[str, str] | None = None,
        is_measured: bool = False,
    ) -> None:
        """`scram`: passwords by user name. `is_measured`: it runs for long, and as fast as it can.

        Others are compiled quickly rather than well: most of what a short test's broker computes
        is its own compilation.
        """
        self._config = dict(config or {})
        self._scram = dict(scram or {})
        self._java = _java(heap, is_measured=is_measured)
        self._ports = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    @property
    def bootstrap(self) -> str:
        """What clients connect to; the same for as long as this object lives."""
        return f"{HOST}:{self._ports[0]}"

    @property
    def controller(self) -> str:
        """Where the broker speaks with itself."""
        return f"{HOST}:{self._ports[1]}"

    def configure(self, config: Mapping[str, str]) -> None:
        """Settings over the usual ones, before the first start."""
        self._config |= config

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the broker, on its first start with an empty log, and wait until it answers."""
        if self._process is not None:
            raise BrokerError("the broker runs already")
        libs = fetch_jars()
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="kafka-"))
            self._format(libs, self._folder)
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._java, *_classes(libs), "kafka.Kafka", str(self._settings(self._folder))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C ends the tests, and they end the broker
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End the broker as an operator would; by force if it does not follow."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End the broker as a power cut would (SIGKILL)."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Start the broker again, after stopping it if it runs, on the same ports and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the broker and forget its data."""
        self.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    def log(self) -> str:
        """The end of what the broker said."""
        if self._folder is None:
            return ""
        return (self._folder / "broker.log").read_text(errors="replace")[-4000:]

    def _format(self, libs: Path, folder: Path) -> None:
        broker, controller = self.bootstrap, self.controller
        settings = {
            **ONE_NODE,
            "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
            "controller.quorum.bootstrap.servers": controller,
            "log.dirs": str(folder / "data"),
            **self._config,
        }
        path = self._settings(folder)
        path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        # A name that starts with "-" would be taken for an option.
        cluster = "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        command = ["kafka.tools.StorageTool", "format", "--standalone", "-t", cluster]
        for user, password in self._scram.items():
            command += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
        run(*self._java, *_classes(libs), *command, "-c", path, seconds=START_SECONDS)

    @staticmethod
    def _settings(folder: Path) -> Path:
        return folder / "server.properties"

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        # A thread of its own: the caller's may be running an event loop.
        with ThreadPoolExecutor(1) as thread:
            while not thread.submit(_answers, HOST, self._ports[0]).result():
                assert self._process is not None
                if self._process.poll() is not None:
                    raise BrokerError(f"the broker ended at its start:\n{self.log()}")
                if time.monotonic() > deadline:
                    raise BrokerError(f"no answer within {START_SECONDS} s:\n{self.log()}")
                time.sleep(0.05)


@functools.cache
def why_unavailable() -> str | None:
    """Why Apache Kafka cannot run here, or None if it can; fetches its jars to know."""
    if shutil.which("java") is None:
        return "Apache Kafka needs java, which is not on the PATH"
    try:
        version = run("java", "-version", seconds=START_SECONDS)
        if _java_major(version) < JAVA_AT_LEAST:
            return f"Apache Kafka needs java {JAVA_AT_LEAST} or newer; here is {version!r}"
        fetch_jars()
    except UnavailableError as error:
        return str(error)
    return None


def fetch_jars() -> Path:
    """The folder with the jars that the pom names, fetched once even where test runs race."""
    with making(LIBS, POM) as is_needed:
        if is_needed:
            goal = ("dependency:copy-dependencies", "-DincludeScope=runtime")
            libs = f"-DoutputDirectory={LIBS}"
            run("mvn", "-q", "-B", "-f", POM, *goal, libs, seconds=FETCH_SECONDS)
    return LIBS


def _java(heap: str, *, is_measured: bool) -> list[str]:
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return ["java", f"-Xmx{heap}", quiet, *([] if is_measured else ["-XX:TieredStopAtLevel=1"])]


def _classes(libs: Path) -> list[str]:
    return ["-cp", f"{libs}/*"]


def _java_major(version: str) -> int:
    found = re.search(r'version "(\d+)', version)
    return int(found[1]) if found else 0


def _answers(host: str, port: int) -> bool:
    with socket.socket() as probe:
        if probe.connect_ex((host, port)) != 0:
            return False
    return asyncio.run(_has_a_node(f"{host}:{port}"))


async def _has_a_node(bootstrap: str) -> bool:
    """Whether the controller has let the broker in: its port opens earlier."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
    except Exception:  # noqa: BLE001 - whatever a half-started broker answers, it is not up
        return False
    finally:
        await admin.close()
    return bool(cluster["brokers"])
