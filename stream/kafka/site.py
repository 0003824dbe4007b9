"""What all partitions of a worker share."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from stream.config import Settings
from stream.core.rules import Rules
from stream.kafka.clients import Clients
from stream.kafka.telemetry import Telemetry
from stream.kafka.topology import Topology


def _random_name() -> str:
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Site:
    """Settings, topics, rules, team leads, metrics, and what makes clients of our own.

    `new_name` names the writer of a stage's flushes, as nobody was ever named before.
    """

    settings: Settings
    topology: Topology
    rules: Rules
    leads: Mapping[str, str]
    telemetry: Telemetry
    clients: Clients
    new_name: Callable[[], str] = _random_name

    @property
    def rollup_rules(self) -> Rules:
        """What scopes that lie on several partitions are run by."""
        return replace(self.rules, kinds=self.rules.shared_kinds, shared_kinds=())
