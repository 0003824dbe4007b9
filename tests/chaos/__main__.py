"""`make chaos`: the long run; exits with 1 if anything was wrong."""

from __future__ import annotations

import logging
import secrets
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from tests.bench.traffic import Traffic
from tests.chaos.demands import unmet
from tests.chaos.pressure import press
from tests.chaos.recovery import BACK_S, SMALL, SMALL_BACK_S, recover
from tests.chaos.report import alerts_table, figures, table
from tests.chaos.run import long_run, run, short_run
from tests.kafka_broker.broker import KafkaBroker

PRESSED_S: Final = 60.0
REQUIRED: Final = {
    "SIGKILLs of workers": 50,
    "broker restarts": 10,
    "rebalances by joining and leaving": 20,
    "freezes": 4,
    "connections reset": 6,
}
# By name: the state, how often the worker is killed, and how soon it has to be back.
RETURNS: Final = (
    ("small", SMALL, 5, SMALL_BACK_S),
    ("day", Traffic(10_000, 24 * 3_600_000, 650_000), 1, BACK_S),
)


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
        console.print(table(outcome, seed), alerts_table(outcome))
        faults = unmet(outcome, {} if short else REQUIRED)
        if not short:
            faults += measure(place, console)
    for fault in [*outcome.findings.examples, *outcome.fleet.unexplained, *faults]:
        console.print(fault, style="red")
    wrong = outcome.findings.wrong.total() + len(outcome.fleet.unexplained) + len(faults)
    sys.exit(1 if wrong else 0)


def measure(folder: Path, console: Console) -> list[str]:
    """A minute of backpressure, and returns with small and with large state; what was wrong."""
    faults = []
    with KafkaBroker(is_measured=True) as broker:
        pressed = press(broker.bootstrap, "pressed-", folder / "pressed", PRESSED_S)
        console.print(figures("a producer faster than the worker", asdict(pressed)))
        faults += pressed.faults()
        for name, traffic, kills, back_s in RETURNS:
            found = recover(broker.bootstrap, f"{name}-", folder / name, traffic, kills)
            console.print(
                figures(f"SIGKILL and return, {traffic.agents:,} agents", found.figures())
            )
            faults += found.faults(back_s)
    return faults


if __name__ == "__main__":
    main()
