"""`/metrics` and `/health`, on loopback unless told otherwise."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from stream.config import Metrics
from stream.core.board import Board
from stream.serve.exposition import CONTENT_TYPE, Exposition

log = logging.getLogger(__name__)


class Health(NamedTuple):
    """Whether the worker does its work, and why not."""

    healthy: bool
    detail: str


class MetricsServer:
    """The worker's HTTP server."""

    def __init__(
        self,
        settings: Metrics,
        registry: CollectorRegistry,
        engines: Callable[[], Iterable[Board[Any]]],
        health: Callable[[], Health],
    ) -> None:
        """`engines` gives those whose figures are complete; it is asked at every scrape."""
        self._settings = settings
        self._registry = registry
        self._engines = engines
        self._health = health
        self._exposition = Exposition(settings.show)
        self._runner: web.AppRunner | None = None
        self.port = settings.port

    async def start(self) -> None:
        """Listens; port 0 takes a free one, which `port` then says.

        Raises:
            OSError: if the port is taken.
        """
        app = web.Application()
        app.router.add_get("/metrics", self._get_metrics)
        app.router.add_get("/health", self._get_health)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        log.info("metrics at http://%s:%d/metrics", self._settings.host, self.port)

    async def stop(self) -> None:
        """Stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _get_metrics(self, _: web.Request) -> web.Response:
        body = self._exposition.render(self._engines()) + generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _get_health(self, _: web.Request) -> web.Response:
        health = self._health()
        return web.json_response(
            {"healthy": health.healthy, "detail": health.detail},
            status=200 if health.healthy else 503,
        )
