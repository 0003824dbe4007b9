"""One run: a broker, workers, trouble, then calm, and the auditor over all of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Final, cast

from faust.types import TP
from prometheus_client import CollectorRegistry

from stream.core.rules import Rules
from stream.kafka.clients import Clients
from stream.kafka.site import Site
from stream.kafka.telemetry import Telemetry
from stream.kafka.topology import Topology, topology_of
from stream.sim.auditor import Auditor
from stream.sim.broker import Broker
from stream.sim.fleet import Fleet
from stream.sim.log import Transaction
from stream.sim.loop import SimLoop, StalledError, Task
from stream.sim.network import Network
from stream.sim.plan import Plan, plan_of
from stream.sim.reader import SimClients
from stream.sim.trace import Trace, logged_to
from stream.sim.trouble import Trouble
from stream.sim.view import Breach, Place
from stream.sim.witness import Witness
from stream.sim.workload import Workload

SETTLE_S: Final = 150.0
_LOOK_S: Final = 0.7
_FUNERALS: Final = 5


@dataclass(slots=True)
class Outcome:
    """What came of a seed; `breaches` is empty where all was well."""

    seed: int
    breaches: list[str]
    digest: str
    counts: Counter[str]
    tail: list[str] = field(default_factory=list)


class World:
    """Everything in one run."""

    def __init__(self, plan: Plan, *, echo: bool = False) -> None:
        """Built, not begun."""
        self.plan = plan
        self.loop = SimLoop()
        self.trace = Trace(self.loop.time, echo=echo)
        self.rng = Random(f"{plan.seed}/network")
        topology = topology_of(plan.settings, plan.partitions)
        network = Network(self.loop, self.rng)
        self.workload = Workload(plan, topology)
        self.broker = Broker(network, topology, self.trace, self._judge, plan.timeout_s)
        witness = Witness()
        self.auditor = Auditor(plan, topology, self.workload, witness, self.broker.log)
        telemetry = witness.telemetry(_telemetry())
        site = site_of(plan, topology, SimClients(self.broker), telemetry)
        self.fleet = Fleet(plan, self.loop, self.broker, site, witness, self._breach)
        self.trouble = Trouble(plan, self.broker, self.fleet)
        self._is_over = False

    def run(self) -> Outcome:
        """Runs to the end, or to the first breach."""
        asyncio.set_event_loop(self.loop)
        try:
            with logged_to(self.trace):
                self._live()
                outcome = self._outcome()
                self._bury()
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()
        return outcome

    def _live(self) -> None:
        for sending in self.workload.sendings:
            self.loop.at(sending.at_s, self.broker.receive, sending.place, sending.content)
        self.fleet.start_all()
        self.trouble.begin()
        try:
            self.loop.run_until_complete(self.loop.create_task(self._watch()))
        except StalledError:
            self._breach("nothing is left that could ever happen")
        except RuntimeError:
            # The loop was stopped: by a breach, or by a fault of the simulation itself.
            if self.loop.fault is not None:
                raise self.loop.fault from None

    async def _watch(self) -> None:
        await asyncio.sleep(self.plan.length_s)
        self.trouble.end()
        self.trace.note("the trouble is over")
        await self._until(self._unsettled, SETTLE_S)
        rested = self._latest_ms() + int(self.plan.rest_s * 1_000)
        # A clock that is behind has to catch up first.
        await self._until(lambda: self._standing(rested), self.plan.rest_s + SETTLE_S)
        idle = self.broker.coordinator
        await self._until(lambda: self._unsettled() or ("" if idle.is_idle else "busy"), SETTLE_S)
        self._judge_rest()

    async def _until(self, lacking: Callable[[], str], within_s: float) -> None:
        """Waits until nothing is lacking; for ever is a breach."""
        deadline = self.loop.now + within_s
        while said := lacking():
            if self.loop.now > deadline:
                self._breach(f"not settled after {within_s:.0f} s: {said}")
            await asyncio.sleep(_LOOK_S)

    def _standing(self, rested: int) -> str:
        return "" if self._latest_ms(min) >= rested else "now stands still somewhere"

    def _latest_ms(self, of: Callable[[Iterable[int]], int] = max) -> int:
        """The latest, or the earliest, instant of any partition."""
        owned = (own for worker in self.fleet.alive for own in worker.ownership.owned.values())
        return of([own.stage.engine.now_ms or 0 for own in owned] or [0])

    def _unsettled(self) -> str:
        """What is still to come; nothing where all is counted and everybody is ready."""
        broker, numbers = self.broker, range(self.plan.partitions)
        if broker.received < len(self.workload.sendings):
            return "not everything was sent"
        for topic in broker.topology.inputs:
            for place in (TP(topic, number) for number in numbers):
                log, offset = broker.log(place), broker.coordinator.offsets.get(place, 0)
                if log.between(offset, log.end):
                    return f"{place} is at {offset} of {log.end}"
        owned = sorted(
            number
            for worker in self.fleet.alive
            for (_, number), own in worker.ownership.owned.items()
            if own.ready and not own.stage.is_dirty and not own.is_flushing
        )
        lanes = 2 if broker.topology.has_rollups else 1
        complete = owned == sorted([*numbers] * lanes)
        return "" if complete else f"ready partitions are {owned}"

    def _judge_rest(self) -> None:
        try:
            for worker in self.fleet.alive:
                for (lane, number), owned in worker.ownership.owned.items():
                    self.auditor.judge_rest(Place(lane, number), owned.stage.engine.now_ms or 0)
        except Breach as breach:
            self._breach(f"at rest: {breach}")

    def _judge(self, transaction: Transaction) -> None:
        if self._is_over:
            return
        self.auditor.judge(transaction, int(self.loop.now * 1_000))
        if self.auditor.breaches:
            self._breach(self.auditor.breaches.pop())

    def _breach(self, text: str) -> None:
        if self._is_over:
            return
        self.trace.note(f"BREACH: {text}")
        self.auditor.breaches.append(text)
        self.loop.stop()

    def _outcome(self) -> Outcome:
        counts = self.trace.counts + self.auditor.counts
        counts["records repeated by producers"] = self.workload.repeats
        counts["records misplaced by producers"] = self.workload.misplaced
        breaches = self.auditor.breaches
        tail = list(self.trace.tail) if breaches else []
        return Outcome(self.plan.seed, breaches, self.trace.digest, counts, tail)

    def _bury(self) -> None:
        """Ends every task, the dead processes' too; whatever they still do is not looked at."""
        self._is_over = self.fleet.closed = True
        self.broker.network.away_until = 0.0
        self.loop.set_exception_handler(lambda *_: None)
        for process in self.fleet.processes:
            process.dead, process.fuse = False, None
            self.loop.thaw(process)
        for _ in range(_FUNERALS):
            tasks = asyncio.all_tasks(self.loop)
            if not tasks:
                return
            for task in tasks:
                task.cancel()
            with suppress(RuntimeError):  # a stop that came at the same time as the end
                self.loop.run_until_complete(self.loop.create_task(_all(tasks)))


async def _all(tasks: set[Task]) -> None:
    await asyncio.wait(tasks, timeout=30.0)


def run_seed(seed: int, *, echo: bool = False) -> Outcome:
    """Runs what follows from a seed."""
    return World(plan_of(seed), echo=echo).run()


def site_of(plan: Plan, topology: Topology, clients: SimClients, telemetry: Telemetry) -> Site:
    """The site that all workers of a run share."""
    settings = plan.settings
    rules = Rules(
        windows=settings.parsed_windows(),
        kinds=tuple(kind for kind in plan.kinds if not plan.is_shared(kind)),
        shared_kinds=tuple(kind for kind in plan.kinds if plan.is_shared(kind)),
        goals=plan.goals,
        thresholds=settings.thresholds(),
        queue_teams=settings.queue_teams(),
        skew_ms=settings.skew,
    )
    names = Random(f"{plan.seed}/names")
    return Site(
        settings,
        topology,
        rules,
        {},
        telemetry,
        cast(Clients, clients),
        new_name=lambda: f"{names.getrandbits(64):016x}",
    )


@cache
def _telemetry() -> Telemetry:
    """One for all runs: nothing depends on it, and making one takes longer than many flushes."""
    return Telemetry(CollectorRegistry())
