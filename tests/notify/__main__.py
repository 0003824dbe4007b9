"""`python -m tests.notify`: kills a notifier many times, and says what came of it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import click

from tests.kafka.live import written_settings
from tests.kafka_broker.broker import KafkaBroker
from tests.notify.conftest import create_alerts
from tests.notify.kills import run
from tests.notify.receivers import Webhook


@click.command()
@click.option("--kills", default=100, type=click.IntRange(min=2))
@click.option("--seed", default=1)
def main(kills: int, seed: int) -> None:
    """Exits 1 where an alert was lost, or a kill has cost more than one repeat."""
    with KafkaBroker() as broker, Webhook() as hook, Webhook() as leads:
        site = written_settings(broker.bootstrap, "kills-")
        asyncio.run(create_alerts(broker.bootstrap, site["topics"]["alerts"]))
        with tempfile.TemporaryDirectory() as folder:
            verdict = run(Path(folder), site, hook, leads, kills=kills, seed=seed)
    click.echo(verdict.line(seed))
    repeats = sum(verdict.repeats_to_leads.values())
    most = max(repeats, verdict.repeats_by_alertmanager)
    sys.exit(bool(verdict.lost or verdict.unchanged_by_alertmanager or most > kills))


main()
