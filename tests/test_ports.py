"""Ports for what tests start."""

from __future__ import annotations

import socket

import pytest

from tests import ports


@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_process_of_a_test_run_finds_anothers_port(count: int) -> None:
    """Each has a share of its own: a port is found some time before somebody listens on it."""
    names = {"PYTEST_XDIST_WORKER_COUNT": str(count)}
    shares = [ports.share({**names, "PYTEST_XDIST_WORKER": f"gw{n}"}) for n in range(count)]
    assert len(set().union(*shares)) == sum(map(len, shares))
    assert all(len(found) >= 4_000 for found in shares)


def test_ports_are_free_and_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that somebody listens on is passed over."""
    with socket.socket() as taken:
        taken.bind((ports.HOST, ports.free_port()))
        taken.listen()
        number = taken.getsockname()[1]
        monkeypatch.setattr(ports, "share", lambda _: range(number, number + 8))
        first, second = ports.free_ports(2)
    assert (second - first, first > number) == (1, True)
