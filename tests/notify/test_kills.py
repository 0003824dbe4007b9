"""The notifier, killed at random moments, on a real Kafka and a real Alertmanager: a short run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Tell
from tests.notify.kills import run
from tests.notify.receivers import Webhook

KILLS = 6


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("alertmanager_runs")
def test_killed_at_any_moment_nothing_is_lost_and_little_is_repeated(
    site: dict[str, Any], webhook: Webhook, tmp_path: Path, tell: Tell
) -> None:
    """Alerts lost 0; at most one repeat per kill, either way; of an unchanged group none."""
    seed = 6
    with Webhook() as leads:
        verdict = run(tmp_path, site, webhook, leads, kills=KILLS, seed=seed)
    tell(verdict.line(seed))
    assert verdict.lost == []
    assert sum(verdict.repeats_to_leads.values()) <= KILLS
    assert verdict.repeats_by_alertmanager <= KILLS
    assert verdict.unchanged_by_alertmanager == 0
