"""What the simulated world itself knows of each flush: by which clock, and what was counted for it.

The auditor judges by it what follows from neither the logs nor the workload: how old a partition's
part was by the clock of the worker that added it up.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, Self

from stream.kafka.delivery import Flush
from stream.kafka.site import Site
from stream.kafka.stage import Lane, Recovered, Stage
from stream.kafka.telemetry import Telemetry
from stream.sim.view import Place


class Frozen(NamedTuple):
    """A stage at the instant at which a flush of it was frozen.

    `wall_ms`: by the clock of its worker. `skew_ms`: how far ahead of now that worker lets events
    be. `offsets`: up to where it had read its topics. `outcomes`: of the records it has counted
    since the flush before, as its metrics tell them.
    """

    wall_ms: int
    skew_ms: int
    offsets: dict[str, int]
    outcomes: Counter[str]


@dataclass(frozen=True, slots=True)
class OutcomeCounter:
    """In the place of a counter of Prometheus: adds up by outcome for the stage that is at work.

    `outcome` is what it counts, or the label that says so where it is empty.
    """

    counted: Counter[str]
    outcome: str = ""

    def labels(self, **labels: str) -> Self:
        """The child of one label."""
        (label,) = labels.values()
        return self if self.outcome else type(self)(self.counted, label)

    def inc(self, amount: int = 1) -> None:
        """Counts."""
        self.counted[self.outcome] += amount


_TALLIED: Final = {"events": "accepted", "duplicates": "repeated", "misplaced": "moved"}


class Witness:
    """Every flush that was ever frozen in a run, whatever became of it."""

    def __init__(self) -> None:
        """Nothing was seen yet. `latest`: of each stage, by its place."""
        self.flushes: dict[tuple[str, int], Frozen] = {}
        self.latest: dict[Place, Frozen] = {}
        self._counted: Counter[str] = Counter()

    def telemetry(self, shared: Telemetry) -> Telemetry:
        """The same metrics, but for those that say what became of records: they are seen here."""
        own: Any = copy.copy(shared)
        for name, outcome in {**_TALLIED, "refused": ""}.items():
            setattr(own, name, OutcomeCounter(self._counted, outcome))
        seen: Telemetry = own
        return seen

    def watch(self, place: Place, stage: Stage, now: Callable[[], int], skew_ms: int) -> None:
        """Sees all that a stage takes in and freezes from now on; `now` is its worker's clock."""
        outcomes: Counter[str] = Counter()
        apply, freeze = stage.apply, stage.freeze

        def applied(topic: str, block: Sequence[Any]) -> None:
            self._counted.clear()
            apply(topic, block)
            outcomes.update(self._counted)

        def frozen(now_ms: int | None) -> Flush:
            flush = freeze(now_ms)
            seen = Frozen(now(), skew_ms, dict(stage.included), Counter(outcomes))
            self.latest[place] = self.flushes[flush.writer, flush.sequence] = seen
            outcomes.clear()
            return flush

        stage.apply = applied  # type: ignore[method-assign]
        stage.freeze = frozen  # type: ignore[method-assign]


class Clocked(Protocol):
    """A worker: its clock, and what it is run by."""

    now: Callable[[], int]
    site: Site


class WatchedLane:
    """A lane of production's, whose stages are watched from their recovery on."""

    def __init__(self, lane: Lane, witness: Witness, worker: Clocked) -> None:
        """Otherwise as `lane`, which is one of `worker`'s."""
        self.name = lane.name
        self.delivery = lane.delivery
        self._lane = lane
        self._witness = witness
        self._worker = worker

    async def recover(self, number: int) -> Recovered:
        """As it does, and looks on."""
        recovered = await self._lane.recover(number)
        skew_ms = self._worker.site.rules.skew_ms or 0
        now = self._worker.now
        self._witness.watch(Place(self.name, number), recovered.stage, now, skew_ms)
        return recovered
