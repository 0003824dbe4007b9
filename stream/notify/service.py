"""`kpi-stream notify`, put together: settings → topics → notifier → HTTP, until it is to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import aiohttp
from prometheus_client import CollectorRegistry

from stream.config import Metrics, Settings
from stream.instance import hold_instance
from stream.kafka.clients import KafkaClients
from stream.notify.addresses import open_addresses
from stream.notify.alertmanager import Alertmanager, receiver_name
from stream.notify.courier import THREADS_MAX, Courier
from stream.notify.inbox import Inbox, Source, prepare
from stream.notify.memory import Memory, MemoryLostError
from stream.notify.message import Wording
from stream.notify.notifier import Notifier, Receivers
from stream.notify.roster import ROSTER_FILE
from stream.notify.rosters import Rosters
from stream.notify.telemetry import RosterInfo, Telemetry
from stream.serve.http import Health, MetricsServer
from stream.yamlfile import Faults

log = logging.getLogger(__name__)


def run(settings: Settings, folder: Path) -> None:
    """Runs until SIGINT or SIGTERM; exits 1 where what was told cannot be kept.

    Raises:
        Faults: if settings or roster have any.
        TopologyError: if there is no broker, or topics cannot be made.
    """
    notify = settings.notify
    if not (notify.alertmanagers or notify.direct.leads):
        raise Faults(["setting 'notify': nobody to tell: name alertmanagers, or direct.leads"])
    held = hold_instance(settings.app, "notify")
    try:
        asyncio.run(_run_until_stopped(settings, folder))
    except* MemoryLostError as lost:
        log.error("stopping: %s", lost.exceptions[0])  # noqa: TRY400 - it says all there is
        sys.exit(1)
    finally:
        held.close()


async def _run_until_stopped(settings: Settings, folder: Path) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "asyncio.run makes one"
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await _run(settings, folder)
    except asyncio.CancelledError:
        log.info("stopped")


async def _run(settings: Settings, folder: Path) -> None:
    notify = settings.notify
    registry = CollectorRegistry()
    addresses = [address.get_secret_value() for address in notify.alertmanagers]
    names = [receiver_name(address) for address in addresses]
    telemetry = Telemetry(registry, [*names, *notify.direct.leads])
    leads = open_addresses(notify.direct.leads) if notify.direct.leads else {}
    rosters = Rosters(folder / ROSTER_FILE, telemetry)
    registry.register(RosterInfo(lambda: rosters.current))
    notifier: Notifier | None = None

    def health() -> Health:
        if notifier is None:
            return Health(healthy=True, detail="waiting for Kafka's topics")
        return Health(healthy=not notifier.is_stuck, detail=notifier.detail)

    metrics = Metrics(host=notify.metrics.host, port=notify.metrics.port)
    async with _started(MetricsServer(metrics, registry, tuple, health)):
        sources = await prepare(settings, [settings.topics.alerts])
        async with (
            aiohttp.ClientSession() as session,
            _threads() as threads,
            _opened(settings, sources[0]) as (memory, inbox),
        ):
            notifier = Notifier(
                notify,
                Wording(ZoneInfo(settings.timezone), notify.links),
                rosters,
                telemetry,
                memory,
                inbox,
                Receivers(
                    [Alertmanager(address, session, telemetry) for address in addresses],
                    lambda told: [
                        Courier(lead, ways, notify.direct, told.get(lead), telemetry, threads)
                        for lead, ways in leads.items()
                    ],
                ),
            )
            await notifier.run()


@asynccontextmanager
async def _started(server: MetricsServer) -> AsyncIterator[MetricsServer]:
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def _threads() -> AsyncIterator[Executor]:
    """Threads to send in; a stop waits for what is being sent, as long as Apprise does."""
    threads = ThreadPoolExecutor(THREADS_MAX, "courier")
    try:
        yield threads
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def _opened(settings: Settings, source: Source) -> AsyncIterator[tuple[Memory, Inbox]]:
    memory, inbox = Memory(settings, KafkaClients(settings)), Inbox(settings, source)
    try:
        yield memory, inbox
    finally:
        await inbox.close()
        await memory.close()
