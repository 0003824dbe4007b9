"""Hypothesis over every reader of the outside world: structured, near-valid and plain garbage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from stream.config import Settings
from stream.core.kpis import CATALOGUE
from stream.goalfile import GoalEntry, load_goals
from tests.core.test_events import FULL_CALL, FULL_SURVEY
from tests.fuzz import targets

FEW: Final = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# Texts that mean something somewhere, and those over which readers stumble.
MEANT: Final = st.sampled_from(
    [
        *("15m", "1h", "today", "20s", ">= 85%", "<= 6m30s", ">= 4.2", "agent", "queue", "csat"),
        *("handle_time", "SASL_SSL", "Europe/Berlin", "h:9092", "a/../b", "/", "..", "live"),
        *("2024-13-45", "0b_", "0x_", "1:99", "~", "=", "<<", "nan", "1e999", "٣s", "9" * 400),
        *("\x00", "\ud800", "\U0001f600", "a\nb", "\u2028", " ", "", "%", "!!int", "&a", "*a"),
    ]
)
LEAVES: Final = (
    MEANT
    | st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.dates()
    | st.text(max_size=8)
    | st.binary(max_size=4)
)
KEYS: Final = MEANT | st.text(max_size=4) | st.integers(0, 3) | st.none() | st.booleans()
VALUES: Final = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


def named(*names: str) -> Any:
    """Mappings with some of these names, and now and then another."""
    known = st.dictionaries(st.sampled_from(names), VALUES, max_size=4)
    return st.builds(
        lambda some, odd: some | odd, known, st.just({}) | st.dictionaries(KEYS, VALUES, max_size=1)
    )


PARTS: Final = {
    name: named(*type(part).model_fields)
    for name, part in Settings()
    if isinstance(part, BaseModel)
}
SETTINGS: Final = st.builds(
    lambda flat, parts: flat | parts,
    named(*Settings.model_fields),
    st.fixed_dictionaries(
        {}, optional={**PARTS, "queues": st.dictionaries(KEYS, named("team", "service_level"))}
    ),
)
GOOD_GOAL: Final = {"name": "g", "purpose": "p", "kpi": "csat", "window": "1h", "target": ">= 85%"}
TERMS: Final = named("target", "clear", "warn", "min_samples")
GOAL: Final = st.builds(
    lambda change, kpi, overrides: {**GOOD_GOAL, "kpi": kpi, **overrides, **change},
    named(*GoalEntry.model_fields, "for"),
    st.sampled_from(sorted(CATALOGUE)),
    st.just({})
    | st.fixed_dictionaries(
        {
            "overrides": st.dictionaries(
                st.sampled_from(["team", "agent", "id"]), st.dictionaries(KEYS, TERMS, max_size=2)
            )
        }
    ),
)
GOALS: Final = st.fixed_dictionaries(
    {"goals": st.lists(GOAL, max_size=3) | VALUES}, optional={"leads": VALUES}
)


def as_yaml(value: Any) -> bytes:
    """The value as YAML, or as something like it."""
    return yaml.dump(value, allow_unicode=False).encode("utf-8", "surrogatepass")


TEXTS: Final = st.binary(max_size=80) | st.text(max_size=80).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)


@given(raw=TEXTS | SETTINGS.map(as_yaml))
@FEW
def test_settings_are_valid_or_their_faults_name_their_places(raw: bytes, tmp_path: Path) -> None:
    """Whatever the file holds: settings, or `Faults`, each a line with its setting or its place."""
    targets.settings(raw, tmp_path)


@given(raw=TEXTS | GOALS.map(as_yaml))
@FEW
def test_goals_are_valid_or_their_faults_name_their_places(raw: bytes, tmp_path: Path) -> None:
    """Whatever the file holds: goals, or `Faults`, each a line with its goal, field or place."""
    targets.goals(raw, tmp_path)


@given(
    fields=st.dictionaries(
        st.sampled_from([*FULL_CALL, *FULL_SURVEY]) | st.text(max_size=3),
        st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=4),
    ),
    kind=st.sampled_from([FULL_CALL, FULL_SURVEY]),
    cut=st.none() | st.integers(0, 400),
    noise=TEXTS,
)
@FEW
def test_a_record_is_an_event_that_can_be_counted_or_it_is_refused(
    fields: dict[str, Any], kind: dict[str, Any], cut: int | None, noise: bytes, tmp_path: Path
) -> None:
    """Full records with fields of any value, cut short or with noise behind them; never raised."""
    raw = json.dumps({**kind, **fields}, default=str).encode()
    for value in (raw[:cut], raw + noise, raw[:cut] + noise):
        targets.events(value, tmp_path)
        targets.clocks(value, tmp_path)


@given(raw=TEXTS | MEANT.map(lambda text: text.encode("utf-8", "surrogatepass")))
@FEW
def test_a_word_is_understood_or_quoted(raw: bytes, tmp_path: Path) -> None:
    """Durations, windows and targets, in whatever script and length."""
    targets.words(raw, tmp_path)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_what_a_search_begins_with_holds(name: str, tmp_path: Path) -> None:
    """Every target has seeds, and none of them breaks it."""
    seeds = list((targets.SEEDS / name).iterdir())
    assert seeds
    for seed in seeds:
        targets.TARGETS[name](seed.read_bytes(), tmp_path)


def test_the_seed_files_of_settings_and_goals_are_valid() -> None:
    """So that a search gets past the first check."""
    for seed in (targets.SEEDS / "goals").iterdir():
        assert load_goals(seed, targets.WINDOWS)[0]
    for seed in (targets.SEEDS / "settings").iterdir():
        loaded = Settings(**yaml.safe_load(seed.read_text()))
        assert loaded != Settings()
