"""`/metrics` and `/health`, on loopback unless told otherwise."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Iterable
from ipaddress import ip_address
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
        if not self._settings.token and not _is_loopback(self._settings.host):
            log.warning(
                "anybody who reaches %s may read the metrics: set metrics.token",
                self._settings.host,
            )
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

    async def _get_metrics(self, request: web.Request) -> web.Response:
        if not self._knows(request):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        parts = []
        for part in self._exposition.render(self._engines()):
            parts.append(part)
            await asyncio.sleep(0)  # events go on between two parts
        body = b"".join([*parts, generate_latest(self._registry)])
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _get_health(self, request: web.Request) -> web.Response:
        """Without a token too: whoever restarts us has none."""
        health = self._health()
        answer = {"healthy": health.healthy}
        detail = {"detail": health.detail} if self._knows(request) else {}
        return web.json_response(answer | detail, status=200 if health.healthy else 503)

    def _knows(self, request: web.Request) -> bool:
        """Whether the asker has the token, or needs none."""
        if self._settings.token is None:
            return True
        expected = f"Bearer {self._settings.token.get_secret_value()}"
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def _is_loopback(host: str) -> bool:
    """Names other than the usual one may stand for any address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
