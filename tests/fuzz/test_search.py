"""The search that coverage guides, in its short form: `make fuzz` goes on for longer."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

SECONDS: Final = "1"
REPO: Final = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    find_spec("atheris") is None, reason="atheris has no wheel for this machine"
)


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the search to its end."""
    command = [sys.executable, "-m", "tests.fuzz", *arguments]
    return subprocess.run(command, cwd=REPO, check=False, capture_output=True, text=True)


def test_a_second_of_searching_breaks_no_reader() -> None:
    """Decoder, settings and goals; that it really ran is seen from its counts."""
    names = {"events", "settings", "goals"}
    done = fuzz(*names, "--seconds", SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [line.split() for line in done.stdout.splitlines()]
    assert {(name, done) for name, done, *_ in counts} == {(f"{n}:", "Done") for n in names}


def test_an_unknown_target_is_an_error() -> None:
    """A misspelt name must not pass for a search that found nothing."""
    done = fuzz("evnts")
    assert (done.returncode, "no such target: evnts" in done.stderr) == (2, True)
