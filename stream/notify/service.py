"""`kpi-stream notify`, put together: settings → topics → notifier → HTTP, until it is to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO, Final
from zoneinfo import ZoneInfo

import aiohttp
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from stream.config import Settings
from stream.instance import hold_instance
from stream.kafka.app import is_refusal
from stream.kafka.clients import KafkaClients
from stream.kafka.formats import UnknownFormatError
from stream.kafka.recovery import DisagreementError
from stream.notify.addresses import open_addresses
from stream.notify.alertmanager import Alertmanager, receiver_name
from stream.notify.courier import THREADS_MAX, Address, Courier
from stream.notify.inbox import Inbox, prepare
from stream.notify.memory import Memory, MemoryLostError
from stream.notify.message import Wording
from stream.notify.notifier import Notifier, Receivers
from stream.notify.roster import ROSTER_FILE
from stream.notify.rosters import Rosters
from stream.notify.settings import Notify
from stream.notify.telemetry import RosterInfo, Telemetry
from stream.serve.http import Health, MetricsServer
from stream.supervisor import REFUSED
from stream.yamlfile import Faults

log = logging.getLogger(__name__)

# They say what is wrong and what to do; a traceback would only hide it.
EXPLAINED: Final = (MemoryLostError, KafkaError, DisagreementError, UnknownFormatError)


def run(settings: Settings, folder: Path) -> None:
    """Runs until SIGINT or SIGTERM; exits 1 where what was told cannot be kept.

    With `REFUSED` where another start would end the same way.

    Raises:
        Faults: if settings or roster have any.
        TopologyError: if there is no broker, or topics cannot be made.
    """
    notify = settings.notify
    if not (notify.alertmanagers or notify.direct.leads):
        raise Faults(["setting 'notify': nobody to tell: name alertmanagers, or direct.leads"])
    reason: BaseException | None = None
    with _alone(settings.app):
        try:
            asyncio.run(_run_until_stopped(settings, folder))
        except* EXPLAINED as group:
            reason = _first(group)
    if reason is not None:
        log.error("stopping: %s", str(reason) or repr(reason))
        sys.exit(REFUSED if is_refusal(reason) else 1)


def _alone(app: str) -> IO[str]:
    try:
        return hold_instance(app, "notify")
    except Faults as error:
        raise Faults([f"another `kpi-stream notify` of {app!r} runs on this machine"]) from error


def _first(error: BaseException) -> BaseException:
    """The first single error in groups of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


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
    notify, registry = settings.notify, CollectorRegistry()
    names = [receiver_name(address.get_secret_value()) for address in notify.alertmanagers]
    telemetry = Telemetry(registry, [*names, *notify.direct.leads])
    leads = open_addresses(notify.direct.leads) if notify.direct.leads else {}
    rosters = Rosters(folder / ROSTER_FILE, telemetry)
    registry.register(RosterInfo(lambda: rosters.current))
    notifier: Notifier | None = None

    def health() -> Health:
        if notifier is None:
            return Health(healthy=True, detail="waiting for Kafka's topics")
        return Health(healthy=not notifier.is_stuck, detail=notifier.detail)

    async with AsyncExitStack() as stack:
        await _serve(stack, settings, registry, health)
        sources = await prepare(settings)
        inbox = Inbox(settings, sources[settings.topics.alerts])
        memory = Memory(settings, KafkaClients(settings))
        stack.push_async_callback(memory.close)
        stack.push_async_callback(inbox.close)
        receivers = await _open_receivers(stack, notify, leads, telemetry)
        wording = Wording(ZoneInfo(settings.timezone), notify.links)
        notifier = Notifier(settings, wording, rosters, telemetry, memory, inbox, receivers)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        if notify.roster_topic:
            roster = Inbox(settings, sources[notify.roster_topic])
            stack.push_async_callback(roster.close)
            await rosters.read_topic(roster)
            tasks.create_task(rosters.follow_topic(roster))
        tasks.create_task(rosters.watch_file())
        await notifier.run()


async def _serve(
    stack: AsyncExitStack,
    settings: Settings,
    registry: CollectorRegistry,
    health: Callable[[], Health],
) -> None:
    """Listens for Prometheus and supervisors until the stack is closed; the token is the worker's.

    Who is who is not for everybody either.
    """
    own = settings.notify.metrics
    place = settings.metrics.model_copy(update={"host": own.host, "port": own.port})
    server = MetricsServer(place, registry, tuple, health)
    stack.push_async_callback(server.stop)
    try:
        await server.start()
    except OSError as error:
        fault = f"setting 'notify.metrics.port': {own.host}:{own.port} cannot be used: {error}"
        raise Faults([fault]) from error


async def _open_receivers(
    stack: AsyncExitStack,
    notify: Notify,
    leads: Mapping[str, Sequence[Address]],
    telemetry: Telemetry,
) -> Receivers:
    session = await stack.enter_async_context(aiohttp.ClientSession())
    threads = ThreadPoolExecutor(THREADS_MAX, "courier")
    stack.callback(threads.shutdown, wait=False, cancel_futures=True)
    return Receivers(
        [
            Alertmanager(address.get_secret_value(), session, telemetry)
            for address in notify.alertmanagers
        ],
        lambda told: [
            Courier(lead, ways, notify.direct, told.get(lead), telemetry, threads)
            for lead, ways in leads.items()
        ],
    )
