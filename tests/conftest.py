"""Fixtures that every test may use, and the rule that CI skips nothing."""

from __future__ import annotations

import os
import re
import secrets
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.kafka_broker.broker import KafkaBroker, why_unavailable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


class NewKafka(Protocol):
    """Starts a broker of the test's own."""

    def __call__(self, config: dict[str, str] | None = None) -> KafkaBroker:
        """A started broker, with `config` over the usual settings."""


@pytest.fixture(scope="session")
def kafka_runs() -> None:
    """Skip unless Apache Kafka can run here."""
    if reason := why_unavailable():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def kafka(kafka_runs: None) -> Iterator[KafkaBroker]:  # noqa: ARG001 - asked for its skip
    """The broker that tests share; none of them may stop it."""
    with KafkaBroker() as broker:
        yield broker


@pytest.fixture
def new_kafka(kafka_runs: None) -> Iterator[NewKafka]:  # noqa: ARG001 - asked for its skip
    """Makes brokers that the test may stop, kill and restart; they end with the test."""
    with ExitStack() as brokers:
        yield lambda config=None: brokers.enter_context(KafkaBroker(config))


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A start for names of topics, groups and transactions that no other test or run has."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")
    return f"{name[:60]}-{secrets.token_hex(4)}-"


def pytest_configure() -> None:
    """Ctrl-C works for whatever the tests start.

    A shell gives what it runs in the background an ignored SIGINT, which every child inherits.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs Kafka, so that `-m "not kafka"` misses nothing."""
    for item in items:
        if "kafka_runs" in getattr(item, "fixturenames", ()):
            item.add_marker("kafka")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under CI a skipped test is a failed one: nothing stays unproved without a word."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report
