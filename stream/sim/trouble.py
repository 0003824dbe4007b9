"""What goes wrong in a run, at times that follow from its seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from faust.types import TP

from stream.sim.broker import Broker
from stream.sim.fleet import Fleet
from stream.sim.network import CALM
from stream.sim.plan import Plan

OPERATIONS_MAX: Final = 25
_ROLLING_S: Final = 2.0


class Trouble:
    """Faults, each kind on or off by the plan, until the run's length is over."""

    def __init__(self, plan: Plan, broker: Broker, fleet: Fleet) -> None:
        """Nothing has gone wrong yet."""
        self._plan = plan
        self._broker = broker
        self._fleet = fleet
        self._rng = Random(f"{plan.seed}/trouble")

    def begin(self) -> None:
        """Bad weather from now on, and every kind of fault at its times."""
        self._broker.network.weather = self._plan.weather
        chances = self._plan.chances
        for chance, act in (
            (chances.crash, self._crash),
            (chances.freeze, self._freeze),
            (chances.outage, self._outage),
            (chances.leave, self._leave),
            (chances.compact, self._compact),
        ):
            self._schedule(chance, act)
        if self._plan.stricter_from_s < self._plan.length_s:
            self._broker.network.loop.at(self._plan.stricter_from_s, self._restart_all)

    def end(self) -> None:
        """All is well: what is away comes back, and what is frozen wakes by itself."""
        network = self._broker.network
        network.weather = CALM
        network.away_until = min(network.away_until, network.loop.now + 1)
        self._fleet.calm = True
        for process in self._fleet.processes:
            process.fuse = None

    def _schedule(self, chance: float, act: Callable[[], None]) -> None:
        if not chance:
            return
        loop = self._broker.network.loop
        when = loop.now + self._rng.expovariate(chance)
        if when < self._plan.length_s:

            def happen() -> None:
                act()
                self._schedule(chance, act)

            loop.at(when, happen)

    def _crash(self) -> None:
        """At once, or at one of the next requests: before it is sent, or while it is on its way."""
        slot = self._slot()
        if self._rng.random() < 0.3:
            self._fleet.kill(slot)
            return
        self._light(slot, lambda: self._fleet.kill(slot))

    def _freeze(self) -> None:
        slot, seconds = self._slot(), self._rng.choice((1.0, 8.0, 15.0, 30.0))
        if self._rng.random() < 0.3:
            self._fleet.freeze(slot, seconds)
            return
        self._light(slot, lambda: self._fleet.freeze(slot, seconds))

    def _light(self, slot: int, act: Callable[[], None]) -> None:
        worker = self._fleet.slots[slot]
        if worker is None:
            return
        loop, at_once = self._broker.network.loop, self._rng.random() < 0.5

        def burnt() -> None:
            if at_once:
                act()
            else:
                loop.after(0.0, act)

        worker.process.light(self._rng.randrange(1, OPERATIONS_MAX), burnt)

    def _outage(self) -> None:
        seconds = self._rng.choice((0.5, 5.0, 15.0, 40.0))
        self._broker.trace.note(f"broker: away for {seconds} s")
        self._broker.trace.count("broker outages")
        self._broker.away_for(seconds)

    def _restart_all(self) -> None:
        """One after the other, since their settings have changed."""
        self._broker.trace.count("settings changed")
        for slot in range(len(self._fleet.slots)):
            self._broker.network.loop.after(_ROLLING_S * slot, self._fleet.stop, slot)

    def _leave(self) -> None:
        self._fleet.stop(self._slot())

    def _compact(self) -> None:
        topology = self._broker.topology
        topics = [topology.changelog]
        if topology.has_rollups:
            topics += [topology.rollups, topology.rollups_changelog]
        places = [TP(topic, n) for topic in topics for n in range(topology.partitions)]
        self._broker.compact(places, self._rng)

    def _slot(self) -> int:
        return self._rng.randrange(len(self._fleet.slots))
