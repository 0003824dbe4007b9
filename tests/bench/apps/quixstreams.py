"""Quix Streams as its manual shows it: a hopping window, reduced, every update passed on.

After its pages "Windowed Aggregations" and "Reduce": state in RocksDB with a changelog topic,
at least once, with its defaults. In its favour the updates go nowhere.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from quixstreams import Application

from tests.bench.apps.progress import APP, BROKER, DATA, TOPIC, WANTS_SUMS, Progress, tell_sums

progress = Progress()
latest: dict[tuple[str, int], Any] = {}


def contribution(contact: dict[str, Any]) -> dict[str, int]:
    """What one contact adds."""
    progress.events += 1
    return {
        "handle_ms": contact["talk_ms"] + contact["hold_ms"] + contact["wrap_ms"],
        "handled": 1,
        "resolved": int(contact["resolved"]),
        "resolved_known": 1,
    }


def add(total: dict[str, int], one: dict[str, int]) -> dict[str, int]:
    """The reducer."""
    return {
        "handle_ms": total["handle_ms"] + one["handle_ms"],
        "handled": total["handled"] + one["handled"],
        "resolved": total["resolved"] + one["resolved"],
        "resolved_known": total["resolved_known"] + one["resolved_known"],
    }


def keep(window: dict[str, Any], key: Any, *_: Any) -> None:
    """Only for the comparison of sums."""
    latest[key, window["start"]] = window["value"]


app = Application(
    broker_address=BROKER,
    consumer_group=APP,
    auto_offset_reset="earliest",
    state_dir=DATA,
    loglevel="WARNING",
)
topic = app.topic(TOPIC, key_deserializer="str", value_deserializer="json")
stream = (
    app.dataframe(topic)
    .apply(contribution)
    .hopping_window(timedelta(seconds=300), timedelta(seconds=60), timedelta(seconds=60))
    .reduce(reducer=add, initializer=dict)
    .current()
)
if WANTS_SUMS:
    stream = stream.update(keep, metadata=True)

if __name__ == "__main__":
    app.run()
    tell_sums(
        (agent, start_ms // 1000, tuple(total.values()))
        for (agent, start_ms), total in latest.items()
    )
