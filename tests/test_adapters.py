"""Adapters: found by name, held to what a worker accepts, faults by file and record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stream.adapters import AdapterError, load_adapter, read_events
from stream.core.events import EventDecoder, Interaction, Survey

FILE = Path("calls.csv")
CALL = {
    "type": "interaction",
    "event_id": "e",
    "interaction_id": "i",
    "ended_at": 1_000,
    "outcome": "handled",
}


def adapter_of(*items: Any) -> Any:
    """An adapter that yields these."""

    def adapter(_: str) -> Iterator[Any]:
        yield from items

    return adapter


def made(**fields: Any) -> Interaction:
    """An interaction by hand, which checks nothing."""
    event = {key: value for key, value in CALL.items() if key != "type"}
    return Interaction(**{**event, **fields})


def test_an_adapter_is_a_function_of_a_file_or_of_a_module(tmp_path: Path) -> None:
    """Both ways of naming one; a file may lie anywhere and is not put on the path."""
    file = tmp_path / "my-adapter.py"
    file.write_text("def read(path):\n    yield {'path': path}\n")
    assert list(load_adapter(f"{file}:read")("x")) == [{"path": "x"}]
    assert load_adapter("tests.oracle.adapters:shopzilla").__name__ == "shopzilla"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("nowhere", "expected MODULE:FUNCTION or PATH.py:FUNCTION"),
        (":read", "expected MODULE:FUNCTION or PATH.py:FUNCTION"),
        ("no_such_module:read", "cannot load 'no_such_module'"),
        ("no_such_file.py:read", "cannot load 'no_such_file.py'"),
        ("tests.oracle.adapters:nothing", "has no function 'nothing'"),
        ("tests.oracle.adapters:_DAY_S", "has no function '_DAY_S'"),
    ],
)
def test_what_cannot_be_found_is_said_in_a_line(name: str, fault: str) -> None:
    """Which part of the name leads nowhere."""
    with pytest.raises(AdapterError, match=f"adapter {name!r}") as refusal:
        load_adapter(name)
    assert fault in str(refusal.value)


def test_a_file_that_is_no_python_is_said_in_a_line(tmp_path: Path) -> None:
    """A slip in the adapter is named, with its place."""
    file = tmp_path / "slip.py"
    file.write_text("def read(:\n")
    with pytest.raises(AdapterError, match=r"cannot load .*slip\.py"):
        load_adapter(f"{file}:read")


def test_events_come_in_the_order_of_their_time_over_all_files() -> None:
    """Ties stay in the files' order, and every event carries its key and its JSON."""

    def adapter(path: str) -> Iterator[dict[str, Any]]:
        at = {"a": (3_000, 1_000), "b": (2_000, 1_000)}[path]
        for n, at_ms in enumerate(at):
            yield {**CALL, "event_id": f"{path}{n}", "ended_at": at_ms, "agent_id": path}

    found = read_events(adapter, [Path("a"), Path("b")])
    assert [event.event.event_id for event in found] == ["a1", "b1", "b0", "a0"]
    assert [event.key for event in found] == ["a", "b", "b", "a"]
    assert [EventDecoder("interaction").decode(e.raw) for e in found] == [e.event for e in found]


def test_dicts_and_events_made_by_hand_are_the_same() -> None:
    """An adapter may yield either, and datetimes or text for times."""
    at = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    items = [CALL, made(), made(ended_at=at), {**CALL, "ended_at": "1970-01-01T01:00:01+01:00"}]
    found = read_events(adapter_of(*items), [FILE])
    assert {event.at_ms for event in found} == {1_000}
    survey = Survey(event_id="s", answered_at=at, csat=5, answers={"q": "positive"})
    (timed,) = read_events(adapter_of(survey), [FILE])
    assert (timed.kind, timed.key) == ("survey", "s")


def test_a_field_that_no_event_has_is_ignored_and_named(caplog: pytest.LogCaptureFixture) -> None:
    """As a worker ignores and counts it; a slip of the pen is seen in the log."""
    (event,) = read_events(adapter_of({**CALL, "agent_idd": "a"}), [FILE])
    assert event.event.agent_id == CALL.get("agent_id")
    assert "interaction field 'agent_idd' is not known and was ignored 1 times" in caplog.text


def test_an_adapter_that_fails_is_named_with_its_file_and_place() -> None:
    """What it raises is its own; where it happened is said without a traceback."""

    def failing(_: str) -> Iterator[object]:
        yield CALL
        raise KeyError("agent")

    with pytest.raises(AdapterError, match=r"calls.csv: the adapter failed after record 1: KeyErr"):
        read_events(failing, [FILE])


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ({**CALL, "type": "call"}, "$.type"),
        ({**CALL, "outcome": "lost"}, "$.outcome"),
        ({**CALL, "talk_ms": -1}, "$.talk_ms"),
        ({**CALL, "ended_at": "2024-01-01T00:00:00"}, "$.ended_at"),
        ({**CALL, "queue": "\ud800"}, "surrogates"),
        ({key: value for key, value in CALL.items() if key != "event_id"}, "event_id"),
        (7, "expected a dict, an Interaction or a Survey, got 7"),
        (None, "got None"),
        (made(event_id="x" * 201), "$.event_id"),
        (made(talk_ms=-1), "$.talk_ms"),
        (made(talk_ms=1.5), "$.talk_ms"),
        (made(ended_at=datetime(2024, 1, 1)), "$.ended_at"),
        (made(phase="talking"), "$.phase"),
        (Survey(event_id="s", answered_at=1, csat=6), "$.csat"),
    ],
)
def test_what_a_worker_would_refuse_is_refused_by_file_and_number(item: object, fault: str) -> None:
    """Also in events made by hand: `compute` must not count what `replay` could not."""
    with pytest.raises(AdapterError) as refusal:
        read_events(adapter_of(CALL, item), [FILE])
    assert str(refusal.value).startswith("calls.csv: record 2 is no event: ")
    assert fault in str(refusal.value)
