"""The worker, put together: settings → topics → Faust app → HTTP, until it is told to stop."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any, Final

import faust
from mode import Service
from prometheus_client import CollectorRegistry

from stream.config import Metrics, Settings
from stream.core.board import Board
from stream.core.goals import Goal
from stream.core.kpis import SCOPE_KINDS
from stream.core.rules import Rules
from stream.instance import hold_instance
from stream.kafka.app import EXPLAINED, KpiApp, is_refusal
from stream.kafka.blocks import SERVICE_LOG
from stream.kafka.clients import KafkaClients
from stream.kafka.delivery import AtLeastOnce
from stream.kafka.site import Site
from stream.kafka.telemetry import Telemetry
from stream.kafka.topology import prepare
from stream.kafka.transactions import ExactlyOnce
from stream.serve.http import Health, MetricsServer
from stream.supervisor import REFUSED
from stream.yamlfile import Faults

log = logging.getLogger(__name__)

STALL_S: Final = 60.0
RECOVERY_STALL_S: Final = 600.0
STOP_DEADLINE_S: Final = 20.0


def rules_of(settings: Settings, goals: tuple[Goal, ...], partitions: int) -> Rules:
    """What every partition is run by. In replay only clocks move now, so no event is early.

    Of several partitions none sees a whole team or queue: each has its part in them.
    """
    alone = partitions == 1
    return Rules(
        windows=settings.parsed_windows(),
        kinds=SCOPE_KINDS if alone else ("agent",),
        shared_kinds=() if alone else tuple(kind for kind in SCOPE_KINDS if kind != "agent"),
        goals=goals,
        thresholds=settings.thresholds(),
        queue_teams=settings.queue_teams(),
        skew_ms=settings.skew if settings.time == "live" else None,
    )


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


class DiscreetWorker(faust.Worker):
    """Faust's, whose answers to SIGUSR1 and SIGUSR2 are every variable's value, and a debugger.

    Values are customers' records and passwords; and a debugger without a terminal is a crash.
    Nor has it Faust's spinner, whose escape sequences stand in the midst of log lines.
    """

    def __init__(self, app: KpiApp) -> None:
        super().__init__(app, loglevel="WARNING", quiet=True, override_logging=False)
        self.spinner = None

    def _on_sigusr1(self) -> None:
        """Where every thread is, and nothing of what it has in hand."""
        faulthandler.dump_traceback(file=sys.stderr)

    def _on_sigusr2(self) -> None:
        log.warning("SIGUSR2 does nothing; SIGUSR1 says where every thread is")


def build(
    settings: Settings, goals: tuple[Goal, ...], leads: Mapping[str, str]
) -> tuple[KpiApp, MetricsServer]:
    """Connects to Kafka, prepares the topics and builds the app with its HTTP server.

    Raises:
        TopologyError: if there is no broker, or the topics are not as they have to be.
    """
    topology = asyncio.run(prepare(settings))
    asyncio.set_event_loop(asyncio.new_event_loop())
    registry = CollectorRegistry()
    site = Site(
        settings,
        topology,
        rules_of(settings, goals, topology.partitions),
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


def complete_engines(app: KpiApp) -> Iterator[Board[Any]]:
    """The engines of the partitions this worker surely owns and has caught up on."""
    interval_s = app.settings.flush_interval / 1000
    return (
        owned.stage.engine
        for owned in app.ownership.owned.values()
        if owned.ready and owned.stage.is_complete and owned.is_surely_ours(interval_s)
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
    numbers = {number for _, number in owned_now}
    behind = {number for (_, number), owned in owned_now.items() if not owned.ready}
    ready = len(numbers - behind)
    return Health(healthy=True, detail=f"{ready} of {len(numbers)} partitions caught up")


def run(settings: Settings, goals: tuple[Goal, ...], leads: Mapping[str, str]) -> None:
    """Runs until SIGINT or SIGTERM; exits with 1 where the work failed.

    With `REFUSED` where another start would end the same way.
    """
    check_port(settings.metrics)
    name = settings.instance
    with hold_instance(settings.app, name) if name else nullcontext():
        app, _ = build(settings, goals, leads)
        promises = {"exactly_once": ExactlyOnce.promise, "at_least_once": AtLeastOnce.promise}
        log.info("delivery is %s", promises[settings.delivery])
        app.on_stopping = exit_after_deadline
        for handler in logging.getLogger().handlers:
            handler.addFilter(lambda _: not isinstance(app.failure, EXPLAINED))
        try:
            DiscreetWorker(app).execute_from_commandline()
        finally:  # it returns by SystemExit, whose code knows nothing of reasons
            if app.failure is not None:
                sys.exit(REFUSED if is_refusal(app.failure) else 1)


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
