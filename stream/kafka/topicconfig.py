"""How topics are configured: the ones that we create, and what is wrong with those that we find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stream.config import Settings
from stream.core.windows import DAY_MINUTES, MINUTE_MS

RECORD_BYTES_MAX: Final = 8 * 1024 * 1024
COMPACTED: Final = {"cleanup.policy": "compact"}
# What is passed on, a record of the greatest size with headers of ours, still has to fit.
_LARGE_RECORDS: Final = {"max.message.bytes": str(RECORD_BYTES_MAX)}


def wanted_configs(settings: Settings, *, with_rollups: bool) -> dict[str, dict[str, str]]:
    """Every topic with the configuration it is created with."""
    topics = settings.topics
    rollups = {settings.rollups: COMPACTED, settings.rollups_changelog: COMPACTED}
    return {
        **(rollups if with_rollups else {}),
        topics.interactions: {},
        topics.surveys: {},
        topics.agent_facts: _LARGE_RECORDS,
        settings.changelog: COMPACTED,
        topics.kpis: COMPACTED,
        topics.alerts: {},
        topics.dead_letters: {**_LARGE_RECORDS, **_kept_for(settings.dead_letter_retention)},
    }


def lost_state(topic: str, found: Mapping[str, str]) -> str | None:
    """Why a topic cannot hold state: what is deleted with age is not there when it is needed."""
    policy = found.get("cleanup.policy", "compact")
    if "delete" not in policy:
        return None
    return (
        f"topic {topic!r} has cleanup.policy={policy}, which would delete state that is still "
        "needed; make it 'compact'"
    )


def kept_too_long(topic: str, found: Mapping[str, str], longest_ms: int) -> str | None:
    """Whether what customers wrote lies about for longer than the settings say."""
    kept_ms = int(found.get("retention.ms", longest_ms))
    if 0 <= kept_ms <= longest_ms:
        return None
    return (
        f"topic {topic!r} holds what customers wrote and has retention.ms={kept_ms}, but "
        f"`dead_letter_retention` says {longest_ms}"
    )


def _kept_for(retention_ms: int) -> dict[str, str]:
    """Only whole segments are deleted, so one must not go on for longer than a day."""
    segment_ms = min(retention_ms, DAY_MINUTES * MINUTE_MS)
    return {"retention.ms": str(retention_ms), "segment.ms": str(segment_ms)}
