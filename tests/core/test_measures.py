"""What one event contributes, measure by measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stream.core.columns import contributions_of
from stream.core.measures import (
    COLUMN,
    MEASURES,
    Threshold,
    Thresholds,
    measure_ids,
)
from tests.core.build import call, survey

if TYPE_CHECKING:
    from stream.core.events import Event

LEGS = {"legs": 1}
HANDLED = {"legs": 1, "handled": 1}


def contributed(event: Event, thresholds: Thresholds | None = None) -> dict[str, int]:
    """The event's contributions by name, added where one is named twice, zeros left out."""
    (sums,) = contributions_of([event], thresholds or Thresholds()).tolist()
    return {name: value for name, value in zip(MEASURES, sums, strict=True) if value}


def work(**fields: Any) -> dict[str, int]:
    """What an outbound call contributes: work and nothing else."""
    return contributed(call(direction="outbound", **fields))


def service(group: str = "leg", **fields: Any) -> dict[str, int]:
    """What a call contributes to one of the two service groups."""
    sums = contributed(call(**fields)).items()
    return {name[: -len(group) - 1]: value for name, value in sums if name.endswith(f":{group}")}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, HANDLED),
        # Handle time is talk, hold and wrap; without a talk_ms it is unknown, not 0.
        (
            {"talk_ms": 60_000, "hold_ms": 5_000, "wrap_ms": 7_000},
            HANDLED
            | {"talked": 1, "handle_ms": 72_000, "talk_ms": 60_000}
            | {"hold_known": 1, "hold_ms": 5_000, "held": 1, "wrap_known": 1, "wrap_ms": 7_000},
        ),
        ({"talk_ms": 60_000}, HANDLED | {"talked": 1, "handle_ms": 60_000, "talk_ms": 60_000}),
        ({"talk_ms": 0}, HANDLED | {"talked": 1}),
        ({"wrap_ms": 7_000}, HANDLED | {"wrap_known": 1, "wrap_ms": 7_000}),
        # A hold of 0 is known, and no hold.
        ({"hold_ms": 0}, HANDLED | {"hold_known": 1}),
        ({"hold_ms": 1}, HANDLED | {"hold_known": 1, "hold_ms": 1, "held": 1}),
        # Active and ringing time are no part of handle time.
        ({"ring_ms": 9, "active_ms": 9, "first_response_ms": 9, "wait_ms": 9}, HANDLED),
        # Only the agent's own transfer is the agent's.
        ({"transferred_by": "agent"}, HANDLED | {"transferred_by_agent": 1}),
        ({"transferred_by": "queue"}, HANDLED),
        ({"transferred_by": "flow"}, HANDLED),
        # Resolution is coded or unknown.
        ({"resolved": True}, HANDLED | {"resolved_known": 1, "resolved": 1}),
        ({"resolved": False}, HANDLED | {"resolved_known": 1}),
        ({"outcome": "callback", "resolved": True}, LEGS | {"resolved_known": 1, "resolved": 1}),
    ],
)
def test_the_work_of_a_contact(fields: dict[str, Any], expected: dict[str, int]) -> None:
    """An absent field adds to no sum and to no count."""
    assert work(**fields) == expected


@pytest.mark.parametrize(
    "outcome", ["abandoned", "callback", "voicemail", "overflowed", "no_answer", "other"]
)
def test_what_was_not_handled_is_no_handle_time(outcome: str) -> None:
    """A leg with another outcome counts as a leg; its durations and transfer do not count."""
    fields = {"talk_ms": 1, "hold_ms": 2, "wrap_ms": 3, "transferred_by": "agent"}
    assert work(outcome=outcome, **fields) == LEGS


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"outcome": "handled"}, {"offered": 1}),
        ({"outcome": "abandoned"}, {"offered": 1, "abandoned": 1}),
        ({"outcome": "callback"}, {"offered": 1}),
        ({"outcome": "voicemail"}, {"offered": 1}),
        ({"outcome": "overflowed"}, {"offered": 1}),
        ({"outcome": "no_answer"}, {}),
        ({"outcome": "other"}, {}),
        # The answer threshold of 20 s is inclusive; a wait of 0 is known.
        (
            {"wait_ms": 20_000},
            {"offered": 1, "answered_waited": 1, "answer_wait_ms": 20_000, "answered_in_time": 1},
        ),
        ({"wait_ms": 20_001}, {"offered": 1, "answered_waited": 1, "answer_wait_ms": 20_001}),
        ({"wait_ms": 0}, {"offered": 1, "answered_waited": 1, "answered_in_time": 1}),
        # So is the short abandon's of 5 s.
        (
            {"outcome": "abandoned", "wait_ms": 5_000},
            {"offered": 1, "abandoned": 1, "abandoned_waited": 1, "abandoned_short": 1},
        ),
        (
            {"outcome": "abandoned", "wait_ms": 5_001},
            {"offered": 1, "abandoned": 1, "abandoned_waited": 1},
        ),
        # Of other outcomes the wait is no answer time.
        ({"outcome": "callback", "wait_ms": 1}, {"offered": 1}),
        ({"direction": None}, {"offered": 1}),
        ({"direction": "outbound", "wait_ms": 1}, {}),
        ({"direction": "internal", "wait_ms": 1}, {}),
    ],
)
def test_what_a_caller_met(fields: dict[str, Any], expected: dict[str, int]) -> None:
    """Service counts inbound contacts, once as a leg and once, being the first, as a contact."""
    assert service("leg", **fields) == expected
    assert service("first_leg", **fields) == expected


@pytest.mark.parametrize(
    ("leg", "first"), [(None, {"offered": 1}), (1, {"offered": 1}), (2, {}), (1_000, {})]
)
def test_only_a_first_leg_counts_above_the_queue(leg: int | None, first: dict[str, int]) -> None:
    """A transferred caller was offered once, and to each queue on the way."""
    assert service("leg", leg=leg) == {"offered": 1}
    assert service("first_leg", leg=leg) == first


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"resolved": True}, {}),
        ({"csat": 1}, {"csat_answered": 1, "csat_points": 1}),
        ({"csat": 3}, {"csat_answered": 1, "csat_points": 3}),
        ({"csat": 4}, {"csat_answered": 1, "csat_points": 4, "csat_satisfied": 1}),
        ({"csat": 5}, {"csat_answered": 1, "csat_points": 5, "csat_satisfied": 1}),
        ({"nps": 0}, {"nps_answered": 1, "nps_detractors": 1}),
        ({"nps": 6}, {"nps_answered": 1, "nps_detractors": 1}),
        ({"nps": 7}, {"nps_answered": 1}),
        ({"nps": 8}, {"nps_answered": 1}),
        ({"nps": 9}, {"nps_answered": 1, "nps_promoters": 1}),
        ({"nps": 10}, {"nps_answered": 1, "nps_promoters": 1}),
        ({"ces": 1}, {"ces_answered": 1, "ces_points": 1}),
        ({"ces": 7}, {"ces_answered": 1, "ces_points": 7}),
    ],
)
def test_what_a_survey_says(fields: dict[str, Any], expected: dict[str, int]) -> None:
    """Each question is counted by itself; an unanswered one is unknown."""
    assert contributed(survey(**fields)) == {"surveys": 1} | expected


@pytest.mark.parametrize(
    ("queue", "wait_ms", "in_time"),
    [
        ("q1", 20_000, 1),
        ("slow", 20_001, 1),
        ("slow", 60_000, 1),
        ("slow", 60_001, 0),
        (None, 1, 1),
    ],
)
def test_a_queue_may_have_thresholds_of_its_own(
    queue: str | None, wait_ms: int, in_time: int
) -> None:
    """Others have the default, and so has a contact that names no queue."""
    thresholds = Thresholds(by_queue={"slow": Threshold(60_000, 0)})
    sums = contributed(call(queue=queue, wait_ms=wait_ms), thresholds)
    assert sums.get("answered_in_time:leg", 0) == in_time


def test_a_measures_id_says_its_threshold() -> None:
    """A changed threshold is another measure, so that old sums cannot pass for new ones."""
    ids = measure_ids(Thresholds(by_queue={"b": Threshold(30_000, 5_000), "a": Threshold()}))
    assert len(set(ids)) == len(MEASURES)
    assert ids[COLUMN["handled"]] == "handled"
    assert ids[COLUMN["answered_in_time:leg"]] == "answered_in_time:leg<=20000,b=30000"
    assert ids[COLUMN["abandoned_short:first_leg"]] == "abandoned_short:first_leg<=5000"


@pytest.mark.parametrize(
    "thresholds",
    [
        Thresholds(Threshold(20_001, 5_000)),
        Thresholds(Threshold(20_000, 5_001)),
        Thresholds(by_queue={"q": Threshold(1, 5_000)}),
        Thresholds(by_queue={"q": Threshold(20_000, 1)}),
    ],
)
def test_every_threshold_counts_in_an_id(thresholds: Thresholds) -> None:
    """Whichever threshold changes, some measure's id does."""
    assert measure_ids(thresholds) != measure_ids(Thresholds())


def test_naming_the_default_for_a_queue_changes_no_id() -> None:
    """The same definition has the same id, however it is written."""
    assert measure_ids(Thresholds(by_queue={"q": Threshold()})) == measure_ids(Thresholds())
