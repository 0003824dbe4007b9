"""The limit: aiokafka and msgspec alone; the program is `apps/bare.py`."""

from __future__ import annotations

import sys

from tests.bench.systems.base import Peer


class Bare(Peer):
    """Fetches and decodes, and computes nothing."""

    name = "bare"
    label = "the limit: aiokafka + decode alone"

    def command(self) -> list[str]:
        """In the worker's own environment."""
        return [sys.executable, "-m", "tests.bench.apps.bare"]
