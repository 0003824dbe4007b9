"""The shipped settings, goals and boards load, and name what exists."""

from __future__ import annotations

from stream.config import load_settings
from stream.goalfile import load_goals
from tests.deploy.exporter import DEPLOY

# ---------------------------------------------------------------- settings and goals


def test_settings_load() -> None:
    """The example settings are valid."""
    settings = load_settings(DEPLOY)
    assert settings.partitions == 4
    assert settings.security.protocol == "PLAINTEXT"


def test_goals_load_and_can_be_shown() -> None:
    """The example goals are valid, say what to do, and lie in scopes and windows that are shown."""
    settings = load_settings(DEPLOY)
    goals, leads = load_goals(DEPLOY / "goals.yaml", settings.windows)
    shown = settings.metrics.show
    assert 4 <= len(goals) <= 6
    assert set(leads) == set(settings.queue_teams().values())
    for goal in goals:
        assert goal.purpose
        assert goal.what_to_do != goal.kpi.when_missed
        assert goal.window in shown.windows
        assert goal.scope in shown.scopes


def test_overrides_name_teams_that_exist() -> None:
    """An override for a team nobody is in would be a typo."""
    settings = load_settings(DEPLOY)
    goals, _ = load_goals(DEPLOY / "goals.yaml", settings.windows)
    assert {team for goal in goals for team in goal.by_team} <= set(settings.queue_teams().values())
