"""Searches for bytes that break a target, guided by coverage: `python -m tests.fuzz [target …]`.

libFuzzer, which atheris drives, ends its process itself, so that each target has one of its own.
What breaks a target is left in `build/fuzz/`, and named.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import atheris
import click

MEMORY_MB: Final = 2_048
SLOW_S: Final = 20
INPUT_BYTES_MAX: Final = 4_096
SAID_LINES: Final = 60
FOUND: Final = Path("build/fuzz")


@click.command()
@click.argument("names", nargs=-1, metavar="[TARGET]...")
@click.option("--seconds", default=60, show_default=True, help="How long to search each target.")
@click.option("--here", type=click.Path(path_type=Path), hidden=True, help="In this process.")
def main(names: tuple[str, ...], seconds: int, here: Path | None) -> None:
    """Searches TARGETs, or all of them; fails if any of them breaks."""
    if here is not None:
        search(names[0], seconds, here)
    known = importlib.import_module("tests.fuzz.targets").TARGETS
    if unknown := set(names) - set(known):
        raise click.UsageError(f"no such target: {', '.join(sorted(unknown))}")
    chosen = names or tuple(known)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        held = pool.map(lambda name: holds(name, seconds), chosen)
        broken = [name for name, whole in zip(chosen, held, strict=True) if not whole]
    if broken:
        raise click.ClickException(f"broken: {', '.join(broken)}; see {FOUND}")


def holds(name: str, seconds: int) -> bool:
    """Searches one target in a process of its own, and tells what came of it."""
    FOUND.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(seconds)]
        done = subprocess.run(
            [*command, "--here", folder], check=False, capture_output=True, text=True
        )
    said = (done.stdout + done.stderr).splitlines()
    if done.returncode == 0:
        said = [line for line in said if line.startswith("Done ")]
    click.echo("\n".join(f"{name}: {line}" for line in said[-SAID_LINES:]))
    return done.returncode == 0


def search(name: str, seconds: int, folder: Path) -> None:
    """Never returns: libFuzzer ends the process, with 0 where nothing broke."""
    with atheris.instrument_imports(include=["stream", "yaml"]):
        targets: Any = importlib.import_module("tests.fuzz.targets")
    corpus = folder / "corpus"
    corpus.mkdir()
    options = {
        "max_total_time": seconds,
        "max_len": INPUT_BYTES_MAX,
        "timeout": SLOW_S,
        "rss_limit_mb": MEMORY_MB,
        "artifact_prefix": f"{FOUND}/{name}-",
    }
    arguments = [f"-{option}={value}" for option, value in options.items()]
    corpora = [str(corpus), str(targets.SEEDS / name)]
    target = targets.TARGETS[name]
    atheris.Setup([sys.argv[0], *arguments, *corpora], lambda raw: target(raw, folder))
    atheris.Fuzz()


main()
