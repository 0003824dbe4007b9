"""A header name that is not UTF-8 costs neither its record nor the records around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiokafka import producer
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords
from faust.types import TP

from stream.kafka.headers import Records, accept_any_header_name
from tests.kafka.live import Sent, WorkerProcess, read_topic, send, wait_until, written_settings
from tests.kafka.test_worker import call, now_ms
from tests.kafka_broker.broker import KafkaBroker

GZIP = 1
PRODUCER = 7
ABORT, COMMIT = b"\0\0\0\0", b"\0\0\0\1"
ATTRIBUTES_AT, CONTROL = 22, 0x20


class Latin(str):
    """A name that a client of another language encodes in its own way."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Never UTF-8."""
        del encoding, errors
        return super().encode("latin-1")


def batch(first: int, *names: str, compression: int = 0) -> bytes:
    """A batch of one record per name, each with two headers."""
    builder = _DefaultRecordBatchBuilderPy(2, compression, 0, -1, -1, -1, 1 << 20)
    for number, name in enumerate(names):
        headers = [(name, b"\xff"), ("trace", None)]
        builder.append(number, 1_000 + number, b"k", b"v%d" % number, headers)
    raw = bytearray(builder.build())
    raw[0:8] = first.to_bytes(8, "big")
    return bytes(raw)


def transaction(records: int, marker: bytes) -> bytes:
    """A producer's batch of so many records from offset 0 on, and the marker that ends it."""
    builder = _DefaultRecordBatchBuilderPy(2, 0, 1, PRODUCER, 0, 0, 1 << 20)
    for number in range(records):
        builder.append(number, 1_000, b"k", b"v%d" % number, [])
    control = _DefaultRecordBatchBuilderPy(2, 0, 1, PRODUCER, 0, 0, 1 << 20)
    control.append(0, 1_000, marker, b"", [])
    end = bytearray(control.build())
    end[0:8] = records.to_bytes(8, "big")
    end[ATTRIBUTES_AT] |= CONTROL
    return bytes(builder.build()) + bytes(end)


def taken(raw: bytes, reader: Any = Records) -> list[tuple[int, bytes, Any]]:
    """What a consumer hands on of a fetch."""
    records = PartitionRecords(TP("t", 0), reader(raw), None, 0, None, None, True, 0)
    return [(r.offset, r.value, r.headers) for r in records]


@pytest.mark.parametrize("compression", [0, GZIP])
def test_an_odd_name_is_written_out_and_its_neighbours_are_as_they_were(compression: int) -> None:
    """In the midst of a batch, whole or compressed, with other batches before and behind it."""
    names = ("ok", Latin("straße"), "naïve", Latin("ÿ"))
    raw = batch(0, "a") + batch(1, *names, compression=compression) + batch(5, "b", "c")
    found = taken(raw)
    assert [offset for offset, _, _ in found] == list(range(7))
    read = ["a", "ok", "stra\\xdfe", "naïve", "\\xff", "b", "c"]
    assert [headers for _, _, headers in found] == [((n, b"\xff"), ("trace", None)) for n in read]


def test_a_batch_gives_each_of_its_records_once() -> None:
    """Those before the odd one are not given again when it is read slowly from there."""
    whole = Records(batch(3, "a", "b", Latin("ÿ"), "c")).next_batch()
    assert whole is not None
    assert [record.offset for record in whole] == [3, 4, 5, 6]


def test_what_aiokafka_itself_makes_of_it() -> None:
    """It raises, and what it had read before is lost: the day it no longer does, this can go."""
    with pytest.raises(UnicodeDecodeError):
        taken(batch(0, "ok", Latin("ÿ"), "c"), MemoryRecords)


def test_plain_records_are_those_of_aiokafka() -> None:
    """Nothing changes for whoever sends UTF-8."""
    raw = batch(0, "a", "é") + batch(2, "b", compression=GZIP)
    assert taken(raw) == taken(raw, MemoryRecords)


@pytest.mark.parametrize(("marker", "read"), [(ABORT, []), (COMMIT, [b"v0"])])
def test_markers_of_transactions_end_them(marker: bytes, read: list[bytes]) -> None:
    """What was aborted is passed over, and what stands behind it is read again."""
    raw = transaction(1, marker) + batch(2, "behind")
    aborted = [(PRODUCER, 0)] if marker == ABORT else []
    records = PartitionRecords(
        TP("t", 0), Records(raw), aborted, 0, None, None, False, READ_COMMITTED
    )
    assert [record.value for record in records] == [*read, b"v0"]
    assert records.next_fetch_offset == 3


def test_fetches_are_read_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fetcher of aiokafka takes the records in by the name that is replaced."""
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    accept_any_header_name()
    assert fetcher.MemoryRecords is Records
    assert "MemoryRecords" in fetcher.Fetcher._proc_fetch_request.__code__.co_names


def test_a_worker_counts_on_and_a_dead_letter_keeps_the_name_as_far_as_it_can_be_said(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a real Kafka: with one such record a worker stood still, again after each restart."""
    for module in (producer.producer, producer.message_accumulator):
        monkeypatch.setattr(module, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)
    settings = written_settings(kafka.bootstrap, topic_prefix, partitions=1, windows=["1h"])
    topics = settings["topics"]
    odd = ((Latin("ÿ"), b"x"),)
    values = [
        (call("a", now_ms()), ()),
        (call("b", now_ms()), odd),
        (b"{", odd),
        (call("c", now_ms()), ()),
    ]
    with WorkerProcess(tmp_path / "w", settings) as worker:
        worker.wait_ready(1)
        send(kafka.bootstrap, [Sent(topics["interactions"], v, b"a-1", 0, h) for v, h in values])
        counted = 'kpi_stream_events_total{kind="interaction"} 3.0'
        wait_until(lambda: counted in worker.metrics(), 30, "all counted")
        refused = 'kpi_stream_refused_total{reason="malformed"} 1.0'
        wait_until(lambda: refused in worker.metrics(), 5, "the poison refused")
        assert worker.stop() == 0
    (letter,) = read_topic(kafka.bootstrap, topics["dead_letters"])
    assert letter.headers["\\xff"] == b"x"
