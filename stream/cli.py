"""The commands of `kpi-stream`: small ones here, others in `stream/commands/`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from stream import __version__
from stream.commands.deadletters import dead_letters
from stream.commands.files import compute, replay
from stream.commands.options import FOLDER, clear_errors, clear_refusals, config_option
from stream.commands.tail import tail
from stream.config import GOALS_FILE, SETTINGS_FILE, load_settings
from stream.core.kpis import CATALOGUE, SCOPE_KINDS
from stream.demo.play import run as run_demo
from stream.durations import parse_duration_ms
from stream.goalfile import load_goals
from stream.logs import set_up
from stream.notify.roster import ROSTER_FILE, load_roster
from stream.processes import run_slot, slots_of, supervise
from stream.worker import run as run_worker
from stream.yamlfile import Faults


@click.group()
@click.version_option(__version__, prog_name="kpi-stream")
@click.option("--verbose", is_flag=True, help="Say more.")
def main(*, verbose: bool) -> None:
    """Rolling KPIs, goal alerts and live gauges from contact-centre events."""
    set_up(verbose=verbose)


@main.command()
@config_option
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    help="Workers, each at a metrics port of its own: the one of the settings, the next, …",
)
@click.option("--slot", type=int, hidden=True, help="Which of them this is.")
@clear_refusals
def worker(config: Path, processes: int, slot: int | None) -> None:
    """Run the Faust worker until SIGINT or SIGTERM."""
    settings = load_settings(config)
    goals, leads = load_goals(config / GOALS_FILE, settings.windows)
    if slot is not None:
        run_slot(slots_of(settings, processes)[slot], goals, leads)
    elif processes > 1:
        sys.exit(supervise(settings, processes))
    else:
        run_worker(settings, goals, leads)


@main.command()
@config_option
@clear_refusals
def notify(config: Path) -> None:
    """Tell team leads of alerts, by Alertmanager or directly, until SIGINT or SIGTERM."""
    from stream.notify import service  # noqa: PLC0415 - nobody else's cost

    service.run(load_settings(config), config)


@main.command()
@click.option("--for", "length", default=None, help="Such as 30s; without it until Ctrl-C.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="JSON file.")
@clear_errors
def demo(length: str | None, report: Path | None) -> None:
    """Broker, worker and seeded traffic in one command, with a live table. No Docker, no JVM."""
    try:
        seconds = None if length is None else parse_duration_ms(length) / 1000
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from error
    logging.getLogger("stream").setLevel(logging.WARNING)
    run_demo(seconds, report)


@main.command()
@click.argument("folder", type=FOLDER, default=Path())
@clear_errors
def check(folder: Path) -> None:
    """Validate settings, goals and roster in FOLDER; prints all faults at once and exits 1."""
    faults: list[str] = []
    windows: tuple[str, ...] | None = None
    try:
        windows = load_settings(folder).windows
    except Faults as found:
        faults += found.faults
    count = 0
    try:
        goals, _ = load_goals(folder / GOALS_FILE, windows)
        count = len(goals)
    except Faults as found:
        faults += found.faults
    try:
        load_roster(folder / ROSTER_FILE)
    except Faults as found:
        faults += found.faults
    if faults:
        raise Faults(faults)
    files = (SETTINGS_FILE, GOALS_FILE, ROSTER_FILE)
    named = [name for name in files if (folder / name).exists()]
    click.echo(f"{' and '.join(named) or 'defaults'}: good; {count} goals")


@main.command()
@click.option("--seed", type=int, help="Run this one.")
@click.option("--seeds", default="0:100", help="FROM:COUNT, where no single seed is named.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="Processes.")
@click.option("--trace", is_flag=True, help="Print every event of the one seed.")
def simulate(seed: int | None, seeds: str, jobs: int, *, trace: bool) -> None:
    """Run the worker's own code on a simulated Kafka, network and clock, under seeded faults.

    Exits 1 where the auditor finds a breach; the same seed finds it again.
    """
    from stream.sim import seeds as simulation  # noqa: PLC0415 - nobody else's cost

    try:
        chosen = simulation.parse_seeds(seeds) if seed is None else range(seed, seed + 1)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--seeds") from error
    sys.exit(simulation.simulate(chosen, jobs, echo=trace and seed is not None))


@main.command()
def kpis() -> None:
    """List the KPI catalogue."""
    for kpi in CATALOGUE.values():
        better = {"up": "higher is better", "down": "lower is better", "none": "no direction"}
        click.echo(f"{click.style(kpi.name, bold=True)} [{kpi.unit}, {better[kpi.direction]}]")
        click.echo(f"  for:     {', '.join(s for s in SCOPE_KINDS if s in kpi.scopes)}")
        click.echo(f"  formula: {kpi.formula}")
        click.echo(f"  purpose: {kpi.purpose}")
        click.echo(f"  missed:  {kpi.when_missed}")
        click.echo(f"  source:  {kpi.source}")


for _command in (compute, dead_letters, replay, tail):
    main.add_command(_command)
