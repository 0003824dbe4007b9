"""What topics are created with, and what is said of those that are there."""

from __future__ import annotations

import pytest

from stream.config import Settings
from stream.kafka.topicconfig import kept_too_long, lost_state, wanted_configs

DAY_MS = 86_400_000


@pytest.mark.parametrize(("retention", "segment"), [(14 * DAY_MS, DAY_MS), (60_000, 60_000)])
def test_dead_letters_are_kept_for_so_long(retention: int, segment: int) -> None:
    """And in segments of a day at most, since only whole ones are deleted."""
    settings = Settings.model_validate({}).model_copy(update={"dead_letter_retention": retention})
    config = wanted_configs(settings, with_rollups=True)[settings.topics.dead_letters]
    assert config["retention.ms"] == str(retention)
    assert config["segment.ms"] == str(segment)
    assert "cleanup.policy" not in config


@pytest.mark.parametrize(
    ("found", "is_said"),
    [("-1", True), (str(DAY_MS + 1), True), (str(DAY_MS), False), ("0", False), (None, False)],
)
def test_letters_that_are_kept_for_longer_are_said(found: str | None, is_said: bool) -> None:
    """For ever, above all; nothing is said where the broker does not tell."""
    config = {} if found is None else {"retention.ms": found}
    said = kept_too_long("letters", config, DAY_MS)
    assert (said is not None) is is_said
    if said is not None:
        assert f"retention.ms={found}" in said


@pytest.mark.parametrize(
    ("policy", "is_lost"),
    [("delete", True), ("compact,delete", True), ("compact", False), (None, False)],
)
def test_state_that_is_deleted_with_age_is_lost(policy: str | None, is_lost: bool) -> None:
    """Whatever else is done to it."""
    config = {} if policy is None else {"cleanup.policy": policy}
    assert (lost_state("rows", config) is not None) is is_lost
