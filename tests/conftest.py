"""Fixtures that every test may use, and the rule that CI skips nothing."""

from __future__ import annotations

import os
import re
import secrets
import signal
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hypothesis import settings

from tests.kafka_broker.broker import KafkaBroker, why_unavailable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


_FIGURE = "figure"

# A slow example is another process's doing; under CI Hypothesis sees to that, and to more, itself.
if not os.environ.get("CI"):
    settings.register_profile("unhurried", deadline=None)
    settings.load_profile("unhurried")


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


class Tell(Protocol):
    """Has a figure shown at the end of the run, also where the test has passed."""

    def __call__(self, line: str) -> None:
        """Keeps the line until then: what a process that shares the tests prints is not seen."""


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Figures to be shown, whatever becomes of the test."""
    return partial(record_property, _FIGURE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows the figures that tests tell of."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            own = report.user_properties if report.when == "call" else ()
            figures = [str(value) for name, value in own if name == _FIGURE]
            if figures:
                terminalreporter.section(report.nodeid)
                terminalreporter.write("".join(f"{figure}\n" for figure in figures))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs Kafka, so that `-m "not kafka"` misses nothing.

    Where processes share the tests, the slow ones come first: at the end none waits for another.
    """
    for item in items:
        if "kafka_runs" in getattr(item, "fixturenames", ()):
            item.add_marker("kafka")
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Processes that share the tests take a file at a time, in the order given above."""
    from tests.sharing import Sharing  # noqa: PLC0415 - only where pytest-xdist is at work

    config.option.loadscopereorder = False
    return Sharing(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under CI a skipped test is a failed one: nothing stays unproved without a word."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report
