"""What a partition's stage costs without Kafka: `python -m tests.bench.stage`.

CPU time per event of each step of a block's way from records to record batches, on a machine that
others work on too: processor time, not the clock on the wall, and the median of several rounds.
"""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import zip_longest
from typing import Any, Final, NamedTuple, cast

import click
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.producer.message_accumulator import BatchBuilder
from prometheus_client import CollectorRegistry

from stream.config import load_settings
from stream.core.kpis import SCOPE_KINDS
from stream.core.rules import Rules
from stream.kafka.app import COLLECT_AFTER
from stream.kafka.clients import KafkaClients
from stream.kafka.delivery import Flush, send_batches
from stream.kafka.headers import accept_any_header_name
from stream.kafka.partition import PartitionStage
from stream.kafka.partitioner import partition_of
from stream.kafka.records import make_records_lean
from stream.kafka.site import Site
from stream.kafka.telemetry import Telemetry
from stream.kafka.topology import topology_of
from tests.bench.traffic import PARTITIONS, Contact, Traffic, contacts
from tests.bench.workloads import THROUGHPUT
from tests.kafka.position import Position

_BATCH_BYTES: Final = 256 * 1024
_INPUT_BATCH_BYTES: Final = 16 * 1024
_POLL_RECORDS_MAX: Final = 5_000
_TRAFFIC: Final = {workload.name: workload.traffic for workload in THROUGHPUT}


class Steps:
    """CPU seconds by step."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Times what is done within."""
        began_s = time.process_time()
        yield
        self.spent_s[name] += time.process_time() - began_s


class Fetched(NamedTuple):
    """What one fetch brought of one partition, as the broker sends it."""

    place: TopicPartition
    begin: int
    raw: bytes


def result_of(fetch: Fetched) -> Any:
    """What the fetcher makes of a response."""
    records = fetcher.PartitionRecords(
        *(fetch.place, fetcher.MemoryRecords(fetch.raw), [], fetch.begin),
        *(None, None, True, fetcher.READ_COMMITTED),
    )
    position = Position(fetch.begin)
    return fetcher.FetchResult(
        fetch.place, assignment=position, partition_records=records, backoff=0.0
    )


def fetches_of(traffic: Traffic, size: int, now_ms: int) -> list[Fetched]:
    """The traffic as a broker hands it on: a piece of each partition in turn."""
    places: dict[str, int] = {}
    logs = [Log(number) for number in range(PARTITIONS)]
    for contact in contacts(traffic, now_ms):
        place = places.get(contact.key)
        if place is None:
            place = places[contact.key] = partition_of(contact.key, PARTITIONS)
        logs[place].append(contact)
    pieces = [log.pieces(size) for log in logs]
    return [piece for turn in zip_longest(*pieces) for piece in turn if piece is not None]


class Log:
    """One partition of the topic: its batches, each with its first offset."""

    def __init__(self, number: int) -> None:
        self._place = TopicPartition("interactions", number)
        self._batches: list[tuple[int, bytes]] = []
        self._new_batch(0)

    def append(self, contact: Contact) -> None:
        """Adds a record behind the last one."""
        one = {"timestamp": contact.at_ms, "key": contact.key.encode(), "value": contact.value}
        if self._open.append(**one) is None:
            self._close()
            self._open.append(**one)

    def pieces(self, size: int) -> list[Fetched]:
        """All of it, in pieces of so many batches' bytes or a batch more."""
        if self._open.record_count():
            self._close()
        pieces, begin, parts = [], 0, bytearray()
        for offset, batch in self._batches:
            if len(parts) + len(batch) > size:
                pieces.append(Fetched(self._place, begin, bytes(parts)))
                begin, parts = offset, bytearray()
            parts += batch
        return [*pieces, Fetched(self._place, begin, bytes(parts))]

    def _new_batch(self, begin: int) -> None:
        self._begin = begin
        self._open = BatchBuilder(_INPUT_BATCH_BYTES, 0)

    def _close(self) -> None:
        count = self._open.record_count()
        raw = self._begin.to_bytes(8, "big") + bytes(self._open._build())[8:]
        self._batches.append((self._begin, raw))
        self._new_batch(self._begin + count)


def stages() -> list[PartitionStage]:
    """One for each partition, with the default settings, as a worker has them."""
    settings = load_settings(None)
    rules = Rules(
        windows=settings.parsed_windows(),
        kinds=("agent",),
        shared_kinds=tuple(kind for kind in SCOPE_KINDS if kind != "agent"),
        thresholds=settings.thresholds(),
        skew_ms=settings.skew,
    )
    telemetry = Telemetry(CollectorRegistry())
    topology = topology_of(settings, PARTITIONS)
    site = Site(settings, topology, rules, {}, telemetry, KafkaClients(settings))
    return [PartitionStage(site, number) for number in range(PARTITIONS)]


class Producer:
    """Makes batches as a producer would, and sends them nowhere."""

    def create_batch(self) -> BatchBuilder:
        """An empty one."""
        return BatchBuilder(_BATCH_BYTES, 0, is_transactional=True)

    async def send_batch(self, batch: BatchBuilder, _topic: str, *, partition: int) -> int:
        """Ends it; returns its size in bytes."""
        del partition
        return len(batch._build())

    def send(self, flush: Flush) -> None:
        """All of a flush. Nothing waits, so that the first step of it is the last."""
        for part in (flush.rows, flush.outputs, flush.states):
            for place, records in part.items():
                with suppress(StopIteration):
                    send_batches(cast("Any", self), place, records).send(None)


def run(fetches: Sequence[Fetched], now_ms: int) -> Steps:
    """Applies and flushes them all, once; a flush follows each block."""
    steps, owned, producer = Steps(), stages(), Producer()
    for stage in owned:
        stage.engine.tick(now_ms)
    for fetch in fetches:
        stage = owned[fetch.place.partition]
        result = result_of(fetch)
        while result.has_more():
            with steps.step("records"):
                block = result.getall(_POLL_RECORDS_MAX)
            with steps.step("apply"):
                stage.apply(fetch.place.topic, block)
            with steps.step("freeze"):
                flush = stage.freeze(now_ms)
            with steps.step("batches"):
                producer.send(flush)
            del block, flush
    return steps


@click.command()
@click.option("--workload", default="backfill", type=click.Choice(list(_TRAFFIC)))
@click.option("--records", default=200_000, show_default=True)
@click.option(
    "--fetch", default=1.5, show_default=True, help="MB of a partition fetched at a time."
)
@click.option("--agents", type=int, help="Default: as many as the workload has.")
@click.option("--rounds", default=3, show_default=True)
def main(workload: str, records: int, fetch: float, agents: int | None, rounds: int) -> None:
    """Prints microseconds of CPU time an event, by step, and page faults."""
    traffic = _TRAFFIC[workload]
    traffic = Traffic(agents or traffic.agents, traffic.span_ms, records)
    now_ms = time.time_ns() // 1_000_000
    accept_any_header_name()
    make_records_lean()
    fetches = fetches_of(traffic, int(fetch * 1e6), now_ms)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    found: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        faults, system_s = _usage()
        steps = run(fetches, now_ms)
        gc.collect()
        after, system_after_s = _usage()
        for name, spent_s in steps.spent_s.items():
            found[name].append(1e6 * spent_s / records)
        found["all"].append(1e6 * sum(steps.spent_s.values()) / records)
        found["system"].append(1e6 * (system_after_s - system_s) / records)
        found["faults/1000"].append(1e3 * (after - faults) / records)
    for name, each in found.items():
        print(f"{name:12} {statistics.median(each):7.2f}  ({min(each):.2f} to {max(each):.2f})")


def _usage() -> tuple[int, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt, usage.ru_stime


if __name__ == "__main__":
    main()
