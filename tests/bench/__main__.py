"""`make bench`: one run, one Apache Kafka, systems in turn; a table and `build/bench.json`."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import click
from rich.console import Console

from tests.bench import cores
from tests.bench.report import FILE, Summary, summarise, table, write
from tests.bench.rounds import compare
from tests.bench.systems import SYSTEMS
from tests.bench.workload import WORKLOADS
from tests.kafka_broker.broker import KafkaBroker


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--records", type=click.IntRange(100), help="Per workload; default: its own number.")
@click.option("--workload", "names", multiple=True, type=click.Choice(list(WORKLOADS)))
@click.option("--system", "chosen", multiple=True, type=click.Choice([s.name for s in SYSTEMS]))
def main(rounds: int, records: int | None, names: tuple[str, ...], chosen: tuple[str, ...]) -> None:
    """Measures every system on every workload (or those of --workload and --system)."""
    systems = tuple(s for s in SYSTEMS if not chosen or s.name in chosen)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # it warns of each retry
    console = Console(width=120)
    summaries: dict[str, Summary] = {}
    with cores.started_on(cores.REST), KafkaBroker() as broker:
        for name in names or WORKLOADS:
            workload = WORKLOADS[name]
            workload = replace(workload, records=records or workload.records)
            results = asyncio.run(
                compare(broker.bootstrap, workload, systems, rounds, console.print)
            )
            summaries[name] = summarise(results, SYSTEMS[0].name)
    for name, summary in summaries.items():
        about = f"{name}: {WORKLOADS[name].about}; median of {rounds} (min–max)"
        console.print(table(about, summary, systems))
    write(summaries, rounds)
    console.print(f"written to {FILE.relative_to(FILE.parents[1])}")


if __name__ == "__main__":
    main()
