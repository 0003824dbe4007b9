"""`kpi-stream dead-letters`: what can be done about refused records."""

from __future__ import annotations

from pathlib import Path

import click

from stream.commands.options import Since, clear_errors, config_option, run_client
from stream.config import load_settings
from stream.kafka.replayed import Selection
from stream.kafka.resubmission import Report, resubmit


@click.group("dead-letters")
def dead_letters() -> None:
    """Deal with refused records; `kpi-stream tail dead-letters` shows them."""


@dead_letters.command("replay")
@click.option("--reason", "reasons", multiple=True, help="Refused for it; repeat for more.")
@click.option("--topic", "topics", multiple=True, help="Refused from it; repeat for more.")
@click.option("--since", "since_ms", type=Since(), default=0, help="Refused since, such as 1h.")
@click.option("--limit", type=click.IntRange(min=1), help="So many at most.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@config_option
@clear_errors
def replay(
    reasons: tuple[str, ...],
    topics: tuple[str, ...],
    since_ms: int,
    limit: int | None,
    *,
    dry_run: bool,
    config: Path,
) -> None:
    """Send refused records back to their topics once what refused them is mended; each once.

    They are sent as they were, with a header `kpi-replays` that counts how often. What is refused
    again is a new dead letter. A run that was ended in between is finished by the next one.
    """
    settings = load_settings(config)
    selection = Selection(
        reasons=tuple(sorted(set(reasons))), topics=tuple(sorted(set(topics))), since_ms=since_ms
    )
    report = run_client(resubmit(settings, selection, limit=limit, dry_run=dry_run))
    _say(report, "would be sent" if dry_run else "sent")


def _say(report: Report, sent: str) -> None:
    for (topic, reason), count in sorted(report.sent.items()):
        click.echo(f"{topic}, {reason}: {count} {sent}")
    for why, count in sorted(report.left.items()):
        click.echo(f"left: {count}: {why}")
    click.echo(
        f"{report.sent.total()} {sent}, {report.left.total()} left, {report.done} dealt with before"
    )
