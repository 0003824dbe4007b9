"""The worker processes of a run, and the supervisor that starts them again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from aiokafka.errors import KafkaError

from stream.kafka.delivery import DeliveryError
from stream.kafka.site import Site
from stream.sim.broker import Broker
from stream.sim.loop import Process, SimLoop
from stream.sim.plan import Plan
from stream.sim.witness import Witness
from stream.sim.worker import Worker

# What may end a worker under fire: it was fenced, or Kafka was out of reach. Anything else,
# a broken invariant or a disagreement with its own topics, is a breach.
EXPECTED = (DeliveryError, KafkaError, TimeoutError, OSError)


class Fleet:
    """One slot per worker; in each a process, or a pause before the next one."""

    def __init__(
        self,
        plan: Plan,
        loop: SimLoop,
        broker: Broker,
        site: Site,
        witness: Witness,
        breach: Callable[[str], None],
    ) -> None:
        """Nobody runs yet. `breach` is told of a worker that ended as none may."""
        self.slots: list[Worker | None] = [None] * plan.workers
        self.processes: list[Process] = []
        self.calm = False
        self.closed = False
        self._plan = plan
        self._loop = loop
        self._broker = broker
        self._site = site
        self._witness = witness
        self._breach = breach
        self._rng = Random(f"{plan.seed}/fleet")

    def start_all(self) -> None:
        """Each a little later than the one before."""
        for slot in range(len(self.slots)):
            self._loop.after(self._rng.random() * 20 if slot else 0.0, self.start, slot)

    def start(self, slot: int) -> None:
        """Starts a process in a slot that has none."""
        if self.slots[slot] is not None:
            return
        number = len(self.processes)
        process = Process(f"w{slot}.{number}")
        self.processes.append(process)
        skew_ms = self._plan.skews_ms[number % len(self._plan.skews_ms)]
        member = f"w{slot}" if self._plan.static else process.name

        def now() -> int:
            return self._plan.start_ms + skew_ms + int(self._loop.now * 1_000)

        self._broker.trace.note(f"{process.name} starts, its clock off by {skew_ms} ms")
        self._loop.start(process, self._run(slot, process, member, now))

    async def _run(self, slot: int, process: Process, member: str, now: Callable[[], int]) -> None:
        site = self._site_now()
        worker = Worker(process, self._broker, site, self._witness, member, now)
        self.slots[slot] = worker
        try:
            await worker.run()
        finally:
            self._loop.after(0.0, self._ended, slot, worker)

    def _site_now(self) -> Site:
        """What a worker is run by that starts now: somebody may have made `skew` smaller."""
        if self._loop.now < self._plan.stricter_from_s:
            return self._site
        rules = replace(self._site.rules, skew_ms=self._plan.strict_skew_ms)
        return replace(self._site, rules=rules)

    def kill(self, slot: int) -> None:
        """SIGKILL."""
        worker = self.slots[slot]
        if worker is not None and not worker.process.dead:
            worker.process.dead = True
            self._broker.trace.note(f"{worker.process.name} is killed")
            self._broker.trace.count("workers killed")
            self._loop.after(0.0, self._ended, slot, worker)

    def freeze(self, slot: int, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after a while."""
        worker = self.slots[slot]
        if worker is not None and not worker.process.frozen:
            worker.process.frozen = True
            self._broker.trace.note(f"{worker.process.name} freezes for {seconds:.1f} s")
            self._broker.trace.count("workers frozen")
            self._loop.after(seconds, self._thaw, worker.process)

    def stop(self, slot: int) -> None:
        """SIGTERM."""
        worker = self.slots[slot]
        if worker is not None:
            self._broker.trace.note(f"{worker.process.name} is told to stop")
            self._broker.trace.count("workers stopped")
            self._loop.after(0.0, worker.stop)

    @property
    def alive(self) -> list[Worker]:
        """Those that run."""
        return [w for w in self.slots if w is not None and not w.process.dead]

    def _thaw(self, process: Process) -> None:
        if process.frozen and not process.dead:
            self._broker.trace.note(f"{process.name} wakes")
            self._loop.thaw(process)

    def _ended(self, slot: int, worker: Worker) -> None:
        if self.slots[slot] is not worker or self.closed:
            return
        self.slots[slot] = None
        worker.process.dead = True
        failure = worker.failure
        if failure is not None:
            self._broker.trace.count(f"workers ended by {type(failure).__name__}")
            if not isinstance(failure, EXPECTED):
                self._breach(f"{worker.process.name} ended with {failure!r}")
        pause = self._rng.choice((0.05, 1.0, 1.0, 15.0)) if not self.calm else 1.0
        self._loop.after(pause, self.start, slot)
