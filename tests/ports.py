"""Ports for what tests start, on loopback."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

HOST: Final = "127.0.0.1"
# Below those that systems hand to clients, which would take one of ours during a restart.
_ALL: Final = range(20_000, 32_000)
_DICE: Final = random.SystemRandom()  # Hypothesis seeds the one that all share


def free_port() -> int:
    """A port that nobody listens on."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many in a row; none that another process of this test run may find as well."""
    own = share(os.environ)
    while True:
        first = _DICE.choice(own)
        ports = list(range(first, first + count))
        if ports[-1] in own and _are_free(ports):
            return ports


def share(environment: Mapping[str, str]) -> range:
    """The ports of a process of the test run, by the number that pytest-xdist gives it."""
    number = int(environment.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(environment.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    size = len(_ALL) // count
    return _ALL[number % count * size : (number % count + 1) * size]


def _are_free(ports: list[int]) -> bool:
    with ExitStack() as probes:
        for port in ports:
            probe = probes.enter_context(socket.socket())
            try:
                probe.bind((HOST, port))
            except OSError:
                return False
    return True
