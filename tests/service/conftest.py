"""One stack for all tests of its service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.deploy.prometheus import PROGRAMS
from tests.deploy.prometheus import program as prometheus
from tests.fetched import why_unavailable
from tests.notify.debian import PACKAGE
from tests.notify.debian import program as alertmanager
from tests.notify.receivers import Mailbox, Webhook
from tests.notify.shipped import with_everything
from tests.service import bank
from tests.service.stack import Stack


class Site(NamedTuple):
    """The stack, and who is told by it."""

    stack: Stack
    mailbox: Mailbox
    webhook: Webhook


@pytest.fixture(scope="package")
def site(kafka_runs: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:  # noqa: ARG001 - asked for its skip
    """Kafka, Prometheus and Alertmanager as composed; a mailbox stands where Mailpit would."""
    for reason in (why_unavailable(prometheus, *PROGRAMS), why_unavailable(alertmanager, PACKAGE)):
        if reason:
            pytest.skip(reason)
    with Webhook() as webhook:
        local = f"127.0.0.1:{webhook.port}"

        def told(text: str) -> str:
            text = with_everything(text).replace("localhost:8085", local)
            return text.replace('team="billing"', f'team="{bank.TEAM}"')

        stack = Stack(tmp_path_factory.mktemp("stack"), told)
        with Mailbox(stack.hosts.address("mailpit"), 1025) as mailbox, stack:
            yield Site(stack, mailbox, webhook)
