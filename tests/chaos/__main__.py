"""`make chaos`: the long run; exits with 1 if anything was wrong."""

from __future__ import annotations

import logging
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from tests.bench.traffic import Traffic
from tests.chaos.pressure import press
from tests.chaos.recovery import recover
from tests.chaos.report import figures, table
from tests.chaos.run import long_run, run, short_run
from tests.kafka_broker.broker import KafkaBroker

PRESSED_S: Final = 60.0
REQUIRED: Final = {"kill": 50, "restart": 10, "rebalance": 20}
DAY: Final = Traffic(10_000, 24 * 3_600_000, 650_000)


@click.command()
@click.option("--seed", type=int, help="Repeats the choices of a run; default: a new one.")
@click.option("--short", is_flag=True, help="What `make test` runs.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the workers' logs stay.")
def main(seed: int | None, short: bool, folder: Path | None) -> None:
    """Lets workers, broker and network fail under load, and judges what was seen."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it warns of each retry
    seed = secrets.randbelow(2**31) if seed is None else seed
    console = Console(width=110)
    console.print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        place = folder or Path(temporary)
        outcome = run((short_run if short else long_run)(seed), place, console.print)
        console.print(table(outcome, seed))
        faults = [] if short else measure(place, console)
    if not short:
        did = {name: outcome.hand.done[name] for name in REQUIRED}
        did["rebalance"] = outcome.hand.done["join"] + outcome.hand.done["leave"]
        did["restart"] += outcome.hand.done["outage"]
        faults += [f"only {did[n]} of {REQUIRED[n]}: {n}" for n in did if did[n] < REQUIRED[n]]
    for fault in [*outcome.findings.examples, *outcome.fleet.unexplained, *faults]:
        console.print(fault, style="red")
    wrong = outcome.findings.wrong.total() + len(outcome.fleet.unexplained) + len(faults)
    sys.exit(1 if wrong else 0)


def measure(folder: Path, console: Console) -> list[str]:
    """A minute of backpressure, and a recovery of a day of 10,000 agents; what was wrong."""
    with KafkaBroker(is_measured=True) as broker:
        pressed = press(broker.bootstrap, "pressed-", folder / "pressed", PRESSED_S)
        console.print(figures("a producer faster than the worker", pressed))
        recovered = recover(broker.bootstrap, "recovered-", folder / "recovered", DAY)
        console.print(figures("SIGKILL and recovery, 10,000 agents", recovered))
    return [*pressed.faults(), *recovered.faults()]


if __name__ == "__main__":
    main()
