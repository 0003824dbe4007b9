"""Kafka Streams in a JVM of its own; the program is `apps/KafkaStreamsSums.java`."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Mapping
from typing import Final

from tests.bench.systems.base import ROOT, BenchError, Peer

_APPS: Final = ROOT / "tests" / "bench" / "apps"
SOURCE: Final = _APPS / "KafkaStreamsSums.java"
POM: Final = _APPS / "pom.xml"
BUILT: Final = ROOT / "build" / "kafka-streams"
BUILD_SECONDS: Final = 900
WARM_UP_RECORDS_MAX: Final = 150_000


class KafkaStreams(Peer):
    """One thread, its state in RocksDB; warmed up within the JVM that is then measured."""

    name = "kafka-streams"
    label = "Kafka Streams"
    measured_s = 15.0

    @classmethod
    def prepare(cls) -> None:
        """Fetches the jars with Maven and compiles the class, once even where runs race."""
        BUILT.mkdir(parents=True, exist_ok=True)
        with BUILT.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_built():
                shutil.rmtree(BUILT)
                libs = f"-DoutputDirectory={BUILT / 'libs'}"
                goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", libs]
                _run(["mvn", "-q", "-B", "-f", str(POM), *goal])
                _run(["javac", "-cp", f"{BUILT / 'libs'}/*", "-d", str(BUILT), str(SOURCE)])
                for source in (POM, SOURCE):
                    shutil.copy(source, BUILT)

    def command(self) -> list[str]:
        """The JVM's defaults."""
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return ["java", quiet, "-cp", f"{BUILT}:{BUILT / 'libs'}/*", SOURCE.stem]

    def environment(self) -> Mapping[str, str]:
        """Of a tiny topic nothing is read to warm up."""
        records = self.task.records
        warm_up = min(records, WARM_UP_RECORDS_MAX) if records > 10_000 else 0
        return {"WARM_UP": str(warm_up)}


def _is_built() -> bool:
    copies = ((source, BUILT / source.name) for source in (POM, SOURCE))
    return all(copy.exists() and copy.read_bytes() == of.read_bytes() for of, copy in copies)


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{command[0]} did not run: {error}") from error
    if done.returncode != 0:
        raise BenchError(f"{command[0]} failed: {(done.stdout + done.stderr).strip()[-300:]}")
