"""A stage this worker owns: its lane, its flush loop, and how far it has come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from faust.types import TP

from stream.kafka.stage import Lane, Stage
from stream.kafka.telemetry import Telemetry

SESSION_TIMEOUT_S: Final = 10.0
HEARTBEAT_INTERVAL_S: Final = 2.0


@dataclass(slots=True)
class Owned:
    """A stage this worker owns, with its flush loop and what is known of its progress.

    `failed`: a flush was not committed, and what it had taken from the stage is gone with it.
    `is_flushing`: a flush is on its way, so that what is visible is of before it.
    """

    lane: Lane
    stage: Stage
    committed_at: float
    moved_at: float
    monotonic: Callable[[], float] = time.monotonic
    lag: int = 0
    task: asyncio.Task[None] | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    flushed: asyncio.Event = field(default_factory=asyncio.Event)
    ends: dict[TP, int] = field(default_factory=dict)
    ready: bool = False
    failed: bool = False
    is_flushing: bool = False

    def age_s(self) -> float:
        """Since the last flush that was committed, or had nothing to commit."""
        return self.monotonic() - self.committed_at

    def show(self, telemetry: Telemetry, lags: Mapping[TP, int]) -> None:
        """Sets the worker's own gauges of this stage."""
        number = str(self.stage.number)
        for tp, lag in lags.items():
            telemetry.lag.labels(topic=tp.topic, partition=number).set(lag)
        where = {"stage": self.lane.name, "partition": number}
        telemetry.rows.labels(**where).set(len(self.stage.engine.rows))
        telemetry.ready.labels(**where).set(self.ready)
        # Asked at each scrape: it has to grow where no flush comes back.
        telemetry.commit_age.labels(**where).set_function(self.age_s)

    def is_surely_ours(self, flush_interval_s: float) -> bool:
        """Not where no flush came for a session: the group may have given the partition away."""
        session_s = SESSION_TIMEOUT_S - HEARTBEAT_INTERVAL_S  # counted from the last heartbeat
        return self.age_s() <= session_s + flush_interval_s
