"""Many seeds: run in processes, summed up, and printed."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import click

from stream.sim.world import Outcome, run_seed

_CHUNK: Final = 8


@dataclass(slots=True)
class Summary:
    """What came of many seeds."""

    seeds: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Coverage first, then what failed."""
        for what, number in sorted(self.counts.items()):
            yield f"{number:10,}  {what}"
        per_s = self.seeds / self.seconds if self.seconds else 0.0
        yield f"{self.seeds} seeds in {self.seconds:.1f} s ({per_s:.0f} a second)"
        for outcome in self.failed:
            yield f"seed {outcome.seed}: {outcome.breaches[0]}"
            yield f"  again: kpi-stream simulate --seed {outcome.seed}"


def parse_seeds(text: str) -> range:
    """The seeds in `FROM:COUNT`.

    Raises:
        ValueError: if it is something else.
    """
    start, colon, count = text.partition(":")
    if not (colon and start.isdigit() and count.isdigit()):
        raise ValueError(f"{text!r}: expected FROM:COUNT, such as 0:2000")
    return range(int(start), int(start) + int(count))


def run_all(seeds: Sequence[int], jobs: int) -> Summary:
    """Runs every seed, whatever becomes of one."""
    summary, began = Summary(), time.monotonic()
    for outcome in _outcomes(seeds, jobs):
        summary.seeds += 1
        summary.counts += outcome.counts
        if outcome.breaches:
            summary.failed.append(outcome)
    summary.failed.sort(key=lambda outcome: outcome.seed)
    summary.seconds = time.monotonic() - began
    return summary


def simulate(seeds: Sequence[int], jobs: int, *, echo: bool = False) -> int:
    """Runs seeds and prints what came of them; one seed in full where it fails."""
    if len(seeds) > 1:
        summary = run_all(seeds, jobs)
        for line in summary.lines():
            click.echo(line)
        return 1 if summary.failed else 0
    outcome = run_seed(seeds[0], echo=echo)
    if outcome.breaches and not echo:
        for line in outcome.tail:
            click.echo(line)
    for what, number in sorted(outcome.counts.items()):
        click.echo(f"{number:10,}  {what}")
    click.echo(f"seed {outcome.seed}: trace {outcome.digest}")
    for breach in outcome.breaches:
        click.echo(f"seed {outcome.seed}: {breach}")
    return 1 if outcome.breaches else 0


def _outcomes(seeds: Sequence[int], jobs: int) -> Iterator[Outcome]:
    if jobs == 1:
        yield from map(run_seed, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(run_seed, seeds, chunksize=_CHUNK)
