"""Bytewax as its manual shows it: keyed, folded over a sliding window by the record's time.

After its pages "Windowing", "Kafka connector" and "Recovery". Recovery is on with its usual epoch
of ten seconds, for without it nothing is delivered at least once. In its favour the closed windows
go nowhere. It stops at the end of the topic, and then waits to be ended.
"""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
import orjson
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from tests.bench.apps.progress import BROKER, DATA, TOPIC, WANTS_SUMS, Progress, Sums, tell_sums

HOP_S = 60
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Contribution = tuple[datetime, Sums]

if WANTS_SUMS:  # told to end once it has counted all, it still has to close its windows
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # for threads to come, too
progress = Progress()
closed: list[tuple[str, int, Sums]] = []


def contribution(message: Any) -> tuple[str, Contribution]:
    """The agent, and when and what one contact adds."""
    progress.events += 1
    contact = orjson.loads(message.value)
    handle_ms = contact["talk_ms"] + contact["hold_ms"] + contact["wrap_ms"]
    at = datetime.fromtimestamp(message.timestamp[1] / 1000, tz=UTC)
    return message.key.decode(), (at, (handle_ms, 1, int(contact["resolved"]), 1))


def nothing() -> Sums:
    """The sums of an empty window."""
    return 0, 0, 0, 0


def fold(total: Sums, one: Contribution) -> Sums:
    """The sums with one more contact."""
    return add(total, one[1])


def add(a: Sums, b: Sums) -> Sums:
    """Both together."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


class Kept(StatelessSinkPartition[Any]):
    """Keeps windows for the comparison of sums, else drops them."""

    def write_batch(self, items: list[Any]) -> None:
        """The closed windows: `(agent, (number, sums))`, numbered from the epoch on."""
        if WANTS_SUMS:
            closed.extend((agent, number * HOP_S, sums) for agent, (number, sums) in items)


class Keep(DynamicSink[Any]):
    """One for each worker."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Kept:  # noqa: ARG002
        """Bytewax's way to make it."""
        return Kept()


flow = Dataflow("sums")
contacts = kop.input("contacts", flow, brokers=[BROKER], topics=[TOPIC], tail=False)
folded = win.fold_window(
    "sums",
    op.map("contribution", contacts.oks, contribution),
    win.EventClock(lambda one: one[0], wait_for_system_duration=timedelta(seconds=60)),
    win.SlidingWindower(timedelta(seconds=300), timedelta(seconds=HOP_S), EPOCH),
    nothing,
    fold,
    add,
)
op.output("keep", folded.down, Keep())

if __name__ == "__main__":
    DATA.mkdir()
    init_db_dir(DATA, 1)
    cli_main(flow, epoch_interval=timedelta(seconds=10), recovery_config=RecoveryConfig(str(DATA)))
    tell_sums(closed)
    signal.sigwait({signal.SIGTERM})
