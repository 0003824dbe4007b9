"""What fails, when: a list of faults by seed, and the hand that brings them about."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.fleet import Fleet, Slot
from tests.chaos.proxy import Proxy
from tests.kafka_broker.broker import KafkaBroker

FREEZE_S: Final = 13.0
ANSWER_S: Final = 30.0
OWNING_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Faults:
    """How many of each."""

    kills: int
    broker_restarts: int
    rebalances: int
    freezes: int = 0
    storms: int = 0
    outages: tuple[float, ...] = ()

    def shuffled(self, rng: random.Random) -> list[tuple[str, float]]:
        """All of them in a random order; every second broker restart is a SIGKILL."""
        faults = [("kill", 0.0)] * self.kills
        faults += [("restart", float(n % 2)) for n in range(self.broker_restarts)]
        faults += [("rebalance", 0.0)] * self.rebalances + [("freeze", FREEZE_S)] * self.freezes
        faults += [("storm", 0.0)] * self.storms + [("outage", s) for s in self.outages]
        rng.shuffle(faults)
        return faults


@dataclass
class Hand:
    """Brings faults about, one after the other, at random moments."""

    fleet: Fleet
    broker: KafkaBroker
    proxy: Proxy
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)

    async def strike(self, name: str, seconds: float) -> None:
        """One fault, from its begin to its end."""
        await getattr(self, f"_{name}")(seconds)
        self.done[name] += 1

    async def _kill(self, _: float) -> None:
        """SIGKILL; half of the time the next fault may come before it is back."""
        slot = self._any(static=self.rng.random() < 0.8)
        self.fleet.kill(slot)
        await asyncio.sleep(0.3)
        if self.rng.random() < 0.7:
            await self.fleet.wait_answering(slot, ANSWER_S)

    async def _restart(self, is_kill: float) -> None:
        """The broker goes, in order or not, and comes back at once."""
        if is_kill:
            await asyncio.to_thread(self.broker.kill)
        await asyncio.to_thread(self.broker.restart)

    async def _outage(self, seconds: float) -> None:
        """The broker is away for a while."""
        await asyncio.to_thread(self.broker.stop)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.broker.start)

    async def _rebalance(self, _: float) -> None:
        """A worker without a fixed seat leaves, or joins."""
        slot = self.rng.choice([slot for slot in self.fleet.slots if not slot.is_static])
        if slot.is_running:
            await self.fleet.stop(slot)
            self.done["leave"] += 1
        else:
            slot.start()
            await self.fleet.wait_answering(slot, ANSWER_S)
            self.done["join"] += 1

    async def _freeze(self, seconds: float) -> None:
        """SIGSTOP past the session timeout, then SIGCONT: a zombie."""
        slot = self._any(static=self.rng.random() < 0.5)
        owned = await self.fleet.wait_owning(slot, OWNING_S)
        fate = await self.fleet.freeze(slot, seconds)
        self.done[fate if owned else "otherwise"] += 1  # who had nothing was no zombie

    async def _storm(self, _: float) -> None:
        """Connections are reset, some at a time."""
        for _n in range(8):
            self.proxy.reset(self.rng.uniform(0.1, 1.0))
            await asyncio.sleep(self.rng.uniform(0.05, 0.8))

    def _any(self, *, static: bool) -> Slot:
        running: Sequence[Slot] = self.fleet.running() or self.fleet.slots[:1]
        return self.rng.choice([s for s in running if s.is_static == static] or list(running))
