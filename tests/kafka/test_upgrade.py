"""What earlier versions stored is read to the exact figures, or refused with an explanation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream.kafka.formats import UnknownFormatError
from tests.kafka.stored.shift import FOLDER, apply, opened, said, state_of, written
from tests.kafka.test_partition import MINUTE_MS, NOON_MS

FILES = sorted(FOLDER.glob("format-*.json"))


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def shift(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A shift as a version stored it."""
    file: Path = request.param
    read: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return read


def test_todays_format_is_among_the_stored_ones() -> None:
    """Whoever changes the format stores one of the new, and keeps the old."""
    assert FOLDER / f"format-{written()['format']}.json" in FILES


def test_a_stored_state_is_read_to_the_exact_figures(shift: dict[str, Any]) -> None:
    """Figures of every scope and window, alerts under way, offsets and now."""
    made = opened()
    made.restore(state_of(shift))
    assert len(made.engine.rows) == shift["rows"]
    assert said(made) == shift["says"]
    assert {state["status"] for state in said(made)["alerts"].values()} == {"firing", "pending"}


def test_its_ids_are_known_and_its_alerts_go_on(shift: dict[str, Any]) -> None:
    """Every event of it is a repeat; what fires does not fire again, what is pending fires then."""
    made = opened()
    made.restore(state_of(shift))
    apply(made, shift["events"])
    assert made.engine.take_rows()[0].tolist() == []
    assert made.engine.take_alerts()[0] == []
    made.engine.tick(NOON_MS + 10 * MINUTE_MS)
    fired = [a.key.goal for a in made.engine.take_alerts()[0] if a.transition.change == "firing"]
    assert fired == ["csat"]


def test_a_changed_threshold_empties_only_what_depends_on_it(shift: dict[str, Any]) -> None:
    """The old layout is mapped: other measures stay, the new ones say since when they count."""
    made = opened(service_level="10s", queues={"VIP «1»": {"team": "t1"}})
    made.restore(state_of(shift))
    found, before = said(made)["figures"], shift["says"]["figures"]
    assert found.keys() == before.keys()
    assert before["queue/VIP «1»/1h"]["service_level"][0] is not None
    assert found["queue/VIP «1»/1h"]["service_level"] == [None, 0]
    for place, kpis in before.items():
        kept = {name: figure for name, figure in kpis.items() if name != "service_level"}
        assert kept.items() <= found[place].items()


def test_a_row_of_an_unknown_format_is_refused_by_name(shift: dict[str, Any]) -> None:
    """A version that is older than its state says so and does not guess."""
    state, made = state_of(shift), opened()
    rows = {key: b"\xfe" + value[1:] for key, value in state.rows.items()}
    with pytest.raises(UnknownFormatError, match="a stored row has format 254"):
        made.restore(state._replace(rows=rows))
