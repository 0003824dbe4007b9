"""The terminal's board: what a person sees, at the size of an ordinary terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from stream.core.kpis import CATALOGUE
from stream.serve.terminal import Board, target_text, value_text


def reading(scope: str, name: str, verdict: str, window: str) -> dict[str, Any]:
    """A reading as it stands on the topic."""
    kpis = {kpi: {"value": 0.5, "samples": 123} for kpi in CATALOGUE}
    kpis["handled"] = {"value": 1_234, "samples": 1_234}
    kpis["handle_time"] = {"value": 390.0, "samples": 1_234}
    goals = {"csat": {"verdict": verdict}, "aht": {"verdict": "met"}}
    at = "2026-11-20T10:07:00.000Z"
    return {"scope": scope, "id": name, "window": window, "as_of": at, "kpis": kpis, "goals": goals}


def screen(board: Board, width: int, height: int) -> list[str]:
    """The lines on a terminal of this size."""
    console = Console(width=width, height=height, record=True, force_terminal=False)
    with console.capture() as captured:
        console.print(board.render("event time 2026 · " + "x" * 200, height))
    return [line.rstrip() for line in captured.get().splitlines()]


def full_board() -> Board:
    """Four teams and forty agents, one of whom misses a goal, and an alert."""
    board = Board("15m", "1h")
    for team in ("billing", "orders", "returns", "tech"):
        board.take_reading(reading("team", team, "missed", "15m"))
    for number in range(40):
        verdict = "missed" if number == 39 else "met"
        board.take_reading(reading("agent", f"agent-{number:02}", verdict, "1h"))
    board.take_alert(
        {
            "at": "2026-11-20T10:07:00.000Z",
            "state": "firing",
            "scope": "agent",
            "id": "agent-39",
            "goal": "aht",
            "kpi": "handle_time",
            "value": 398.2,
            "target": "<= 390",
            "samples": 20,
        }
    )
    return board


def test_the_board_fits_an_ordinary_terminal() -> None:
    """At 80 × 24 there are teams, agents and an alert, nothing wraps and nothing is cut off."""
    lines = screen(full_board(), 80, 24)
    assert len(lines) <= 24
    assert sum(line.startswith("agent-") for line in lines) >= 10
    assert sum(line.startswith(("billing", "orders", "returns", "tech")) for line in lines) == 4
    assert "10:07 firing: agent agent-39, aht (6m38s, target <= 6m30s, n = 20)" in lines


def test_whoever_misses_a_goal_comes_first() -> None:
    """Of forty, the one agent with a missed goal is on top, and the goal is named."""
    agents = [line for line in screen(full_board(), 80, 24) if line.startswith("agent-")]
    assert agents[0].startswith("agent-39")
    assert "csat missed" in agents[0]
    assert agents[1].endswith("met")


def test_a_small_terminal_still_shows_an_agent() -> None:
    """There is always room for the most urgent one."""
    lines = screen(full_board(), 80, 12)
    assert any(line.startswith("agent-39") for line in lines)


def test_values_are_said_as_people_say_them() -> None:
    """Minutes and seconds, per cent, counts and points."""
    said = [
        value_text("handle_time", 390.9),
        value_text("csat", 0.855),
        value_text("handled", 7),
        value_text("handled", 12_345_678),
        value_text("nps", -12.5),
        value_text("csat_mean", 4.320634),
    ]
    assert said == ["6m30s", "86%", "7", "12345678", "-12.5", "4.32"]


def test_a_target_is_said_whole() -> None:
    """At most 2.5 per cent is not at most 2, and beyond 99.5 is not beyond 100."""
    said = [target_text("abandon_rate", "<= 0.025"), target_text("csat", ">= 0.995")]
    said += [target_text("csat", ">= 0.85"), target_text("handle_time", "<= 360.0")]
    assert said == ["<= 2.5%", ">= 99.5%", ">= 85%", "<= 6m00s"]
