"""What a run is judged by: a goal on each kind of scope, missed by some of it and met by others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


def _handle_time(scope: str, target: str, clear: str, min_samples: int) -> Mapping[str, Any]:
    """Calls of the last hour take no longer than planned."""
    return {
        "name": f"{scope}-aht",
        "purpose": "Calls take no longer than planned.",
        "kpi": "handle_time",
        "scope": scope,
        "window": "1h",
        "target": f"<= {target}",
        "clear": f"<= {clear}",
        "min_samples": min_samples,
        "for": "5m",
    }


GOALS: Final[Mapping[str, Any]] = {
    "goals": [
        _handle_time("agent", "2m50s", "2m30s", 3),
        _handle_time("team", "2m50s", "2m40s", 5),
        _handle_time("queue", "2m50s", "2m40s", 5),
        _handle_time("channel", "2m50s", "2m40s", 5),
        _handle_time("campaign", "2m50s", "2m40s", 5),
        _handle_time("site", "2m50s", "2m40s", 5),
        {
            "name": "csat",
            "purpose": "Customers leave satisfied.",
            "kpi": "csat",
            "scope": "agent",
            "window": "today",
            "target": ">= 80%",
            "clear": ">= 85%",
            "min_samples": 2,
            "for": "5m",
        },
    ]
}
SCOPES_WITH_GOALS: Final = tuple(dict.fromkeys(goal["scope"] for goal in GOALS["goals"]))
