"""The worker's HTTP server: what it answers, and where it listens."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from stream.config import Metrics
from stream.core.engine import Engine
from stream.serve.http import Health, MetricsServer
from tests.core.build import call, with_events


class Worker:
    """What a server asks of a worker."""

    def __init__(self, **metrics: Any) -> None:
        self.engines: list[Engine] = []
        self.health = Health(healthy=True, detail="fine")
        registry = CollectorRegistry()
        self.counter = Counter("own", "Its own", registry=registry)
        self.server = MetricsServer(
            Metrics(port=0, **metrics), registry, lambda: self.engines, lambda: self.health
        )

    async def get(self, path: str, authorization: str | None = None) -> tuple[int, str, str]:
        """Status, content type and body of an answer."""
        place = f"http://127.0.0.1:{self.server.port}{path}"
        headers = {} if authorization is None else {"Authorization": authorization}
        session = aiohttp.ClientSession(headers=headers)
        async with session, session.get(place) as answer:
            return answer.status, answer.headers["Content-Type"], await answer.text()


def test_metrics_are_the_gauges_of_now_and_the_workers_own() -> None:
    """Asked at every scrape: what left is gone at once."""

    async def scenario() -> list[tuple[int, str, str]]:
        worker = Worker()
        await worker.server.start()
        try:
            worker.engines = [with_events(call(talk_ms=1_000))]
            worker.counter.inc()
            with_agent = await worker.get("/metrics")
            worker.engines = []
            return [with_agent, await worker.get("/metrics")]
        finally:
            await worker.server.stop()

    first, second = asyncio.run(scenario())
    kind = "text/plain; version=0.0.4; charset=utf-8"
    assert (first[0], first[1], second[0], second[1]) == (200, kind, 200, kind)
    assert 'kpi_handled_contacts{scope="agent",id="a1",team="",window="1h"} 1.0' in first[2]
    assert "kpi_handled" not in second[2]
    assert all("own_total 1.0" in body for body in (first[2], second[2]))


def test_health_is_200_or_503_and_says_why() -> None:
    """A supervisor looks at the status, a person at the detail."""

    async def scenario() -> list[tuple[int, str, str]]:
        worker = Worker()
        await worker.server.start()
        try:
            fine = await worker.get("/health")
            worker.health = Health(healthy=False, detail="partition 3: stuck")
            return [fine, await worker.get("/health"), await worker.get("/elsewhere")]
        finally:
            await worker.server.stop()

    fine, stuck, elsewhere = asyncio.run(scenario())
    assert (fine[0], json.loads(fine[2])) == (200, {"healthy": True, "detail": "fine"})
    assert (stuck[0], json.loads(stuck[2])["detail"]) == (503, "partition 3: stuck")
    assert elsewhere[0] == 404


def test_it_listens_on_loopback_alone_and_a_taken_port_is_an_error() -> None:
    """Nobody in the building reads an agent's figures unless the settings say so."""

    async def scenario() -> None:
        worker = Worker()
        await worker.server.start()
        try:
            assert worker.server.port > 0
            assert worker.server._runner is not None
            assert [address[0] for address in worker.server._runner.addresses] == ["127.0.0.1"]
            second = MetricsServer(
                Metrics(port=worker.server.port),
                CollectorRegistry(),
                list,
                lambda: worker.health,
            )
            with pytest.raises(OSError, match="address already in use"):
                await second.start()
            await second.stop()
        finally:
            await worker.server.stop()
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", worker.server.port)) != 0

    asyncio.run(scenario())


TOKEN = "t0-0123456789abcdef"  # noqa: S105 - the test's own


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (None, 401),
        (TOKEN, 401),
        ("Bearer", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer \u00e9", 401),
    ],
)
def test_a_token_guards_metrics_and_healths_details(
    authorization: str | None, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Who restarts a worker has none, and hears whether it does its work; no more."""

    async def scenario() -> list[tuple[int, str, str]]:
        worker = Worker(token=TOKEN)
        await worker.server.start()
        try:
            return [await worker.get(path, authorization) for path in ("/metrics", "/health")]
        finally:
            await worker.server.stop()

    with caplog.at_level(logging.DEBUG):
        metrics, health = asyncio.run(scenario())
    assert metrics[0] == status
    assert ("own_total" in metrics[2]) is (status == 200)
    assert health[0] == 200
    assert json.loads(health[2]).get("detail") == ("fine" if status == 200 else None)
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("metrics", "is_said"),
    [({"host": "0.0.0.0"}, True), ({"host": "0.0.0.0", "token": TOKEN}, False), ({}, False)],  # noqa: S104
)
def test_open_metrics_are_said(
    metrics: dict[str, Any], is_said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Where others reach them and no token is asked for."""

    async def scenario() -> None:
        worker = Worker(**metrics)
        await worker.server.start()
        await worker.server.stop()

    asyncio.run(scenario())
    assert ("anybody who reaches" in caplog.text) is is_said
