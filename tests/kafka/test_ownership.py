"""What a worker does with what it owns, without a broker: what counts as done, by which now."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from faust.types import TP
from prometheus_client import Gauge

from stream.kafka import rowlane
from stream.kafka.app import EXPLAINED, KpiApp
from stream.kafka.delivery import Flush
from stream.kafka.owned import Owned
from stream.kafka.ownership import Ownership
from stream.kafka.recovery import Latest
from stream.kafka.rowlane import RowLane
from stream.kafka.stage import Recovered
from stream.kafka.topology import ROWS, TopologyError
from stream.kafka.transactions import FencedError
from tests.kafka import test_partition as partition

PLACE = TP("interactions", 0)
HOUR_MS = 3_600_000


class FetchingConsumer:
    """A consumer that fetches ten records while its position is asked."""

    def __init__(self, markers: int = 0) -> None:
        self.delivered: dict[TP, int] = {}
        self._markers = markers

    async def position(self, tp: TP) -> int:
        """The position after the fetch, and after the markers behind the last record."""
        self.delivered[tp] = 10
        return 10 + self._markers

    def highwater(self, tp: TP) -> int:
        """Where the records end."""
        del tp
        return 10


def owning(
    inputs: Any = None, lanes: Any = None, *, partitions: int = 1, now_ms: int = partition.NOON_MS
) -> Ownership:
    """An ownership of nothing yet, with these in place of Kafka."""

    async def fail(error: BaseException) -> None:
        raise error

    site = partition.stage(partitions=partitions).site
    return Ownership(site, lambda: inputs, lambda: lanes, lambda: now_ms, fail)


def done(consumer: object, included: dict[str, int]) -> int:
    """What the app takes for done."""
    ownership = owning(consumer)
    stage: Any = SimpleNamespace(included=included)
    return asyncio.run(ownership._done(stage, PLACE))


def test_records_that_are_fetched_and_not_counted_are_not_done() -> None:
    """The position runs ahead of the blocks: a partition that waits for them has not caught up."""
    assert done(FetchingConsumer(), {}) == 0
    assert done(FetchingConsumer(), {"interactions": 4}) == 4


def test_markers_behind_the_last_record_are_done() -> None:
    """A transaction's marker holds an offset that no record has; the position passes it."""
    assert done(FetchingConsumer(markers=1), {"interactions": 10}) == 11
    assert done(FetchingConsumer(markers=1), {"interactions": 9}) == 9


def stored_an_hour_ago() -> Flush:
    """What a worker wrote before it went down."""
    before = partition.stage()
    before.apply("interactions", [partition.call(1)])
    return before.freeze(partition.NOON_MS)


@pytest.mark.parametrize("time", ["live", "replay"])
def test_only_the_wall_clock_moves_now_on_over_a_downtime(
    monkeypatch: pytest.MonkeyPatch, time: str
) -> None:
    """Live, what came while the worker was down is not early; a replay goes on where it was."""
    state = partition.stored(stored_an_hour_ago())
    site = partition.stage(time=time).site

    async def read(*_: object) -> Latest:
        return Latest({}, 0)

    async def nothing(*_: object) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(rowlane, "read_latest", read)
    monkeypatch.setattr(rowlane, "sort_records", lambda _: state)
    monkeypatch.setattr(rowlane, "agreed_progress", nothing)
    delivery = SimpleNamespace(open=nothing, resume=lambda *_: None)
    group = SimpleNamespace()
    lane = RowLane(site, delivery, group, lambda: partition.NOON_MS + HOUR_MS)
    stage = asyncio.run(lane.recover(0)).stage
    stage.apply("interactions", [partition.call(2, ended_at=partition.NOON_MS + HOUR_MS - 1)])
    assert site.telemetry.refused.labels(reason="early")._value.get() == 0
    expected = partition.NOON_MS + (HOUR_MS if time == "live" else 0)
    assert stage.engine.now_ms == expected


def test_having_caught_up_is_told_once_and_of_all_partitions() -> None:
    """What catching up took is given back then, which takes milliseconds."""
    told: list[int] = []
    ownership = owning(FetchingConsumer(), partitions=2)
    ownership.on_caught_up = lambda: told.append(len(told))
    for number in range(2):
        stage = partition.stage(partitions=2)
        stage.included["interactions"] = 10
        lane: Any = SimpleNamespace(name=ROWS)
        recovered = Recovered(stage, {}, {TP("interactions", number): 10})
        ownership.owned[ROWS, number] = Owned(lane, stage, 0.0, 0.0, ends=recovered.ends)
    first, second = ownership.owned.values()

    async def flush_all() -> None:
        await ownership._note_progress(first)
        assert told == []
        for owned in (second, first, second):
            await ownership._note_progress(owned)

    asyncio.run(flush_all())
    assert told == [0]


@pytest.mark.parametrize(("silence_s", "commits"), [(0.0, False), (11.0, True)])
def test_after_a_silence_the_next_flush_commits_though_nothing_changed(
    silence_s: float, commits: bool
) -> None:
    """A worker that was frozen has to be fenced before it shows anything again."""
    stage = partition.stage()
    stage.apply("interactions", [partition.call(1)])
    stage.freeze(partition.NOON_MS)
    delivered: list[Flush] = []

    async def deliver(flush: Flush) -> None:
        delivered.append(flush)

    lane: Any = SimpleNamespace(name="rows", delivery=SimpleNamespace(deliver=deliver))
    inputs = SimpleNamespace(topic_partitions=lambda _: 1)
    now = time.monotonic()
    owned = Owned(lane, stage, now - silence_s, now)
    asyncio.run(owning(inputs)._flush(owned))
    assert [flush.offsets for flush in delivered] == ([{PLACE: 2}] if commits else [])
    assert owned.age_s() < 1


def test_after_a_flush_that_was_not_committed_there_is_no_last_one() -> None:
    """What the failed flush had taken would be missing, and the offsets would say it is there."""
    stage = partition.stage()
    stage.apply("interactions", [partition.call(1)])
    delivered: list[Flush] = []

    async def deliver(flush: Flush) -> None:
        delivered.append(flush)
        if len(delivered) == 1:
            stage.apply("interactions", [partition.call(2)])
            await ownership.owned["rows", 0].stop.wait()
            raise FencedError

    async def close(_: int) -> None:
        pass

    inputs = SimpleNamespace(topic_partitions=lambda _: 1)
    ownership = owning(inputs)

    async def scenario() -> None:
        lane: Any = SimpleNamespace(
            name="rows", delivery=SimpleNamespace(deliver=deliver, close=close)
        )
        ownership._own(lane, 0, Recovered(stage, {}, {}))
        await asyncio.sleep(0.01)
        await ownership.release()

    asyncio.run(scenario())
    assert stage.is_dirty
    assert len(delivered) == 1


def test_a_broker_that_goes_away_during_a_recovery_is_said_in_a_line() -> None:
    """The worker ends, as its supervisor expects it to; nobody needs a traceback for that."""

    async def recover(_: int) -> None:
        raise KafkaConnectionError("gone")

    async def close(_: int) -> None:
        pass

    lane = SimpleNamespace(recover=recover, delivery=SimpleNamespace(close=close))
    with pytest.raises(EXPLAINED, match=r"could not be read back from Kafka: .*gone"):
        asyncio.run(owning(lanes=[lane]).restore({0}))


def test_a_recovery_shows_how_long_it_has_been_under_way() -> None:
    """It grows while nothing else moves, so that one who waits is told; afterwards it is 0."""
    shown: list[float] = []

    async def recover(_: int) -> Recovered:
        ownership.monotonic = lambda: began + 90.0
        shown.append(value(telemetry.recovering_seconds))
        return Recovered(partition.stage(), {}, {})

    async def close(_: int) -> None:
        pass

    def value(gauge: Gauge) -> float:
        (family,) = gauge.collect()
        return float(family.samples[0].value)

    async def scenario() -> None:
        await ownership.restore({0})
        ownership.owned["rows", 0].stop.set()
        await ownership.release()

    lane = SimpleNamespace(name="rows", recover=recover, delivery=SimpleNamespace(close=close))
    ownership, began = owning(lanes=[lane], partitions=4), 1_000.0
    ownership.monotonic = lambda: began
    telemetry = ownership._site.telemetry
    assert value(telemetry.recovering_seconds) == 0
    asyncio.run(scenario())
    assert shown == [90.0]
    assert value(telemetry.recovering_seconds) == 0
    assert value(telemetry.partitions) == 4


def test_a_rebalance_ends_the_recovery_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the group waits, and not later: it would fence the partitions' next owners."""
    opened: list[int] = []
    first_is_open = asyncio.Event()

    class SlowDelivery:
        """Its first producer starts, its second one hangs; what is closed is not open."""

        async def open(self, partition: int) -> None:
            """Takes forever from the second on."""
            if opened:
                await asyncio.sleep(3600)
            opened.append(partition)
            first_is_open.set()

        async def close(self, partition: int) -> None:
            """Is always called."""
            if partition in opened:
                opened.remove(partition)

    async def scenario() -> tuple[bool, dict[tuple[str, int], Owned]]:
        app = KpiApp(partition.stage(partitions=2).site)
        app._consumer = SimpleNamespace(stop_flow=lambda: None)
        monkeypatch.setattr(app, "_delivery", lambda *_: SlowDelivery())
        app.tables.recovery.signal_recovery_start.set()
        restoring = asyncio.create_task(app.restore({0, 1}))
        await first_is_open.wait()
        await app._on_revoked(app, set())
        assert not app.tables.recovery.signal_recovery_start.is_set()
        return await restoring, app.ownership.owned

    assert asyncio.run(scenario()) == (False, {})
    assert opened == []


def test_partitions_added_while_running_end_the_worker_with_a_reason() -> None:
    """An agent's events would be elsewhere, where nobody reads them."""
    counts = {"interactions": 2, "surveys": None, "agent-facts": 2}
    ownership = owning(SimpleNamespace(topic_partitions=counts.get), partitions=2)
    ownership._check_partition_counts()
    counts["interactions"] = 3
    with pytest.raises(TopologyError, match="interactions has 3 partitions now, not 2"):
        ownership._check_partition_counts()


def test_a_long_block_lets_others_have_their_turn_and_ends_where_it_is_given_up() -> None:
    """What is left of it belongs to the next owner, who reads it again."""
    ownership, applied = owning(), []
    stage: Any = SimpleNamespace(
        is_full=False,
        parts=lambda block: ([record] for record in block),
        apply=lambda _, part: applied.extend(part),
    )
    lane: Any = SimpleNamespace(name="rows")
    owned = ownership.owned["rows", 0] = Owned(lane, stage, 0.0, 0.0)

    async def run() -> None:
        applying = asyncio.create_task(ownership.apply("interactions", 0, [1, 2, 3]))
        await asyncio.sleep(0)
        assert applied == [1]
        await asyncio.sleep(0)
        assert applied == [1, 2]
        owned.stop.set()
        await applying

    asyncio.run(run())
    assert applied == [1, 2]
