"""This worker: the real process with all it does.

Default settings, so: five windows, the whole catalogue, changelog, `kpis` topic, checkpoint and
offsets; and two goals, judged from the moment it has caught up, as always.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.bench.systems.base import BenchError, System, Task
from tests.kafka.live import WorkerProcess

_TOPICS: Final = ("surveys", "agent_facts", "kpis", "alerts", "dead_letters")
_GOALS: Final[Mapping[str, Any]] = {
    "goals": [
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
    ]
}
_COUNTED: Final = re.compile(r'^kpi_stream_events_total\{kind="interaction"\} (\S+)$', re.MULTILINE)


class KpiStream(System):
    """`kpi-stream worker`."""

    name = "kpi-stream"
    label = "this worker, all its work"

    def __init__(self, task: Task) -> None:
        """Settings that differ from the defaults in names only."""
        super().__init__(task)
        topics = {"interactions": task.topic}
        topics |= {name: f"{task.app}-{name}" for name in _TOPICS}
        settings = {"app": task.app, "broker": task.bootstrap, "topics": topics}
        self._worker = WorkerProcess(task.folder, settings, _GOALS)

    def start(self) -> subprocess.Popen[bytes]:
        """Starts it."""
        self._worker.start()
        assert self._worker.process is not None, "it was started"
        return self._worker.process

    @property
    def log(self) -> Path:
        """The worker's log."""
        return self._worker.log

    def counted(self) -> int:
        """By its own metrics."""
        found = _COUNTED.search(self._worker.metrics())
        return int(float(found[1])) if found else 0

    def check(self) -> None:
        """Every record was counted, so none was refused or taken for a repeat."""
        counted = self.counted()
        if counted != self.task.records:
            raise BenchError(f"{self.name} counted {counted} of {self.task.records} records")
