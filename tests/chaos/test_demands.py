"""Where nothing happened, or too little, a run has failed: each demand by itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.chaos.demands import unmet
from tests.chaos.faults import Hand
from tests.chaos.findings import Findings
from tests.chaos.goals import SCOPES_WITH_GOALS
from tests.chaos.pressure import Pressure
from tests.chaos.recovery import Recovery, Return
from tests.chaos.run import Outcome

REQUIRED = {"SIGKILLs of workers": 50, "freezes": 4}
PRESSED = Pressure(
    seconds=10.0,
    sent=400_000,
    events_sent=380_000,
    sent_each_s=40_000.0,
    counted_slowly=20_000,
    times_faster=20.0,
    lag_pressed=300_000.0,
    mb_before=90.0,
    mb_pressed=120.0,
    mb_most=150.0,
    caught_up_s=8.0,
    counted=380_000,
    repeats=20_000,
    differing_agents=0,
    lag_last=0.0,
)


def outcome(**done: int) -> Outcome:
    """A run that has done and seen enough, but for what is named."""
    findings = Findings(seen=Counter({"readings in flight compared": 500}))
    for scope in SCOPES_WITH_GOALS:
        findings.alerts[scope].demanded = 1
    struck = {"kill": 50, "freeze": 4, "fenced exits": 3, "rejoined": 1, **done}
    hand = SimpleNamespace(done=Counter(struck), proxy=SimpleNamespace(resets=0))
    nothing: Any = None
    return Outcome(findings, cast("Any", hand), fleet=nothing, feed=nothing, seconds=1.0)


def test_a_run_that_did_and_saw_enough_leaves_nothing_unmet() -> None:
    """Fenced exits and those that joined anew add up to the freezes; alerts on every scope."""
    assert unmet(outcome(), REQUIRED) == []


@pytest.mark.parametrize(
    ("done", "said"),
    [
        ({"kill": 49}, "only 49 of 50: SIGKILLs of workers"),
        ({"freeze": 3, "fenced exits": 2}, "only 3 of 4: freezes"),
        ({"fenced exits": 2, "otherwise": 1}, "of 4 frozen workers 3 were fenced or joined anew"),
    ],
)
def test_too_few_faults_and_unfenced_zombies_are_said(done: dict[str, int], said: str) -> None:
    """One by one."""
    assert unmet(outcome(**done), REQUIRED) == [said]


@pytest.mark.parametrize(("owned", "fate"), [(2, "rejoined"), (0, "otherwise")])
def test_a_frozen_worker_that_had_nothing_was_no_zombie(owned: int, fate: str) -> None:
    """That it joins again says nothing of fencing, and may not count for it."""

    class OneWorker:
        """Frozen with so many partitions; joins anew in either case."""

        slots = (SimpleNamespace(is_static=True),)

        def running(self) -> list[Any]:
            return list(self.slots)

        async def wait_owning(self, *_: Any) -> int:
            return owned

        async def freeze(self, *_: Any) -> str:
            return "rejoined"

    nothing: Any = None
    hand = Hand(cast("Any", OneWorker()), nothing, nothing, Random(1))
    asyncio.run(hand.strike("freeze", 0.0))
    assert hand.done == {fate: 1, "freeze": 1}


@pytest.mark.parametrize("scope", ["agent", "team", "queue", "channel", "campaign", "site"])
def test_every_scope_has_to_have_an_alert(scope: str) -> None:
    """Else that none was lost there says nothing."""
    found = outcome()
    found.findings.alerts[scope].demanded = 0
    assert unmet(found, {}) == [f"SQL demands no alert on any {scope}"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"times_faster": 9.9}, "only 9.9 times faster"),
        ({"counted_slowly": 0, "lag_pressed": 4e5}, "nothing was counted under pressure"),
        ({"lag_pressed": 100_000.0}, "behind by 380000, it said 100000"),
        ({"mb_pressed": 160.0}, "it grew from 90 to 160 MB with 20000 records counted"),
        ({"mb_most": 240.0}, "it grew from 90 to 240 MB with 380000 records counted"),
        ({"counted": 379_999}, "379999 of 380000 events counted"),
        ({"repeats": 20_001}, "20001 of 20000 repeats known"),
        ({"differing_agents": 1}, "1 agents' sums are not what was sent"),
        ({"lag_last": 1.0}, "a lag of 1 is left"),
    ],
)
def test_each_fault_of_a_worker_under_pressure_is_said(change: dict[str, Any], said: str) -> None:
    """And none where there is none."""
    assert PRESSED.faults() == []
    assert replace(PRESSED, **change).faults() == [said]


def test_the_median_return_has_to_be_soon_enough_and_whole() -> None:
    """One that is late is the machine's, most of them are not."""
    quick, slow = Return(1.0, 0.5, 0.5, 0.1, 0.0), Return(4.0, 1.0, 1.0, 0.5, 1.0)
    found = Recovery(1, 1, scrapes_before=9, shown_early=0, returns=[slow, quick, quick])
    assert found.faults(5.0) == []
    late = replace(found, returns=[slow, quick, slow])
    assert late.faults(5.0) == ["back after 5.5 s of its own"]
    assert late.best == quick
    early = replace(found, shown_early=2)
    assert early.faults(5.0) == ["2 times a part of a partition was shown"]
    unseen = replace(found, scrapes_before=2)
    assert unseen.faults(5.0) == ["only 2 scrapes before all was there"]
