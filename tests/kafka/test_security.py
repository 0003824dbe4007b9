"""A broker that demands a name and a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kafka.live import WorkerProcess, free_port, written_settings
from tests.kafka_broker.broker import HOST, KafkaBroker

PASSWORD = "b5-not-for-logs"  # noqa: S105 - the test's own broker's


def demanding_broker() -> tuple[KafkaBroker, str]:
    """A broker, not started, with a listener that wants SASL; and that listener's address."""
    broker = KafkaBroker()
    plain, controller = broker._ports
    address = f"{HOST}:{free_port()}"
    listeners = f"PLAINTEXT://{HOST}:{plain},SASL_PLAINTEXT://{address}"
    protocols = "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"
    login = "org.apache.kafka.common.security.plain.PlainLoginModule"
    broker._config = {
        "listeners": f"{listeners},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"{listeners},CONTROLLER://{HOST}:{controller}",
        "listener.security.protocol.map": protocols,
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
            f'{login} required user_kpi="{PASSWORD}";'
        ),
    }
    return broker, address


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("kafka_runs")
def test_name_and_password_reach_kafka_from_every_client(tmp_path: Path) -> None:
    """Admin, consumer, producers and recovery log in; nothing says the password."""
    broker, address = demanding_broker()
    settings = written_settings(
        address,
        "sasl-",
        partitions=2,
        security={"protocol": "SASL_PLAINTEXT", "username": "kpi", "password": PASSWORD},
    )
    with broker, WorkerProcess(tmp_path / "w", settings) as worker:
        worker.wait_ready(2)
        assert PASSWORD not in worker.metrics()
        assert worker.stop() == 0
        assert PASSWORD not in worker.log.read_text()
