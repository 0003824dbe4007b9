"""Alerts on a real Kafka: each change once, over restarts in the middle of everything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from stream.adapters import timed
from stream.config import load_settings
from stream.core.alerts import alert_id
from stream.core.events import Event, Interaction, Survey
from stream.replay import replay
from tests.kafka.live import WorkerProcess, read_topic, wait_until, written_settings
from tests.kafka_broker.broker import KafkaBroker

NOON_MS = 1_710_504_000_000
MINUTE_MS = 60_000
ANNOUNCED_S = 40.0

AHT = {
    "name": "aht",
    "purpose": "Calls take no longer than planned.",
    "kpi": "handle_time",
    "window": "15m",
    "target": "<= 5m",
    "clear": "<= 4m",
    "for": "2m",
    "min_samples": 3,
    "what_to_do": "Listen to two calls together.",
}
CSAT = {
    "name": "csat-floor",
    "purpose": "Customers leave content.",
    "kpi": "csat",
    "window": "1h",
    "target": ">= 80%",
    "evidence": 0.9,
    "severity": "critical",
}
GONE = {**AHT, "name": "gone", "scope": "queue", "window": "1h", "for": "0s"}
LEADS = {"red": "lead@example.org"}


def calls(agent: str, count: int, minutes: float, at_ms: int, **fields: Any) -> list[Event]:
    """Calls of an agent of team red, each of so many minutes, ended at one instant."""
    return [
        Interaction(
            event_id=f"{agent}-{at_ms}-{n}",
            interaction_id="i",
            ended_at=at_ms,
            outcome="handled",
            agent_id=agent,
            team_id="red",
            talk_ms=round(minutes * MINUTE_MS),
            **fields,
        )
        for n in range(count)
    ]


def surveys(agent: str, scores: Sequence[int], at_ms: int) -> list[Event]:
    """An agent's surveys with these scores."""
    return [
        Survey(event_id=f"{agent}-{n}", answered_at=at_ms, agent_id=agent, csat=score)
        for n, score in enumerate(scores)
    ]


class Office:
    """A worker in replay time, and the alerts that it has announced."""

    def __init__(self, worker: WorkerProcess, settings: dict[str, Any], bootstrap: str) -> None:
        self.worker = worker
        self._topic = settings["topics"]["alerts"]
        self._bootstrap = bootstrap

    def pass_time(self, events: Sequence[Event], now_ms: int) -> None:
        """Sends events, then moves the clock to `now_ms` at once."""
        sent = sorted((timed(event) for event in events), key=lambda event: event.at_ms)
        asyncio.run(replay(load_settings(self.worker.folder), sent, until_ms=now_ms))

    def announced(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """The transitions so far, by goal and id, in their order."""
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for record in read_topic(self._bootstrap, self._topic):
            alert = orjson.loads(record.value or b"")
            found.setdefault((alert["goal"], alert["id"]), []).append(alert)
        return found

    def wait_for(self, expected: dict[tuple[str, str], list[str]]) -> None:
        """Until exactly these states were announced; fails with those that were."""

        def states() -> dict[tuple[str, str], list[str]]:
            return {key: [a["state"] for a in found] for key, found in self.announced().items()}

        try:
            wait_until(lambda: states() == expected, ANNOUNCED_S, "announcements")
        except TimeoutError:
            assert states() == expected

    def set_goals(self, *goals: dict[str, Any]) -> None:
        """Writes the goals that the next start reads."""
        text = yaml.safe_dump({"goals": list(goals), "leads": LEADS})
        (self.worker.folder / "goals.yaml").write_text(text)

    def restart(self) -> None:
        """Starts it again and waits until it has caught up."""
        self.worker.start()
        self.worker.wait_ready(1)


@pytest.mark.timeout(150)
def test_alerts_live_their_lives_over_restarts(
    kafka: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    """Pending, firing, resolved; no data; unproven; a removed goal: each said once, none lost."""
    settings = written_settings(
        kafka.bootstrap,
        topic_prefix,
        time="replay",
        partitions=1,
        windows=["15m", "1h"],
        instance=f"{topic_prefix}w",
    )
    before = NOON_MS - 1
    with WorkerProcess(tmp_path / "w", settings) as worker:
        office = Office(worker, settings, kafka.bootstrap)
        office.set_goals(AHT, CSAT, GONE)
        worker.wait_ready(1)
        events = [
            *calls("recovers", 3, 10, before),
            *calls("leaves", 3, 10, before),
            *calls("few", 2, 10, before),
            *surveys("unlucky", [5, 5, 1], before),
            *surveys("misses", [1] * 12, before),
            *calls("fast", 3, 1, before, queue="slow"),
            *calls("leaves", 3, 30, before - 1, queue="slow"),
        ]
        office.pass_time(events, NOON_MS)
        told = {
            ("aht", "recovers"): ["pending"],
            ("aht", "leaves"): ["pending"],
            ("csat-floor", "misses"): ["firing"],
            ("gone", "slow"): ["firing"],
        }
        office.wait_for(told)

        worker.kill()
        office.restart()
        office.pass_time([], NOON_MS + 3 * MINUTE_MS)
        told["aht", "recovers"].append("firing")
        told["aht", "leaves"].append("firing")
        office.wait_for(told)

        assert worker.stop() == 0
        office.set_goals(AHT, CSAT)
        office.restart()
        told["gone", "slow"].append("withdrawn")
        office.wait_for(told)

        nearly = calls("recovers", 7, 1.5, NOON_MS + 3 * MINUTE_MS)  # 4 min 3 s: not yet clear
        office.pass_time(nearly, NOON_MS + 4 * MINUTE_MS)
        worker.kill()
        office.restart()
        office.pass_time(
            calls("recovers", 3, 1.5, NOON_MS + 4 * MINUTE_MS), NOON_MS + 5 * MINUTE_MS
        )
        told["aht", "recovers"].append("resolved")
        office.wait_for(told)

        office.pass_time([], NOON_MS + 15 * MINUTE_MS)
        told["aht", "leaves"].append("ended_no_data")
        office.wait_for(told)
        assert worker.stop() == 0
        office.wait_for(told)
        check_contents(office.announced())


def check_contents(found: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    """Ids follow from what the alert is about; each transition says all that its reader needs."""
    for (goal, name), transitions in found.items():
        scope, window = ("queue" if goal == "gone" else "agent"), transitions[0]["window"]
        assert {a["alert_id"] for a in transitions} == {
            alert_id(goal, scope, name, window, NOON_MS)
        }
        assert {a["since"] for a in transitions} == {"2024-03-15T12:00:00.000Z"}
    pending, firing, resolved = found["aht", "recovers"]
    assert (pending["reason"], pending["fired_at"]) == ("goal_missed", None)
    assert (firing["reason"], firing["value"], firing["samples"]) == ("missed_long_enough", 600, 3)
    assert firing["at"] == firing["fired_at"] == resolved["fired_at"]
    assert firing["at"] == "2024-03-15T12:03:00.000Z"
    assert (resolved["reason"], resolved["verdict"]) == ("cleared", "met")
    assert resolved["value"] == pytest.approx((3 * 600 + 10 * 90) / 13)
    expected: dict[str, object] = {
        "target": "<= 300",
        "severity": "warning",
        "team": "red",
        "lead": LEADS["red"],
    }
    expected |= {"purpose": AHT["purpose"], "what_to_do": AHT["what_to_do"], "kpi": "handle_time"}
    for transition in (pending, firing, resolved):
        assert expected.items() <= transition.items()
    (unhappy,) = found["csat-floor", "misses"]
    assert (unhappy["severity"], unhappy["value"], unhappy["samples"]) == ("critical", 0.0, 12)
    assert found["aht", "leaves"][-1]["reason"] == "window_empty"
    assert found["aht", "leaves"][-1]["verdict"] == "no_data"
    assert found["gone", "slow"][-1]["reason"] == "goal_removed"
