"""Kafka Streams in a JVM of its own; the program is `apps/KafkaStreamsSums.java`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.bench.systems.base import ROOT, BenchError, Peer
from tests.fetched import BUILD, UnavailableError, making, run

_APPS: Final = ROOT / "tests" / "bench" / "apps"
SOURCE: Final = _APPS / "KafkaStreamsSums.java"
POM: Final = _APPS / "pom.xml"
BUILT: Final = BUILD / "kafka-streams"
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
        try:
            with making(BUILT, POM, SOURCE) as is_needed:
                if is_needed:
                    goal = ("dependency:copy-dependencies", "-DincludeScope=runtime")
                    libs = f"-DoutputDirectory={BUILT / 'libs'}"
                    run("mvn", "-q", "-B", "-f", POM, *goal, libs, seconds=BUILD_SECONDS)
                    jars = f"{BUILT / 'libs'}/*"
                    run("javac", "-cp", jars, "-d", BUILT, SOURCE, seconds=BUILD_SECONDS)
        except UnavailableError as error:
            raise BenchError(str(error)) from error

    def command(self) -> list[str]:
        """The JVM's defaults."""
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return ["java", quiet, "-cp", f"{BUILT}:{BUILT / 'libs'}/*", SOURCE.stem]

    def environment(self) -> Mapping[str, str]:
        """Of a tiny topic nothing is read to warm up."""
        records = self.task.records
        warm_up = min(records, WARM_UP_RECORDS_MAX) if records > 10_000 else 0
        return {"WARM_UP": str(warm_up)}
