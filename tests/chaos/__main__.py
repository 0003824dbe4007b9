"""`make chaos`: the long run; exits with 1 if anything was wrong."""

from __future__ import annotations

import logging
import secrets
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console

from tests.chaos.report import table
from tests.chaos.run import long_run, run, short_run


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
        outcome = run(
            (short_run if short else long_run)(seed), folder or Path(temporary), console.print
        )
    console.print(table(outcome, seed))
    wrong = [*outcome.findings.examples, *outcome.fleet.unexplained]
    for example in wrong:
        console.print(example, style="red")
    sys.exit(1 if outcome.findings.wrong.total() or outcome.fleet.unexplained else 0)


if __name__ == "__main__":
    main()
