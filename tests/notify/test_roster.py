"""The roster: read whole, faults with their place, and read again while the notifier runs."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from stream.notify.roster import Entry, decode_entry, load_roster
from stream.notify.rosters import Rosters
from stream.notify.telemetry import RosterInfo, Telemetry
from stream.yamlfile import Faults
from tests.notify.inprocess import Record
from tests.schemas.contracts import examples, faults
from tests.schemas.test_schemas import load

GOOD = """
agents:
  a-17:
    name: Mika Adler
    team: billing
    site: north
    lead: Kim
    shift: early
    hired: 2024-05-01
    skills: [invoices, english]
  a-18: {}
"""


def rosters(folder: Path, text: str = "") -> tuple[Rosters, CollectorRegistry]:
    """Those of a folder with this file."""
    (folder / "roster.yaml").write_text(text)
    registry = CollectorRegistry()
    made = Rosters(folder / "roster.yaml", Telemetry(registry, ()))
    registry.register(RosterInfo(lambda: made.current))
    return made, registry


def info(registry: CollectorRegistry, agent: str) -> list[dict[str, str]]:
    """What walls join on."""
    return [
        sample.labels
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "kpi_stream_roster_info" and sample.labels["agent"] == agent
    ]


def test_a_roster_is_read(tmp_path: Path) -> None:
    """All fields, or none of them."""
    made, registry = rosters(tmp_path, GOOD)
    entries = dict(made.current)
    assert entries["a-17"].skills == ("invoices", "english")
    assert f"{entries['a-17'].hired}" == "2024-05-01"
    assert entries["a-18"] == Entry()
    assert (made.current.lead("a-17"), made.current.lead("a-18")) == ("Kim", None)
    assert info(registry, "a-17") == [
        {"agent": "a-17", "name": "Mika Adler", "team": "billing", "site": "north"}
    ]
    assert info(registry, "a-18") == [{"agent": "a-18", "name": "a-18", "team": "", "site": ""}]


def test_no_roster_is_nobodys(tmp_path: Path) -> None:
    """A site may have none."""
    assert len(load_roster(tmp_path / "roster.yaml")) == 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("agents: {a-17: {nickname: M}}", "roster: agent 'a-17': nickname: no such field"),
        ("agents: {a-17: {hired: soon}}", "roster: agent 'a-17': hired: Input should be a valid"),
        ("agents: {a-17: {name: ''}}", "roster: agent 'a-17': name: String should have at least"),
        ("agents: {a-17: Mika}", "roster: agent 'a-17': Input should be a valid dictionary"),
        ("agents: {17: {}}", "roster: agent 17: Input should be a valid string"),
        ("people: {}", "roster: people: no such field"),
        ("agents: {a: {}, a: {}}", "line 1, column 9: 'a' is written 2 times"),
        ("agents: {", "not YAML: line 1"),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path: Path, text: str, fault: str) -> None:
    """Whose entry, which field, what is wrong."""
    (tmp_path / "roster.yaml").write_text(text)
    with pytest.raises(Faults) as found:
        load_roster(tmp_path / "roster.yaml")
    assert fault in found.value.faults[0]


def test_all_faults_are_said_at_once(tmp_path: Path) -> None:
    """Not one by one."""
    (tmp_path / "roster.yaml").write_text("agents: {a: {x: 1}, b: {hired: 1.5.2020}}")
    with pytest.raises(Faults) as found:
        load_roster(tmp_path / "roster.yaml")
    assert len(found.value.faults) == 2


def test_a_changed_file_is_taken_and_a_faulty_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The one before stays in use, and it is said and shown."""
    made, registry = rosters(tmp_path, GOOD)
    file = tmp_path / "roster.yaml"

    def faulty() -> float | None:
        return registry.get_sample_value("kpi_stream_roster_faulty")

    file.write_text("agents: {a-17: {name: Robin}}")
    made.look()
    assert made.current.name("a-17") == "Robin"
    file.write_text("agents: {a-17: {nickname: R}}")
    with caplog.at_level(logging.WARNING):
        made.look()
        made.look()
    assert (made.current.name("a-17"), faulty()) == ("Robin", 1)
    assert [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING] == [
        "roster: agent 'a-17': nickname: no such field; the roster before it stays in use"
    ]
    file.unlink()
    made.look()
    assert (len(made.current), faulty()) == (0, 0)


# ---------------------------------------------------------------- the topic


def entry(agent: str | None, value: object, offset: int = 0) -> Record:
    """A record of the roster topic."""
    raw = None if value is None else json.dumps(value).encode()
    return Record(raw, offset, "roster", 0, None if agent is None else agent.encode())


def test_the_topic_goes_over_the_file_and_a_tombstone_takes_it_back(tmp_path: Path) -> None:
    """Agent by agent; a newer version's fields are ignored."""
    made, _ = rosters(tmp_path, GOOD)
    made.take([entry("a-17", {"v": 1, "name": "Alias", "pronouns": "they"})])
    assert (made.current.name("a-17"), made.current.lead("a-17")) == ("Alias", None)
    made.take([entry("a-17", None), entry("a-19", {"v": 1, "name": "New"})])
    assert (made.current.name("a-17"), made.current.name("a-19")) == ("Mika Adler", "New")


def test_a_bad_record_costs_its_neighbours_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted and said with its place."""
    made, registry = rosters(tmp_path)
    with caplog.at_level(logging.WARNING):
        made.take(
            [
                entry("a-1", {"v": 1, "hired": "soon"}, 4),
                entry(None, {"v": 1}, 5),
                entry("a-2", {"v": 2}, 6),
                entry("a-3", {"v": 1, "name": "Kept"}, 7),
            ]
        )
    assert [agent for agent, _ in made.current] == ["a-3"]
    count = registry.get_sample_value("kpi_stream_notify_refused_total", {"kind": "roster"})
    assert count == 3
    assert "roster[0] at 4: agent 'a-1': hired: Input should be a valid date" in caplog.text


@pytest.mark.parametrize(
    ("good", "file"),
    [
        (kind == "good", file)
        for kind in ("good", "bad")
        for name, file in examples(kind)
        if name == "roster"
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else "",
)
def test_schema_and_reader_take_the_same(good: bool, file: Path) -> None:
    """A good example is an entry for the reader, too, and a bad one is none."""
    assert (faults("roster", load(file)) == []) is good
    if good:
        decode_entry(file.read_bytes())
    else:
        with pytest.raises(ValueError, match=r"\w"):
            decode_entry(file.read_bytes())
