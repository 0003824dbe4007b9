"""How the boards call and write each KPI of the catalogue."""

from __future__ import annotations

from typing import Final

from stream.core.kpis import Kpi

TITLES: Final = {
    "handled": "Handled",
    "handle_time": "Handle time",
    "talk_time": "Talk time",
    "hold_time": "Hold time",
    "hold_time_held": "A hold's length",
    "wrap_time": "Wrap-up",
    "transfer_rate": "Transferred",
    "resolution_rate": "Resolved",
    "csat": "Satisfied",
    "csat_mean": "Satisfaction",
    "nps": "NPS",
    "ces": "Ease",
    "surveys": "Surveys",
    "offered": "Offered",
    "service_level": "In time",
    "answer_time": "Wait, answered",
    "abandon_rate": "Gave up",
}
_UNITS: Final = {
    "ratio": ("percentunit", 1),
    "seconds": ("dthms", 0),
    "points": ("none", 1),
    "contacts": ("none", 0),
    "surveys": ("none", 0),
}
EMPTY: Final = "nothing counted"


def unit_of(kpi: Kpi) -> tuple[str, int]:
    """Grafana's unit and how many decimals."""
    return _UNITS[kpi.unit]


def explained(kpi: Kpi) -> str:
    """What a KPI is, and what its panel says where it is empty."""
    return (
        f"{kpi.purpose} Counted as: {kpi.formula}. In brackets: what the figure rests on. "
        f"“{EMPTY}” means that nothing was counted in this window, or that the worker does not "
        "show it; it is never 0."
    )
