"""Bytewax, one worker; the program is `apps/bytewax.py`."""

from __future__ import annotations

from tests.bench.systems.python_peer import PythonPeer


class Bytewax(PythonPeer):
    """Its state in memory, its recovery in SQLite."""

    name = "bytewax"
    label = "Bytewax"
    measured_s = 15.0
    package = "bytewax"
