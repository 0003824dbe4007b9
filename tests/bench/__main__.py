"""`make bench`: one run, one Apache Kafka, systems in turn; a table and `build/bench.json`."""

from __future__ import annotations

import asyncio
import logging

import click
from rich.console import Console

from tests.bench import cores
from tests.bench.report import FILE, Reported, table, write
from tests.bench.result import Result, Run
from tests.bench.systems import SYSTEMS
from tests.bench.systems.base import BenchError
from tests.bench.systems.kpi_stream import KpiStream
from tests.bench.workloads import WORKLOADS
from tests.kafka_broker.broker import KafkaBroker


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--records", type=click.IntRange(100), help="Per workload; default: its own number.")
@click.option("--workload", "names", multiple=True, type=click.Choice(list(WORKLOADS)))
@click.option("--system", "chosen", multiple=True, type=click.Choice([s.name for s in SYSTEMS]))
def main(rounds: int, records: int | None, names: tuple[str, ...], chosen: tuple[str, ...]) -> None:
    """Measures every system on every workload (or those of --system and --workload).

    Only throughput is compared between systems; the other workloads are about this worker.
    """
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # it warns of each retry
    console = Console(width=150, highlight=False)
    systems = tuple(s for s in SYSTEMS if not chosen or s.name in chosen)
    done: dict[str, Reported] = {}
    console.print(cores.told())
    with cores.started_on(cores.REST), KafkaBroker(is_measured=True) as broker:
        run = Run(broker.bootstrap, rounds, systems, console.print)
        for name in names or WORKLOADS:
            workload = WORKLOADS[name] if records is None else WORKLOADS[name].sized(records)
            try:
                result = asyncio.run(workload.run(run))
            except BenchError as error:
                console.print(f"  {name} failed: {error}")
                result = Result({}, {KpiStream.name: KpiStream.label}, {KpiStream.name: str(error)})
            done[name] = Reported(name, workload.about, result)
            write(done, rounds)
    for reported in done.values():
        console.print(table(reported, rounds))
    console.print(f"written to {FILE.relative_to(FILE.parents[1])}")


if __name__ == "__main__":
    main()
