"""The worker's own judgement: whether it is healthy, and what it may show."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from faust.types import TP
from prometheus_client import CollectorRegistry

from stream.config import load_settings
from stream.core.kpis import SCOPE_KINDS
from stream.kafka.owned import SESSION_TIMEOUT_S, Owned
from stream.kafka.telemetry import Telemetry
from stream.worker import STALL_S, complete_engines, health_of, rules_of


def owned(*, age_s: float = 0.0, stuck_s: float = 0.0, lag: int = 0, ready: bool = True) -> Owned:
    """A partition whose last flush, and whose last progress, was so long ago."""
    now = time.monotonic()
    stage: Any = SimpleNamespace(engine=object(), is_complete=True)
    lane: Any = SimpleNamespace(name="rows")
    return Owned(lane, stage, now - age_s, now - stuck_s, lag=lag, ready=ready)


def app(*partitions: Owned, **settings: Any) -> Any:
    """An app that owns these."""
    loaded = load_settings(None, **settings)
    return SimpleNamespace(
        settings=loaded,
        failure=None,
        ownership=SimpleNamespace(
            recovering_since=None, owned={("rows", n): o for n, o in enumerate(partitions)}
        ),
    )


def test_a_recovery_that_does_not_end_is_unhealthy() -> None:
    """While it reads back, nothing is owned; for ten minutes that is patience, then a fault."""
    young, old = app(), app()
    young.ownership.recovering_since = time.monotonic() - 500
    old.ownership.recovering_since = time.monotonic() - 700
    assert health_of(young) == (True, "0 of 0 partitions caught up")
    assert health_of(old) == (False, "recovering for 700 s")


def test_an_idle_night_is_healthy() -> None:
    """No event for hours: the flush comes by and has nothing to commit."""
    quiet = owned(stuck_s=8 * 3600)
    assert health_of(app(quiet)) == (True, "1 of 1 partitions caught up")
    assert health_of(app()) == (True, "0 of 0 partitions caught up")
    assert health_of(app(owned(), owned(ready=False))).detail == "1 of 2 partitions caught up"


def test_a_flush_that_does_not_come_back_is_unhealthy_whatever_it_carries() -> None:
    """What is on its way is no longer in the state, so the state alone looks clean."""
    healthy, detail = health_of(app(owned(), owned(age_s=STALL_S + 5)))
    assert (healthy, detail) == (False, "partition 1: nothing committed for 65 s")
    assert health_of(app(owned(age_s=STALL_S + 5), flush_interval="30s")).healthy


def test_lag_without_progress_is_unhealthy_and_lag_with_it_is_not() -> None:
    """A long catch-up is work; standing still in front of work is not."""
    assert health_of(app(owned(lag=9, stuck_s=1))).healthy
    assert health_of(app(owned(lag=9, stuck_s=STALL_S + 2))) == (
        False,
        "partition 0: 9 behind, stuck for 62 s",
    )


def test_a_worker_that_has_failed_says_why() -> None:
    """Until its supervisor starts it again."""
    failed = app(owned())
    failed.failure = RuntimeError("fenced")
    assert health_of(failed) == (False, "stopping: fenced")


def test_only_complete_partitions_that_are_surely_ours_are_shown() -> None:
    """Not while it catches up; not after a silence in which the group may have moved on."""
    shown, behind = owned(), owned(ready=False)
    # The group counts from the last heartbeat, which may have been two seconds before.
    silent = owned(age_s=SESSION_TIMEOUT_S - 1)
    assert list(complete_engines(app(shown, behind, silent))) == [shown.stage.engine]
    assert len(list(complete_engines(app(silent, flush_interval="30s")))) == 1


def test_of_several_partitions_none_sees_a_whole_team() -> None:
    """A queue's contacts lie in many partitions: each gives its agents, and shares the rest."""
    settings = load_settings(None)
    alone, of_two = rules_of(settings, (), 1), rules_of(settings, (), 2)
    assert (alone.kinds, alone.shared_kinds) == (SCOPE_KINDS, ())
    assert of_two.kinds == ("agent",)
    assert {*of_two.kinds, *of_two.shared_kinds} == set(SCOPE_KINDS)


def test_the_commit_age_grows_while_no_flush_comes_back() -> None:
    """It is asked at the scrape, not when a flush happens to set it."""
    registry = CollectorRegistry()
    partition = owned(age_s=7)
    stage: Any = SimpleNamespace(number=3, engine=SimpleNamespace(rows=[1, 2]))
    partition.stage = stage
    partition.show(Telemetry(registry), {TP("interactions", 3): 5})
    ages = [
        registry.get_sample_value(
            "kpi_stream_commit_age_seconds", {"stage": "rows", "partition": "3"}
        )
        for _ in range(2)
    ]
    assert 7 <= (ages[0] or 0) < (ages[1] or 0) < 60
    place = {"topic": "interactions", "partition": "3"}
    assert registry.get_sample_value("kpi_stream_lag_records", place) == 5
    assert registry.get_sample_value("kpi_stream_rows", {"stage": "rows", "partition": "3"}) == 2
