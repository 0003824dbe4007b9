"""How long until a worker works again: after a start, after SIGKILL, and while another joins.

A worker takes in a day of contacts and stops. Then, round by round: a worker of the same app
starts and restores what is in the changelog, which is timed by its own metric, from the moment it
was given its partitions to the moment at which rows and window sums are whole; a plain consumer
reads the same changelog on the same core; the worker is killed and started again at once; and a
second worker joins under load. The pause is the longest time for which a partition's committed
offset stood still although contacts came for it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient

from stream.kafka.owned import SESSION_TIMEOUT_S
from tests.bench import cores
from tests.bench.load import Load, prepare
from tests.bench.meter import measure
from tests.bench.result import Collected, Result, Run
from tests.bench.systems.bare import Bare
from tests.bench.systems.base import ROOT, BenchError, Task
from tests.bench.systems.kpi_stream import KpiStream
from tests.bench.traffic import PARTITIONS, Traffic
from tests.bench.turns import Turns, take_turns

LOAD_PER_S: Final = 2_000
_WITHIN_S: Final = 120.0
_POLL_S: Final = 0.05
_GONE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """A day of contacts, restored."""

    name: str
    about: str
    traffic: Traffic
    calm_s: float = 3.0
    load_s: float = 60.0
    load_per_s: int = LOAD_PER_S

    def sized(self, records: int) -> Recovery:
        """The same with so many contacts."""
        return replace(self, traffic=replace(self.traffic, records=records))

    async def run(self, run: Run) -> Result:
        """Fills a changelog once, and restores it in every round."""
        collected = Collected()
        run.say(f"{self.name}: {self.about}")
        async with (
            take_turns(run.bootstrap) as turns,
            turns.filled(KpiStream.name, self.name, self.traffic) as task,
        ):
            with _worker(task, 0) as worker:
                await measure(worker, turns.admin)
            for number in range(1, run.rounds + 1):
                if number > 1:  # else its worker is given only what the last one's second left
                    await asyncio.sleep(SESSION_TIMEOUT_S + _GONE_S)
                changelog = KpiStream(task).changelog
                limit = await asyncio.to_thread(_bare, turns.bootstrap, changelog)
                ours = await self._restore(turns, task)
                times = limit["recovery_s"] / ours["recovery_s"]
                collected.add(KpiStream.name, ours)
                collected.add(Bare.name, {**limit, "ours_times": times})
                run.say(f"  round {number}: {_told(ours)}; bare {_told(limit)}")
        labels = {KpiStream.name: KpiStream.label, Bare.name: "the limit: aiokafka alone, to dicts"}
        return Result(collected.summary(), labels)

    async def _restore(self, turns: Turns, task: Task) -> dict[str, float]:
        with _worker(task, 0) as worker:
            await asyncio.to_thread(worker.workers[0].wait_ready)
            if (held := worker.workers[0].partitions()) != (task.partitions, task.partitions):
                raise BenchError(f"restored {held[0]} of {task.partitions} partitions")
            rows = worker.metric("kpi_stream_rows", 'stage="rows"')
            seconds = worker.metric("kpi_stream_recovery_seconds")
            began_s = time.monotonic()
            await asyncio.to_thread(worker.restart)
            await asyncio.to_thread(worker.workers[0].wait_ready)
            ready_s = time.monotonic() - began_s
            pause_s = await self._rebalance(turns, worker)
        ours = {"rows": rows, "recovery_s": seconds, "rows_per_s": rows / seconds}
        return {**ours, "sigkill_to_ready_s": ready_s, "rebalance_pause_s": pause_s}

    async def _rebalance(self, turns: Turns, first: KpiStream) -> float:
        """The longest pause of a partition while a second worker joins under load."""
        task = first.task
        traffic = replace(self.traffic, records=int(self.load_per_s * self.load_s))
        load = Load(turns.bootstrap, task.topic, self.load_per_s)
        sending = asyncio.create_task(load.send([*prepare(traffic)], []))
        still = Standstill(turns.admin, task)
        await still.look_on(self.calm_s)
        still.longest_s = 0.0
        with _worker(task, 1) as second:
            deadline_s = time.monotonic() + _WITHIN_S
            while not await asyncio.to_thread(_share, first, second):
                second.require_alive()
                if time.monotonic() > deadline_s:
                    raise BenchError("two workers did not share the partitions in time")
                await still.look_on(0.2)
            await still.look_on(self.calm_s)
            if sending.done():
                sending.result()
                raise BenchError("the load ended before the workers shared the partitions")
            longest_s = still.longest_s
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        return longest_s


@dataclass(slots=True)
class Standstill:
    """For how long a partition's committed offset has stood still at most."""

    admin: AIOKafkaAdminClient
    task: Task
    longest_s: float = 0.0
    _moved: dict[int, tuple[int, float]] = field(default_factory=dict)

    async def look_on(self, seconds: float) -> None:
        """Looks at all partitions every few milliseconds, for so long."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            found = await self.admin.list_consumer_group_offsets(self.task.app)
            now_s = time.monotonic()
            for tp, committed in found.items():
                if tp.topic == self.task.topic:
                    offset, since_s = self._moved.get(tp.partition, (-1, now_s))
                    self.longest_s = max(self.longest_s, now_s - since_s)
                    if committed.offset != offset:
                        self._moved[tp.partition] = committed.offset, now_s
            await asyncio.sleep(_POLL_S)


def _worker(task: Task, number: int) -> KpiStream:
    """One of the group's workers, known to it by name: its partitions wait for its return."""
    own = replace(task, folder=task.folder / f"worker-{number}")
    return KpiStream(own, {"instance": f"bench-{number}"})


def _share(first: KpiStream, second: KpiStream) -> bool:
    held = [worker.workers[0].partitions() for worker in (first, second)]
    return all(ready == owned > 0 for ready, owned in held) and (
        sum(owned for _, owned in held) == sum(ready for ready, _ in held)
    )


def _bare(bootstrap: str, changelog: str) -> dict[str, float]:
    module = "tests.bench.apps.bare_changelog"
    command = [sys.executable, "-m", module, bootstrap, changelog, str(PARTITIONS)]
    with cores.started_on(cores.SYSTEM):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"the bare read failed: {done.stderr[-500:]}")
    read = json.loads(done.stdout)
    return {"recovery_s": read["seconds"], "rows_per_s": read["records"] / read["seconds"]}


def _told(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:,.2f}" for name, value in metrics.items())
