"""Prometheus's own programs, where they are to be had."""

from __future__ import annotations

import pytest

from tests.deploy.prometheus import PROGRAMS, program
from tests.fetched import why_unavailable


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus's checker; skips where there is none."""
    if reason := why_unavailable(program, *PROGRAMS):
        pytest.skip(reason)
    return program("promtool")
