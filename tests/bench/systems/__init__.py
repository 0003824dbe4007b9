"""The systems that are compared, in the order in which they take turns; ours is the first."""

from __future__ import annotations

from typing import Final

from tests.bench.systems.bare import Bare
from tests.bench.systems.base import System
from tests.bench.systems.bytewax import Bytewax
from tests.bench.systems.faust_manual import FaustManual
from tests.bench.systems.kafka_streams import KafkaStreams
from tests.bench.systems.kpi_stream import KpiStream
from tests.bench.systems.quix_streams import QuixStreams

SYSTEMS: Final[tuple[type[System], ...]] = (
    KpiStream,
    Bare,
    KafkaStreams,
    QuixStreams,
    Bytewax,
    FaustManual,
)
