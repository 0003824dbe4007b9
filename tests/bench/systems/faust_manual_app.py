"""Faust as its manual shows it: a hopping table, an agent, and one `+=` per event.

After faust-streaming's user guide, "Tables and Windowing". One sum in one window, in memory, with
Faust's defaults: far less than the worker computes.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import faust

PARTITIONS = int(os.environ["BENCH_PARTITIONS"])
COUNTED = Path(os.environ["BENCH_COUNTED"])

app = faust.App(
    os.environ["BENCH_APP"],
    broker=f"kafka://{os.environ['BENCH_BROKER']}",
    store="memory://",
    datadir=os.environ["BENCH_DATADIR"],
    topic_partitions=PARTITIONS,
)
topic = app.topic(os.environ["BENCH_TOPIC"], value_serializer="json")
sums = app.Table("sums", default=int, partitions=PARTITIONS).hopping(
    300, 60, expires=timedelta(hours=1)
)


counted = 0


@app.agent(topic)  # type: ignore[untyped-decorator]
async def count(contacts: Any) -> None:
    """One `+=` per event, which Faust turns into one for each of the five windows it is in."""
    global counted  # noqa: PLW0603 - for the benchmark alone, and cheap
    async for contact in contacts:
        sums[contact["agent_id"]] += contact["talk_ms"]
        counted += 1


@app.timer(0.1)  # type: ignore[untyped-decorator]
async def tell() -> None:
    """Tells the benchmark how far it is."""
    COUNTED.write_text(f"{counted}\n")  # noqa: ASYNC240 - a few bytes


if __name__ == "__main__":
    app.main()
