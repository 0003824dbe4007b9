"""Faust as its manual shows it: a model, a hopping table, an agent, and one `+=` per event.

After faust-streaming's user guide, "Tables and Windowing": in memory, with Faust's defaults.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import faust

from tests.bench.apps.progress import APP, BROKER, DATA, PARTITIONS, TOPIC, Progress, tell_sums


class Totals(faust.Record):
    """What one window of one agent adds up to."""

    handle_ms: int = 0
    handled: int = 0
    resolved: int = 0
    resolved_known: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.handle_ms + other.handle_ms,
            self.handled + other.handled,
            self.resolved + other.resolved,
            self.resolved_known + other.resolved_known,
        )


app = faust.App(
    APP,
    broker=f"kafka://{BROKER}",
    store="memory://",
    datadir=str(DATA),
    topic_partitions=PARTITIONS,
)
topic = app.topic(TOPIC, value_serializer="json")
sums = app.Table("sums", default=Totals, partitions=PARTITIONS).hopping(
    300, 60, expires=timedelta(hours=1)
)
progress = Progress()


@app.agent(topic)
async def add(contacts: Any) -> None:
    """One `+=` per event, which Faust turns into one for each of the five windows it is in."""
    async for contact in contacts:
        handle_ms = contact["talk_ms"] + contact["hold_ms"] + contact["wrap_ms"]
        sums[contact["agent_id"]] += Totals(handle_ms, 1, int(contact["resolved"]), 1)
        progress.events += 1


if __name__ == "__main__":
    try:
        app.main()
    finally:
        tell_sums(
            (agent, int(start_s), (t.handle_ms, t.handled, t.resolved, t.resolved_known))
            for (agent, (start_s, _)), t in sums.table.data.items()
        )
