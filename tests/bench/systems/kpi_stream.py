"""This worker: the real process with all it does.

Default settings unless a workload says otherwise, so: five windows, the whole catalogue,
changelog, `kpis` topic, checkpoint and offsets; and two goals, judged from the moment it has
caught up, as always.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench import cores
from tests.bench.systems.base import BenchError, Sums, System, Task
from tests.bench.systems.stored import stored_sums
from tests.kafka.live import WorkerProcess

_TOPICS: Final = ("surveys", "agent_facts", "kpis", "alerts", "dead_letters")
GOALS: Final[Sequence[Mapping[str, Any]]] = (
    {
        "name": "handle-time",
        "purpose": "Staffing is planned on contacts of six and a half minutes.",
        "kpi": "handle_time",
        "scope": "agent",
        "window": "1h",
        "target": "<= 6m30s",
        "min_samples": 10,
        "severity": "warning",
        "what_to_do": "Look for a fault that makes every contact longer.",
    },
    {
        "name": "resolution",
        "purpose": "Customers need not call again.",
        "kpi": "resolution_rate",
        "scope": "agent",
        "window": "8h",
        "target": ">= 75%",
        "min_samples": 20,
        "evidence": 0.9,
        "severity": "info",
        "what_to_do": "Ask what is missing to finish the job.",
    },
)


class KpiStream(System):
    """`kpi-stream worker`, one process or more of one group."""

    name = "kpi-stream"
    label = "this worker, all its work"

    def __init__(
        self,
        task: Task,
        settings: Mapping[str, Any] | None = None,
        goals: Sequence[Mapping[str, Any]] = GOALS,
        processes: int = 1,
        on: frozenset[int] = cores.SYSTEM,
    ) -> None:
        """`settings` go over the defaults; goals on windows that are not kept are left out."""
        super().__init__(task, on)
        own = {"app": task.app, "broker": task.bootstrap, "topics": self.topics, **(settings or {})}
        kept = own.get("windows")
        held = [dict(goal) for goal in goals if kept is None or goal["window"] in kept]
        self.workers = [
            WorkerProcess(task.folder / f"{number}", own, {"goals": held})
            for number in range(processes)
        ]

    @property
    def topics(self) -> dict[str, str]:
        """The names of its topics; all but the first are its own."""
        own = {name: f"{self.task.app}-{name}" for name in _TOPICS}
        return {"interactions": self.task.topic, **own}

    @property
    def changelog(self) -> str:
        """The topic in which its rows are kept."""
        return f"{self.task.app}-rows-changelog"

    def start(self) -> subprocess.Popen[bytes]:
        """Starts all of them."""
        for worker in self.workers:
            worker.start()
        assert self.workers[0].process is not None, "it was started"
        return self.workers[0].process

    def __exit__(self, *error: object) -> None:
        """Ends all of them."""
        super().__exit__(*error)
        for worker in self.workers:
            worker.kill()

    def pids(self) -> list[int]:
        """Of all processes."""
        return [worker.process.pid for worker in self.workers if worker.process is not None]

    @property
    def log(self) -> Path:
        """The first worker's log."""
        return self.workers[0].log

    def is_shared(self) -> bool:
        """Whether every worker has partitions, and has caught up on all of them."""
        held = [worker.partitions() for worker in self.workers]
        owned = sum(number for _, number in held)
        return owned == self.task.partitions and all(ready == n > 0 for ready, n in held)

    def counted(self) -> int:
        """By their own metrics."""
        return int(self.metric("kpi_stream_events_total", 'kind="interaction"'))

    def metric(self, name: str, label: str = "") -> float:
        """The sum over all workers and labels, or those with this one; 0 if none answers."""
        sample = re.compile(rf"^{name}(?:\{{(\S*)\}})? (\S+)$", re.MULTILINE)
        found = [s for w in self.workers for s in sample.findall(w.metrics())]
        return sum(float(value) for labels, value in found if label in labels)

    def restart(self) -> None:
        """SIGKILL to the first worker, and the same worker again at once, on the same cores."""
        self.workers[0].kill()
        with cores.started_on(self.on):
            self.process = self.start()

    def check(self) -> None:
        """Every record was counted, so none was refused or taken for a repeat."""
        counted = self.counted()
        if counted != self.task.records:
            raise BenchError(f"{self.name} counted {counted} of {self.task.records} records")

    def sums(self) -> Sums:
        """From the rows in its changelog."""
        return stored_sums(self.task.bootstrap, self.changelog)
