"""Quix Streams, one application; the program is `apps/quixstreams.py`."""

from __future__ import annotations

from tests.bench.systems.python_peer import PythonPeer


class QuixStreams(PythonPeer):
    """Its state in RocksDB."""

    name = "quix-streams"
    label = "Quix Streams"
    measured_s = 15.0
    package = "quixstreams"
