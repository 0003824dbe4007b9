"""A restart through the bytes that are really stored is invisible: rows, checkpoint and alerts.

`tests/core/test_properties.py` holds the same of the engine with its state kept in memory; here
it passes through the row codec, the checkpoint and the alert codec, as in a crash.
"""

from __future__ import annotations

import json
from typing import Any, Final

from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.kafka.delivery import Flush
from stream.kafka.partition import PartitionStage
from stream.kafka.recovery import sort_records
from stream.kafka.rowcodec import ROW
from tests.kafka.stored.shift import apply, opened, said
from tests.kafka.test_partition import MINUTE_MS, NOON_MS, store

HOUR_MS: Final = 60 * MINUTE_MS
NAMES: Final = {
    "agent_id": st.sampled_from(["ann", "böb/2", None]),
    "team_id": st.sampled_from(["t1", None]),
    "queue": st.sampled_from(["VIP «1»", "q", None]),
    "at": st.sampled_from([-1, 0, 1, MINUTE_MS, 16 * MINUTE_MS, HOUR_MS]) | st.integers(0, HOUR_MS),
}
CALLS: Final = st.fixed_dictionaries(
    {**NAMES, "outcome": st.sampled_from(["handled", "handled", "abandoned"])},
    optional={"talk_ms": st.integers(0, 12_000), "wait_ms": st.integers(0, 40_000)},
)
SURVEYS: Final = st.fixed_dictionaries({**NAMES, "csat": st.integers(1, 5)})
BLOCKS: Final = st.lists(CALLS | SURVEYS | st.integers(0, 30), min_size=1, max_size=8)
JUMPS: Final = st.sampled_from([0, 1, MINUTE_MS, 11 * MINUTE_MS, 5 * HOUR_MS, 30 * HOUR_MS])
STEPS: Final = st.lists(st.tuples(BLOCKS | JUMPS, st.booleans()), min_size=2, max_size=10)


class Changelog:
    """What is stored of a partition, as a reader finds it: the last value of each key."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.latest: dict[bytes, bytes] = {}

    def store(self, flush: Flush) -> None:
        """Takes a flush in."""
        store(self.latest, flush)

    def restored(self, made: PartitionStage, now_ms: int) -> PartitionStage:
        """A new stage in the place of `made`, which died."""
        new = PartitionStage(made.site, 0)
        new.restore(sort_records(dict(self.latest)))
        new.engine.tick(now_ms)
        new.catch_up()
        return new


def events_of(drafts: list[Any], now_ms: int, sent: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events of drafts: ages become times, a number becomes an earlier event again."""
    block = []
    for draft in drafts:
        if isinstance(draft, int):
            block += [sent[draft % len(sent)]] if sent else []
            continue
        named = {name: value for name, value in draft.items() if name != "at"}
        kind = ("surveys", "answered_at") if "csat" in draft else ("interactions", "ended_at")
        own = {"topic": kind[0], kind[1]: now_ms - draft["at"], "event_id": f"e{len(sent)}"}
        block.append({"interaction_id": "c", **named, **own})
        sent.append(block[-1])
    return block


def announced(flush: Flush) -> list[Any]:
    """What a flush tells the readers of each alert, in its order; that of alerts may be any."""
    records = flush.outputs.get(TP("alerts", 0), [])
    told = [json.loads(record.value or b"null") for record in records]
    return sorted(told, key=lambda record: (record["goal"], record["scope"], record["id"]))


def counted(made: PartitionStage) -> dict[str, float]:
    """How many events counted, repeated and were refused, over all lives of a partition."""
    telemetry = made.site.telemetry
    return {
        f"{metric.name} {sample.labels}": sample.value
        for counter in (telemetry.events, telemetry.duplicates, telemetry.refused)
        for metric in counter.collect()
        for sample in metric.samples
    }


@given(steps=STEPS)
@settings(max_examples=50, deadline=None)
def test_a_restart_from_stored_bytes_is_invisible(steps: list[tuple[Any, bool]]) -> None:
    """After any flush: the same figures, offsets, alerts under their ids, and verdicts.

    Holds that all that matters is in the changelog and comes back as it was, and that what was
    forgotten is deleted there.
    """
    now_ms, sent, changelog = NOON_MS, list[dict[str, Any]](), Changelog()
    whole, broken = opened(), opened()
    for step, restart in [(0, True), *steps]:
        if isinstance(step, int):
            now_ms += step
        else:
            block = events_of(step, now_ms, sent)
            apply(whole, block)
            apply(broken, block)
        flush = broken.freeze(now_ms)
        changelog.store(flush)
        assert announced(flush) == announced(whole.freeze(now_ms))
        if restart:
            broken = changelog.restored(broken, now_ms)
        assert said(broken) == said(whole)
        assert sum(key.startswith(ROW) for key in changelog.latest) == len(broken.engine.rows)
        assert counted(broken) == counted(whole)
