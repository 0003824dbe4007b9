"""The benchmark in a tiny form, so that it cannot rot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from stream.core.events import EventDecoder, Interaction
from tests.bench.meter import Look, _ends
from tests.bench.report import RATE, summarise, table, times, write
from tests.bench.rounds import compare
from tests.bench.systems import SYSTEMS
from tests.bench.systems.faust_manual import FaustManual
from tests.bench.systems.kpi_stream import KpiStream
from tests.bench.workload import WORKLOADS, Contact, Workload, contacts

if TYPE_CHECKING:
    from tests.kafka_broker.broker import KafkaBroker

NOW_MS = 1_750_000_000_000


def tiny(workload: Workload) -> Workload:
    """The same with a few hundred records."""
    return replace(workload, records=400)


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS)
def test_records_are_valid_contacts_of_about_450_bytes(workload: Workload) -> None:
    """The worker refuses none of them, they are in their time, and a seed gives the same again."""

    def some() -> Iterator[Contact]:
        return contacts(tiny(workload), NOW_MS)

    decoder = EventDecoder("interaction")
    events = [decoder.decode(contact.value) for contact in some()]
    assert all(type(event) is Interaction for event in events)
    assert not decoder.unknown_fields
    assert all(NOW_MS - workload.span_ms <= contact.at_ms <= NOW_MS for contact in some())
    assert all(orjson.loads(c.value)["agent_id"] == c.key for c in some())
    assert 400 < sum(len(contact.value) for contact in some()) / 400 < 500
    assert list(some()) == list(some())


def test_the_clock_runs_from_the_first_event_to_the_last() -> None:
    """What came before the first look is taken off; of a tiny topic the look before counts."""
    before, first, later = Look(1.0, 0, 0.0), Look(2.0, 50, 0.1), Look(4.0, 250, 0.3)
    assert _ends([before, first, later]) == (first, later)
    assert _ends([before, first]) == (before, first)


@pytest.mark.parametrize(
    ("name", "systems"), [("small", SYSTEMS), ("backfill", (KpiStream,))], ids=WORKLOADS
)
def test_tiny_run(
    name: str,
    systems: tuple[type[KpiStream | FaustManual], ...],
    kafka: KafkaBroker,
    tmp_path: Path,
) -> None:
    """Every system does a few hundred records, and the report says how fast."""
    workload, said = tiny(WORKLOADS[name]), list[str]()
    results = asyncio.run(compare(kafka.bootstrap, workload, systems, 1, said.append))
    summary = summarise(results, systems[0].name)
    for system in systems:
        assert summary[system.name][RATE]["median"] > 0
    if FaustManual in systems:
        assert summary[KpiStream.name][times(FaustManual.name)]["median"] > 0
    assert table(name, summary, systems).row_count == len(systems)
    write({name: summary}, 1, tmp_path / "bench.json")
    assert json.loads((tmp_path / "bench.json").read_text())["workloads"][name] == summary
    assert len(said) == 1 + len(systems)
