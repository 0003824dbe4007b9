"""The run's figures as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields

from rich.table import Table

from tests.chaos.demands import struck
from tests.chaos.findings import Judged
from tests.chaos.run import Outcome


def table(outcome: Outcome, seed: int) -> Table:
    """What was done, what was looked at, and what was wrong."""
    findings = outcome.findings
    drawn = _pairs(f"seed {seed}, {outcome.seconds:.0f} s")
    for name, number in struck(outcome).items():
        drawn.add_row(name, f"{number}")
    drawn.add_row("longest graceful stop (s)", f"{outcome.fleet.longest_stop_s:.1f}")
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


def alerts_table(outcome: Outcome) -> Table:
    """Alerts at rest, by kind of scope: what SQL demands and forbids, and what was otherwise."""
    names = [field.name.replace("_", " ") for field in fields(Judged)]
    drawn = Table("alerts at rest", *names, title_justify="left")
    for scope, judged in outcome.findings.alerts.items():
        drawn.add_row(scope, *(f"{number}" for number in asdict(judged).values()))
    for column in drawn.columns[1:]:
        column.justify = "right"
    return drawn


def figures(title: str, found: Mapping[str, float]) -> Table:
    """A measurement's figures by name."""
    drawn = _pairs(title)
    for name, number in found.items():
        drawn.add_row(name.replace("_", " "), f"{number:,.1f}".removesuffix(".0"))
    return drawn


def _pairs(title: str) -> Table:
    """Names with their numbers."""
    drawn = Table("", "", title=title, show_header=False, title_justify="left")
    drawn.columns[1].justify = "right"
    return drawn
