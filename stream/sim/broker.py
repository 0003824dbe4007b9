"""A Kafka in memory: logs, transactions, one consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from random import Random
from typing import Final

from faust.types import TP

from stream.kafka.topology import Topology
from stream.sim.coordinator import Coordinator
from stream.sim.group import Group
from stream.sim.log import Content, Log, Transaction
from stream.sim.network import Network
from stream.sim.trace import Trace

LONG_POLL_S: Final = 30.0


class Broker:
    """What all clients talk to. Its state outlives every outage."""

    def __init__(
        self,
        network: Network,
        topology: Topology,
        trace: Trace,
        committed: Callable[[Transaction], None],
        timeout_s: float,
    ) -> None:
        """`committed` is told of each transaction when it becomes visible."""
        self.network = network
        self.topology = topology
        self.trace = trace
        self.logs: dict[TP, Log] = {}
        self.received = 0
        self.group = Group(network, trace, topology.partitions)
        self._committed = committed
        self.coordinator = Coordinator(network, self.log, trace, self._on_commit, timeout_s)
        self._waiting: list[asyncio.Future[None]] = []

    def log(self, place: TP) -> Log:
        """A partition's log."""
        log = self.logs.get(place)
        if log is None:
            log = self.logs[place] = Log(TP(*place))
        return log

    def receive(self, place: TP, content: Content) -> None:
        """A producer outside sends an input record; its client waits where the broker is away."""
        if self.network.is_away:
            self.network.loop.at(self.network.away_until + 0.001, self.receive, place, content)
            return
        self.log(place).append([content], None)
        self.received += 1
        self._wake()

    def away_for(self, seconds: float) -> None:
        """Nobody answers for a while; sessions are not held against the members."""
        self.network.away_until = max(self.network.away_until, self.network.loop.now + seconds)
        self.group.spare(seconds)

    async def news(self) -> None:
        """Returns when something may be new, or after a long poll."""
        future: asyncio.Future[None] = self.network.loop.create_future()
        self._waiting.append(future)
        self.network.loop.after(LONG_POLL_S, _wake, [future])
        await future

    def compact(self, places: Iterable[TP], rng: Random) -> None:
        """Compacts what no transaction holds back, up to a random offset."""
        for place in places:
            log = self.log(place)
            dropped = log.compact(rng.randrange(log.end + 1), tombstones=rng.random() < 0.5)
            self.trace.note(f"broker: compacted {dropped} records of {place.topic}")
            self.trace.count("records compacted away", dropped)

    def _on_commit(self, transaction: Transaction) -> None:
        self._committed(transaction)
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            self.network.loop.after(self.network.delay(), _wake, [future])


def _wake(futures: Iterable[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
