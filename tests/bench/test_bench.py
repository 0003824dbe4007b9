"""The benchmark in a tiny form, so that it cannot rot."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from stream.core.events import EventDecoder, Interaction
from tests.bench.meter import Look, _ends
from tests.bench.readme import section
from tests.bench.report import HEADINGS, Reported, read, table, write
from tests.bench.result import Collected, Result, Run, Workload
from tests.bench.systems import SYSTEMS
from tests.bench.systems.bare import Bare
from tests.bench.systems.base import BenchError, Sums, System
from tests.bench.systems.kpi_stream import KpiStream
from tests.bench.traffic import Contact, Traffic, contacts
from tests.bench.workloads import THROUGHPUT, WORKLOADS
from tests.bench.workloads.growth import TWENTY_WINDOWS, Growth, Variant
from tests.bench.workloads.memory import Held, Memory, solve
from tests.bench.workloads.paced import Paced
from tests.bench.workloads.recovery import Recovery
from tests.bench.workloads.scrape import OTHER, Scrape
from tests.bench.workloads.throughput import TIMES, Throughput, compare

if TYPE_CHECKING:
    from tests.kafka_broker.broker import KafkaBroker

ABSENT = {"bytewax"} if sys.version_info >= (3, 13) else set()
NOW_MS = 1_750_000_000_000
TINY = Traffic(20, 20 * 60_000, 400)


def tiny_run(kafka: KafkaBroker, *systems: type[System]) -> Run:
    """One round."""
    return Run(kafka.bootstrap, 1, systems or (KpiStream,), list[str]().append)


def measured(workload: Workload, run: Run) -> Result:
    """The workload, run."""
    return asyncio.run(workload.run(run))


@pytest.mark.parametrize("workload", THROUGHPUT, ids=lambda workload: workload.name)
def test_records_are_valid_contacts_of_about_450_bytes(workload: Throughput) -> None:
    """The worker refuses none of them, they are in their time, and a seed gives the same again."""
    traffic = workload.sized(400).traffic

    def some() -> Iterator[Contact]:
        return contacts(traffic, NOW_MS)

    decoder = EventDecoder("interaction")
    events = [decoder.decode(contact.value) for contact in some()]
    assert all(type(event) is Interaction for event in events)
    assert not decoder.unknown_fields
    assert all(NOW_MS - traffic.span_ms <= contact.at_ms <= NOW_MS for contact in some())
    assert all(orjson.loads(c.value)["agent_id"] == c.key for c in some())
    assert 400 < sum(len(contact.value) for contact in some()) / 400 < 500
    assert list(some()) == list(some())


def test_the_clock_runs_from_the_first_event_to_the_last() -> None:
    """What came before the first look is taken off; of a tiny topic the look before counts."""
    before, first, later = Look(1.0, 0, 0.0), Look(2.0, 50, 0.1), Look(4.0, 250, 0.3)
    assert _ends([before, first, later]) == (first, later)
    assert _ends([before, first]) == (before, first)


def true_sums(traffic: Traffic, now_ms: int) -> Sums:
    """What every system has to find, added up one contact at a time."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for contact in contacts(traffic, now_ms):
        fields = orjson.loads(contact.value)
        handle_ms = fields["talk_ms"] + fields["hold_ms"] + fields["wrap_ms"]
        minute = contact.at_ms // 60_000
        for start in range(minute - 4, minute + 1):
            total = sums[f"{contact.key} {start * 60}"]
            total[:] = map(sum, zip(total, (handle_ms, 1, fields["resolved"], 1), strict=True))
    return dict(sums)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_systems_compute_the_same_sums(
    kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every window of every agent, as counted by hand: so the peers do the work they are timed at.

    The limit does not compute; asked for its sums, it adds up what it has decoded.
    """
    now_ms: list[int] = []
    real = contacts

    def noted(traffic: Traffic, at_ms: int) -> Iterator[Contact]:
        now_ms.append(at_ms)
        return real(traffic, at_ms)

    monkeypatch.setattr("tests.bench.traffic.contacts", noted)
    sums: dict[str, Sums] = {}
    workload = Throughput("tiny", "twenty agents, twenty minutes", TINY)
    rounds, failed = asyncio.run(compare(tiny_run(kafka, *SYSTEMS), workload, sums))
    assert set(failed) == ABSENT, failed
    assert all(rounds[system.name][0].rate > 0 for system in SYSTEMS if system.name not in ABSENT)
    truth = true_sums(TINY, now_ms[0])
    assert {name: found for name, found in sums.items() if found != truth} == {}
    assert set(sums) == {system.name for system in SYSTEMS} - ABSENT


class Absent(Bare):
    """A system that cannot run here."""

    name = "absent"
    label = "a system that is not there"

    @classmethod
    def prepare(cls) -> None:
        """Never."""
        raise BenchError("no such thing")


def test_a_system_that_cannot_run_is_told_with_its_reason(kafka: KafkaBroker) -> None:
    """The others go on, and the table says why it is missing."""
    workload = Throughput("tiny", "with one that is missing", TINY)
    result = measured(workload, tiny_run(kafka, Bare, Absent))
    assert result.failed == {"absent": "no such thing"}
    assert set(result.summary) == {Bare.name}
    shown = table(Reported("tiny", "", result), 1)
    assert "cannot run: no such thing" in list(shown.columns[1].cells)


def test_paced_tiny(kafka: KafkaBroker) -> None:
    """Every contact arrives in `kpis`, and every canary in `alerts`, later than it was sent."""
    workload = Paced("paced", "", 200, replace(TINY, records=400))
    figures = measured(workload, tiny_run(kafka)).summary[KpiStream.name]
    for to in ("kpis", "alerts"):
        p50, p99 = (figures[f"{to}_{which}_ms"]["median"] for which in ("p50", "p99"))
        assert 0 < p50 <= p99


def test_scrape_tiny(kafka: KafkaBroker) -> None:
    """Two series for every agent and KPI, and what prometheus_client makes of them is as large."""
    workload = Scrape("scrape", "", TINY, calm_s=0.2)
    summary = measured(workload, tiny_run(kafka)).summary
    ours, other = summary[KpiStream.name], summary[OTHER]
    assert ours["series"]["median"] >= 20 * 5 * 2
    assert ours["stall_ms"]["median"] > 0
    assert 0.5 < other["bytes"]["median"] / ours["bytes"]["median"] < 1.5
    assert other[TIMES]["median"] > 0


def test_recovery_tiny(kafka: KafkaBroker) -> None:
    """As many rows as there are, and a pause that is none but not nothing."""
    workload = Recovery("recovery", "", TINY, calm_s=0.3, load_per_s=100)
    ours = measured(workload, tiny_run(kafka)).summary[KpiStream.name]
    assert 20 < ours["rows"]["median"] <= 400 * 7
    assert ours["sigkill_to_ready_s"]["median"] > 0
    assert ours["rebalance_pause_s"]["median"] > 0


def test_memory_is_solved_for_rows_and_ids() -> None:
    """Two equations with two unknowns, also where each topic has both."""
    many, few = (Held(200.0 * rows + 9.0 * 1_000, rows, 1_000, 0.0) for rows in (900, 10))
    per_row, per_id = solve(many, few)
    assert per_row == pytest.approx(200)
    assert per_id == pytest.approx(9)


def test_memory_tiny(kafka: KafkaBroker) -> None:
    """A few hundred rows tell nothing about bytes, but they are told."""
    workload = Memory("memory", "", TINY, replace(TINY, agents=1, span_ms=60_000), rest_s=1.0)
    figures = measured(workload, tiny_run(kafka)).summary[KpiStream.name]
    assert figures["rows"]["median"] > 100
    assert {"bytes_per_row", "bytes_per_id", "peak_mb"} <= set(figures)


def test_growth_tiny(kafka: KafkaBroker) -> None:
    """Twenty windows on a topic that stands there, and two processes on one that is filled."""
    many = Variant("many", "", agents=20, windows=TWENTY_WINDOWS)
    two = Variant("two", "", agents=20, processes=2, is_pinned=False)
    summary = measured(Growth("growth", "", 4_000, (many, two)), tiny_run(kafka)).summary
    assert summary["many"]["events_per_s"]["median"] > 0
    assert summary["two"]["cpu_us_per_event"]["median"] > 0


def reported(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Reported]:
    """Results of one round with these figures, by workload."""
    found: dict[str, Reported] = {}
    for name, systems in figures.items():
        collected = Collected()
        for system, metrics in systems.items():
            collected.add(system, metrics)
        labels = {system: system for system in systems}
        found[name] = Reported(name, "", Result(collected.summary(), labels))
    return found


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """The file holds all that the table and the README's section need."""
    figures = {"small": {"kpi-stream": {"events_per_s": 4.0}, "bare": {"ours_times": 0.5}}}
    write(reported(figures), 3, tmp_path / "bench.json")
    run, found = read(tmp_path / "bench.json")
    assert found == reported(figures)
    assert run["rounds"] == 3


def test_the_readme_says_what_was_measured_and_no_more() -> None:
    """Figures come with their spread; what was not measured is not mentioned."""
    run = {"at": "2026-11-22T10:00:00+00:00", "rounds": 3, "cores": 2, "memory_gb": 24}
    run |= {"machine": "x86_64", "python": "3.11.7", "pinned": "not pinned"}
    figures = {"small": {"kpi-stream": {"events_per_s": 41_234.4}, "bare": {"ours_times": 0.523}}}
    text = section(run, reported(figures))
    assert "2026-11-22" in text
    assert "41,234" in text
    assert "0.52" in text
    assert "scrape" not in text
    ours = {"scrape_s": 0.1234, "series": 100_000.0, "stall_ms": 20.0}
    scraped = {"scrape": {"kpi-stream": ours, "prometheus-client": {"ours_times": 7.0}}}
    assert "100,000 series: 0.123 s" in section(run, reported(figures | scraped))


def test_every_workload_has_a_name_and_can_be_made_small() -> None:
    """So that --workload and --records work with all of them."""
    for name, workload in WORKLOADS.items():
        assert workload.name == name
        assert workload.sized(100).name == name
    assert len(set(HEADINGS)) == len(HEADINGS)
