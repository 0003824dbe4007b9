"""The `kpis` topic as a consumer holds it, and how it is compared with SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from tests.kafka.live import Seen
from tests.oracle.sql import Expected

RATIO_TOLERANCE: Final = 1e-12


def instant_ms(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 instant."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


class Board:
    """The `kpis` topic as a consumer holds it: the last reading of each key, and all of them."""

    def __init__(self) -> None:
        self.latest: dict[str, dict[str, Any]] = {}
        self.all: list[dict[str, Any]] = []

    def take(self, records: Iterable[Seen]) -> None:
        """Takes in records in their order."""
        for record in records:
            key = (record.key or b"").decode()
            if record.value is None:
                self.latest.pop(key, None)
            else:
                reading = orjson.loads(record.value)
                assert key == f"{reading['scope']}/{reading['id']}/{reading['window']}"
                reading["as_of_ms"] = instant_ms(reading["as_of"])
                reading["has_samples"] = has_samples(reading)
                self.latest[key] = reading
                self.all.append(reading)

    def of(self, scope: str, as_of_ms: int) -> dict[tuple[str, str], dict[str, Any]]:
        """The readings of a scope as of an instant, those of empty windows left out."""
        return {
            (r["id"], r["window"]): r["kpis"]
            for r in self.latest.values()
            if r["as_of_ms"] == as_of_ms and r["scope"] == scope and r["has_samples"]
        }


def has_samples(reading: Mapping[str, Any]) -> bool:
    """Whether anything stands behind a reading."""
    return any(figure["samples"] for figure in reading["kpis"].values())


def with_samples(expected: Expected) -> Expected:
    """What SQL gives, without those who have events in a window but nothing that counts."""
    return {
        key: figures
        for key, figures in expected.items()
        if any(samples for _, samples in figures.values())
    }


def differences(
    expected: Mapping[str, tuple[float | None, int]], found: Mapping[str, Any]
) -> list[str]:
    """The KPIs that differ: samples exactly, counts exactly, ratios to 1e-12."""
    wrong = []
    for name, (value, samples) in expected.items():
        figure = found[name]
        same = (value is None) == (figure["value"] is None) and samples == figure["samples"]
        if same and value is not None:
            same = abs(figure["value"] - value) <= RATIO_TOLERANCE * max(1.0, abs(value))
        if not same:
            wrong.append(f"{name}: expected {value} ({samples}), found {figure}")
    return wrong
