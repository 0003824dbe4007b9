"""Prometheus's own programs, where they are to be had."""

from __future__ import annotations

import pytest

from tests.deploy.prometheus import program, why_unavailable


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus's checker; skips where there is none."""
    if reason := why_unavailable():
        pytest.skip(reason)
    return program("promtool")
