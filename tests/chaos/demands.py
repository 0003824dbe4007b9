"""What a run has to have done and seen: where nothing happened, nothing wrong says little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from tests.chaos.goals import SCOPES_WITH_GOALS
from tests.chaos.run import Outcome

IN_FLIGHT_MIN: Final = 100
FATES: Final = ("fenced exits", "rejoined")


def unmet(outcome: Outcome, required: Mapping[str, int]) -> list[str]:
    """What is missing. `required`: the least number of each fault, by `struck`'s names."""
    did, findings = struck(outcome), outcome.findings
    unmet = [f"only {did[n]} of {least}: {n}" for n, least in required.items() if did[n] < least]
    fates = sum(did[fate] for fate in FATES)
    if fates != did["freezes"]:
        unmet.append(f"of {did['freezes']} frozen workers {fates} were fenced or joined anew")
    quiet = [scope for scope in SCOPES_WITH_GOALS if not findings.alerts[scope].demanded]
    unmet += [f"SQL demands no alert on any {scope}" for scope in quiet]
    if findings.seen["readings in flight compared"] < IN_FLIGHT_MIN:
        unmet.append(f"fewer than {IN_FLIGHT_MIN} readings in flight were compared")
    return unmet


def struck(outcome: Outcome) -> Counter[str]:
    """How often what was done."""
    done = outcome.hand.done
    return Counter(
        {
            "SIGKILLs of workers": done["kill"],
            "broker restarts": done["restart"] + done["outage"],
            "rebalances by joining and leaving": done["join"] + done["leave"],
            "freezes": done["freeze"],
            **{fate: done[fate] for fate in FATES},
            "connections reset": outcome.hand.proxy.resets,
        }
    )
