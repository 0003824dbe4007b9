"""What a worker with the shipped settings and goals shows, and a notifier, without Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream.config import load_settings
from stream.core.engine import Engine
from stream.goalfile import load_goals
from stream.kafka.telemetry import Telemetry
from stream.notify.roster import Entry, Roster
from stream.notify.telemetry import RosterInfo
from stream.notify.telemetry import Telemetry as NotifierTelemetry
from stream.serve.exposition import Exposition
from stream.worker import rules_of
from tests.core.build import from_mapping

TOP: Final = Path(__file__).parents[2]
DEPLOY: Final = TOP / "deploy"
NOW_MS: Final = 1_772_442_000_500  # 2026-03-02T09:00:00.5Z
TEAM: Final = "billing"


def owned() -> dict[str, set[str]]:
    """The labels of the worker's own gauges: they have no sample until a partition is owned."""
    gauges = [m for m in vars(Telemetry(CollectorRegistry())).values() if isinstance(m, Gauge)]
    return {gauge._name: set(gauge._labelnames) for gauge in gauges}


def engine(satisfied: int) -> Engine:
    """One partition under the shipped settings and goals, after 40 of the team's contacts.

    Of ten answers, `satisfied` are good ones.
    """
    settings = load_settings(DEPLOY)
    goals, _ = load_goals(DEPLOY / "goals.yaml", settings.windows)
    partition = Engine(rules_of(settings, goals, 1))
    partition.begin_judging()
    events = []
    for n in range(40):
        at = {"agent_id": f"a-{n % 4}", "team_id": TEAM, "queue": "invoices", "site_id": "north"}
        work = {"talk_ms": 300_000, "wait_ms": 9_000, "outcome": "handled"}
        names = {"event_id": f"e{n}", "interaction_id": f"i{n}", "ended_at": NOW_MS - n * 60_000}
        events.append(from_mapping({"type": "interaction", **names, **at, **work}))
        answer = {"csat": 5 if n % 10 < satisfied else 1, "answered_at": NOW_MS - n * 60_000}
        events.append(from_mapping({"type": "survey", "event_id": f"s{n}", **at, **answer}))
    partition.tick(NOW_MS - 3_600_000)
    for now_ms in range(NOW_MS, NOW_MS + 900_000, 60_000):
        partition.apply(events)
        partition.tick(now_ms)
    return partition


def metrics(partition: Engine) -> str:
    """What `/metrics` says of one partition, with the worker's own."""
    registry = CollectorRegistry()
    Telemetry(registry)
    shown = load_settings(DEPLOY).metrics.show
    return b"".join([*Exposition(shown).render([partition]), generate_latest(registry)]).decode()


def notifier() -> str:
    """What `/metrics` of `kpi-stream notify` says, with a receiver and an agent in the roster."""
    registry = CollectorRegistry()
    NotifierTelemetry(registry, ["lead"])
    registry.register(RosterInfo(lambda: Roster({"a-1": Entry(name="Mika")})))
    return generate_latest(registry).decode()


def labels_by_metric(text: str) -> dict[str, set[str]]:
    """The labels that each metric's samples have."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found
