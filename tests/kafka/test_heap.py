"""Memory that is given back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Blocks of which some are kept: without a trim all that they once took stays with the process.
_SCRIPT = """
import os
from pathlib import Path
from stream.kafka.heap import trim_heap

def held_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

before = held_mb()
blocks = [bytes(10_000) for _ in range(5_000)]
kept = blocks[::100]
del blocks
print(held_mb() - before > 30, trim_heap(), held_mb() - before < 15)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can")
def test_what_is_free_between_what_is_kept_is_given_back() -> None:
    """In a process of its own, whose heap nobody else uses."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "True", "True"]
