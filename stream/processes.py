"""Several workers on one machine under one command, each with its own instance and metrics port."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Mapping
from typing import Final

from stream.config import Settings
from stream.core.goals import Goal
from stream.kafka.topology import prepare
from stream.logs import sign_lines
from stream.supervisor import Supervisor, stop_with_supervisor
from stream.worker import STOP_DEADLINE_S, check_port, exit_after_deadline
from stream.worker import run as run_worker
from stream.yamlfile import Faults

log = logging.getLogger(__name__)

PORT_MAX: Final = 65_535
_GRACE_S: Final = 2.0  # a worker ends its own stop at the deadline, and knows better what hung


def slots_of(settings: Settings, processes: int) -> tuple[Settings, ...]:
    """What each of so many workers runs with: instance `NAME-0` at the metrics port, then upwards.

    Without an `instance` the host's name stands for it: of workers that are started again within
    seconds Kafka has to know which they are, or each time the group waits out their session.

    Raises:
        Faults: if there are not so many ports.
    """
    metrics = settings.metrics
    if metrics.port + processes - 1 > PORT_MAX:
        fault = f"{metrics.port} is too high for {processes} processes with a port each"
        raise Faults([f"setting 'metrics.port': {fault}"])
    name = settings.instance or socket.gethostname()
    ports = [metrics.port and metrics.port + number for number in range(processes)]
    return tuple(
        settings.model_copy(
            update={
                "instance": f"{name}-{number}",
                "metrics": metrics.model_copy(update={"port": port}),
            }
        )
        for number, port in enumerate(ports)
    )


def supervise(settings: Settings, processes: int) -> int:
    """Keeps so many workers running until SIGINT or SIGTERM; the exit code.

    Raises:
        Faults: if a metrics port is taken.
        TopologyError: as the worker's `build`; here it is said once, and nothing was started.
    """
    slots = slots_of(settings, processes)
    check_ports(slots)
    partitions = asyncio.run(prepare(settings)).partitions
    if processes > partitions:
        idle = processes - partitions
        log.warning("%d processes for %d partitions: %d stay idle", processes, partitions, idle)
    # What was typed, once more: whichever way Python and the command were found.
    command = [sys.executable, *sys.orig_argv[1:]]
    names = [slot.instance or "" for slot in slots]
    return asyncio.run(Supervisor(command, names, deadline_s=STOP_DEADLINE_S + _GRACE_S).run())


def check_ports(slots: tuple[Settings, ...]) -> None:
    """Raises `Faults` that name every metrics port that is taken."""
    faults: list[str] = []
    for slot in slots:
        try:
            check_port(slot.metrics)
        except Faults as found:
            faults += [f"{slot.instance}: {fault}" for fault in found.faults]
    if faults:
        raise Faults(faults)


def run_slot(own: Settings, goals: tuple[Goal, ...], leads: Mapping[str, str]) -> None:
    """One of the workers, as `supervise` has started it, with what is its own of the settings."""
    sign_lines(own.instance or "")
    stop_with_supervisor(exit_after_deadline)
    run_worker(own, goals, leads)
