"""The run's figures as a table."""

from __future__ import annotations

from dataclasses import asdict

from rich.table import Table

from tests.chaos.pressure import Pressure
from tests.chaos.recovery import Recovery
from tests.chaos.run import Outcome


def table(outcome: Outcome, seed: int) -> Table:
    """What was done, what was looked at, and what was wrong."""
    done, findings = outcome.hand.done, outcome.findings
    title = f"seed {seed}, {outcome.seconds:.0f} s"
    drawn = Table("", "", title=title, show_header=False, title_justify="left")
    drawn.columns[1].justify = "right"
    for name, number in {
        "SIGKILLs of workers": done["kill"],
        "broker restarts": done["restart"] + done["outage"],
        "rebalances by joining and leaving": done["join"] + done["leave"],
        "workers frozen past the session timeout": done["freeze"],
        "connections reset": outcome.hand.proxy.resets,
        "longest graceful stop (s)": f"{outcome.fleet.longest_stop_s:.1f}",
    }.items():
        drawn.add_row(name, f"{number}")
    for reason, number in outcome.fleet.exits.items():
        drawn.add_row(f"exited: {reason}", f"{number}")
    drawn.add_section()
    drawn.add_row("records not acknowledged", f"{outcome.feed.failed}")
    for name, number in findings.seen.items():
        drawn.add_row(name, f"{number:,}")
    drawn.add_section()
    for name, number in findings.wrong.items():
        drawn.add_row(name, f"{number}", style="bold red" if number else "")
    drawn.add_row("exits without a reason", f"{len(outcome.fleet.unexplained)}")
    return drawn


def figures(title: str, found: Pressure | Recovery) -> Table:
    """A measurement's figures by name."""
    drawn = Table("", "", title=title, show_header=False, title_justify="left")
    drawn.columns[1].justify = "right"
    for name, number in asdict(found).items():
        drawn.add_row(name.replace("_", " "), f"{number:,.1f}".removesuffix(".0"))
    return drawn
