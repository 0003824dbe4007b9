"""The systems that are compared, in the order in which they take turns; ours is the first."""

from __future__ import annotations

from typing import Final

from tests.bench.systems.base import System
from tests.bench.systems.faust_manual import FaustManual
from tests.bench.systems.kpi_stream import KpiStream

SYSTEMS: Final[tuple[type[System], ...]] = (KpiStream, FaustManual)
