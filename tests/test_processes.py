"""What each of several workers under one command has of its own."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from stream import processes
from stream.config import Settings, load_settings
from stream.kafka.topology import Topology, topology_of
from stream.processes import check_ports, slots_of, supervise
from stream.worker import STOP_DEADLINE_S
from stream.yamlfile import Faults


def settings(**fields: Any) -> Settings:
    """Settings with these fields."""
    return load_settings(None, **fields)


def places(slots: tuple[Settings, ...]) -> list[tuple[str | None, int]]:
    """Each one's instance and metrics port."""
    return [(slot.instance, slot.metrics.port) for slot in slots]


def test_each_has_a_name_and_a_port_and_shares_the_rest() -> None:
    """The same whenever it is asked, so a worker that is started again is the one it was."""
    shared = settings(instance="w", metrics={"port": 9_500, "host": "::1"}, windows=["15m"])
    slots = slots_of(shared, 3)
    assert places(slots) == [("w-0", 9_500), ("w-1", 9_501), ("w-2", 9_502)]
    assert slots == slots_of(shared, 3)
    for slot in slots:
        own = {"instance": slot.instance, "metrics": slot.metrics}
        assert slot == shared.model_copy(update=own)
        assert slot.metrics == shared.metrics.model_copy(update={"port": slot.metrics.port})


def test_without_an_instance_the_host_gives_the_name() -> None:
    """Kafka has to know who comes back, and two machines must not be taken for one."""
    name = socket.gethostname()
    assert places(slots_of(settings(), 2)) == [(f"{name}-0", 9_464), (f"{name}-1", 9_465)]


def test_port_0_is_a_free_one_for_each() -> None:
    """Not 0, 1 and 2."""
    assert {port for _, port in places(slots_of(settings(metrics={"port": 0}), 3))} == {0}


def test_ports_that_do_not_exist_are_refused() -> None:
    """The last port is the highest there is; the fault names the setting."""
    assert places(slots_of(settings(metrics={"port": 65_534}), 2))[1][1] == 65_535
    with pytest.raises(Faults) as refusal:
        slots_of(settings(metrics={"port": 65_534}), 3)
    assert refusal.value.faults == [
        "setting 'metrics.port': 65534 is too high for 3 processes with a port each"
    ]


def test_every_port_that_is_taken_is_named() -> None:
    """With the worker whose it would be, before one of them is started."""
    with socket.socket() as first, socket.socket() as third:
        first.bind(("127.0.0.1", 0))
        first.listen()
        third.bind(("127.0.0.1", 0))
        third.listen()
        taken = [one.getsockname()[1] for one in (first, third)]
        slots = slots_of(settings(instance="w", metrics={"port": 0}), 3)
        moved = [
            slot.model_copy(update={"metrics": slot.metrics.model_copy(update={"port": port})})
            for slot, port in zip(slots, (taken[0], 0, taken[1]), strict=True)
        ]
        with pytest.raises(Faults) as refusal:
            check_ports(tuple(moved))
    cause = "[Errno 98] Address already in use"
    assert refusal.value.faults == [
        f"w-0: setting 'metrics.port': 127.0.0.1:{taken[0]} cannot be used: {cause}",
        f"w-2: setting 'metrics.port': 127.0.0.1:{taken[1]} cannot be used: {cause}",
    ]


@pytest.mark.parametrize(("count", "said"), [(2, ""), (5, "5 processes for 2 partitions: 3 stay")])
def test_processes_that_will_have_no_partition_are_told(
    count: int, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By the partitions that the topics have, whatever the settings say; they are started.

    The command is what was typed, once more, and its exit code is passed on.
    """
    started: list[tuple[Sequence[str], Sequence[str]]] = []

    async def prepared(shared: Settings) -> Topology:
        return topology_of(shared, 2)

    class Supervisor:
        """Notes what it would run."""

        def __init__(
            self, command: Sequence[str], names: Sequence[str], *, deadline_s: float
        ) -> None:
            assert deadline_s > STOP_DEADLINE_S, "a worker's own deadline comes first"
            started.append((command, names))

        async def run(self) -> int:
            """Ends at once."""
            return 7

    monkeypatch.setattr(processes, "prepare", prepared)
    monkeypatch.setattr(processes, "Supervisor", Supervisor)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-P", "kpi-stream", "worker"])
    assert supervise(settings(instance="w", partitions=9, metrics={"port": 0}), count) == 7
    command = [sys.executable, "-P", "kpi-stream", "worker"]
    assert started == [(command, [f"w-{number}" for number in range(count)])]
    assert said in caplog.text
    assert bool(said) == bool(caplog.text)
