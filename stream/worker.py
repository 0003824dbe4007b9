"""The worker, put together: settings → topics → Faust app → HTTP, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Final

import faust
from mode import Service
from prometheus_client import CollectorRegistry

from stream.config import Metrics, Settings
from stream.core.engine import Engine
from stream.core.goals import Goal
from stream.core.kpis import SCOPE_KINDS, ScopeKind
from stream.core.rules import Rules
from stream.instance import hold_instance
from stream.kafka.app import EXPLAINED, KpiApp
from stream.kafka.blocks import SERVICE_LOG
from stream.kafka.clients import KafkaClients
from stream.kafka.delivery import AtLeastOnce
from stream.kafka.site import Site
from stream.kafka.telemetry import Telemetry
from stream.kafka.topology import prepare
from stream.kafka.transactions import ExactlyOnce
from stream.serve.http import Health, MetricsServer
from stream.yamlfile import Faults

log = logging.getLogger(__name__)

STALL_S: Final = 60.0
RECOVERY_STALL_S: Final = 600.0
STOP_DEADLINE_S: Final = 20.0


def rules_of(settings: Settings, goals: tuple[Goal, ...], kinds: tuple[ScopeKind, ...]) -> Rules:
    """What every partition is run by. In replay only clocks move now, so no event is early."""
    return Rules(
        windows=settings.parsed_windows(),
        kinds=kinds,
        goals=goals,
        thresholds=settings.thresholds(),
        queue_teams=settings.queue_teams(),
        skew_ms=settings.skew if settings.time == "live" else None,
    )


def kinds_of(partitions: int) -> tuple[ScopeKind, ...]:
    """The scopes that one partition alone can give: only with one does it see a whole queue."""
    return SCOPE_KINDS if partitions == 1 else ("agent",)


class HttpService(Service):
    """The metrics server, started and stopped with the app."""

    logger = SERVICE_LOG

    def __init__(self, server: MetricsServer) -> None:
        """`server` listens from the app's start, also while it recovers."""
        super().__init__()
        self._server = server

    async def on_start(self) -> None:
        """Listens."""
        await self._server.start()

    async def on_stop(self) -> None:
        """Stops listening."""
        await self._server.stop()


def build(
    settings: Settings, goals: tuple[Goal, ...], leads: Mapping[str, str]
) -> tuple[KpiApp, MetricsServer]:
    """Connects to Kafka, prepares the topics and builds the app with its HTTP server.

    Raises:
        TopologyError: if there is no broker, or the topics are not as they have to be.
    """
    topology = asyncio.run(prepare(settings))
    asyncio.set_event_loop(asyncio.new_event_loop())
    kinds = kinds_of(topology.partitions)
    if kinds != SCOPE_KINDS:
        log.warning(
            "the topics have %d partitions: readings are given for agents only; other scopes "
            "need topics of one partition in this version",
            topology.partitions,
        )
        for goal in goals:
            if goal.scope not in kinds:
                log.warning("goal %r is for a %s and will not be judged", goal.name, goal.scope)
    registry = CollectorRegistry()
    site = Site(
        settings,
        topology,
        rules_of(settings, goals, kinds),
        leads,
        Telemetry(registry),
        KafkaClients(settings),
    )
    app = KpiApp(site)
    server = MetricsServer(
        settings.metrics, registry, lambda: complete_engines(app), lambda: health_of(app)
    )
    app.add_dependency(HttpService(server))
    return app, server


def complete_engines(app: KpiApp) -> Iterator[Engine]:
    """The engines of the partitions this worker surely owns and has caught up on."""
    interval_s = app.settings.flush_interval / 1000
    return (
        owned.stage.engine
        for owned in app.ownership.owned.values()
        if owned.ready and owned.is_surely_ours(interval_s)
    )


def health_of(app: KpiApp) -> Health:
    """Unhealthy where there is work and no progress, so not on an idle night."""
    now, interval_s = time.monotonic(), app.settings.flush_interval / 1000
    owned_now, recovering_since = app.ownership.owned, app.ownership.recovering_since
    if app.failure is not None:
        return Health(healthy=False, detail=f"stopping: {app.failure}")
    for (_, number), owned in owned_now.items():
        if owned.age_s() > STALL_S + interval_s:
            age_s = owned.age_s()
            return Health(False, f"partition {number}: nothing committed for {age_s:.0f} s")
        if owned.lag and now - owned.moved_at > STALL_S:
            age_s = now - owned.moved_at
            return Health(False, f"partition {number}: {owned.lag} behind, stuck for {age_s:.0f} s")
    if recovering_since is not None and now - recovering_since > RECOVERY_STALL_S:
        return Health(False, f"recovering for {now - recovering_since:.0f} s")
    ready = sum(owned.ready for owned in owned_now.values())
    return Health(healthy=True, detail=f"{ready} of {len(owned_now)} partitions caught up")


def run(settings: Settings, goals: tuple[Goal, ...], leads: Mapping[str, str]) -> None:
    """Runs until SIGINT or SIGTERM; exits non-zero where the work failed."""
    check_port(settings.metrics)
    held = hold_instance(settings.app, settings.instance) if settings.instance else None
    app, _ = build(settings, goals, leads)
    promises = {"exactly_once": ExactlyOnce.promise, "at_least_once": AtLeastOnce.promise}
    log.info("delivery is %s", promises[settings.delivery])
    app.on_stopping = exit_after_deadline
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda _: not isinstance(app.failure, EXPLAINED))
    worker = faust.Worker(app, loglevel="WARNING", quiet=True, override_logging=False)
    try:
        worker.execute_from_commandline()
    except EXPLAINED:
        sys.exit(1)  # it was said when it happened; Faust would say it three times more
    if held is not None:
        held.close()
    sys.exit(1 if app.failure else 0)


def check_port(metrics: Metrics) -> None:
    """Raises `Faults` where the metrics port is taken, before anything is started."""
    if metrics.port:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((metrics.host, metrics.port))
            except OSError as error:
                place = f"{metrics.host}:{metrics.port}"
                fault = f"setting 'metrics.port': {place} cannot be used: {error}"
                raise Faults([fault]) from error


def exit_after_deadline() -> None:
    """Ends the process when a stop hangs, which Faust's can (robinhood/faust#684, #484)."""

    def end() -> None:
        log.error("the stop took more than %.0f s and is ended", STOP_DEADLINE_S)
        os._exit(1)

    timer = threading.Timer(STOP_DEADLINE_S, end)
    timer.daemon = True
    timer.start()
