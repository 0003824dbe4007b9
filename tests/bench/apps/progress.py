"""What every Python peer tells the benchmark: how far it is, and in the end its sums."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

Sums = tuple[int, int, int, int]
"""Handle time in ms, contacts handled, resolved, contacts that said whether they were."""

BROKER = os.environ["BENCH_BROKER"]
TOPIC = os.environ["BENCH_TOPIC"]
APP = os.environ["BENCH_APP"]
PARTITIONS = int(os.environ["BENCH_PARTITIONS"])
DATA = Path(os.environ["BENCH_DATA"])
WANTS_SUMS = "BENCH_SUMS" in os.environ

_TELL_S = 0.1


class Progress:
    """`events` goes up by the peer's own hand; a thread writes it down ten times a second."""

    def __init__(self) -> None:
        self.events = 0
        threading.Thread(target=self._tell, daemon=True).start()

    def _tell(self) -> None:
        file = Path(os.environ["BENCH_COUNTED"])
        while True:
            file.write_text(f"{self.events}\n")
            time.sleep(_TELL_S)


def tell_sums(cells: Iterable[tuple[str, int, Sums]]) -> None:
    """Writes agent, window start in seconds and sums of every window; only where it is asked."""
    if WANTS_SUMS:
        found = {f"{agent} {start_s}": list(sums) for agent, start_s, sums in cells}
        file = Path(os.environ["BENCH_SUMS"])
        part = file.with_suffix(".part")
        part.write_text(json.dumps(found))
        part.rename(file)
