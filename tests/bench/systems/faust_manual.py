"""Faust as its manual shows it; the program is `apps/faust_manual.py`."""

from __future__ import annotations

import sys

from tests.bench.systems.base import Peer


class FaustManual(Peer):
    """`faust worker` with one hopping table, without its web server, which nobody asks.

    It would take minutes for a topic that the worker reads in seconds, so it is measured for a
    fixed time of steady work and then ended.
    """

    name = "faust-manual"
    label = "Faust as its manual shows it"
    measured_s = 10.0

    def command(self) -> list[str]:
        """Faust's own command line."""
        module = "tests.bench.apps.faust_manual"
        return [sys.executable, "-m", module, "worker", "-l", "warn", "--without-web"]
