"""One function per reader of the outside world: takes any bytes, fails where a promise breaks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from stream.config import SETTINGS_FILE, Settings, load_settings
from stream.core.columns import contributions_of, digests_of, dims_of, event_digests, times_of
from stream.core.dims import lasting
from stream.core.events import (
    KINDS,
    TIME_MS_MAX,
    EventDecoder,
    Ignored,
    Refusal,
    event_time_ms,
    kind_of,
    routing_key,
)
from stream.core.goals import parse_target
from stream.core.kpis import CATALOGUE
from stream.core.measures import Thresholds
from stream.core.windows import parse_window
from stream.durations import parse_duration_ms
from stream.goalfile import load_goals
from stream.kafka.clocks import Clocks
from stream.kafka.deadletters import Origin, dead_letter_headers
from stream.yamlfile import Faults

SEEDS: Final = Path(__file__).parent / "seeds"
WINDOWS: Final = ("15m", "1h", "today")
_SETTING: Final = re.compile(r"(setting .+|environment|settings as a whole): .+")
_GOAL: Final = re.compile(r"(goal .+|goals file): .+")

Target = Callable[[bytes, Path], None]
"""Reads the bytes, with a folder of its own for those who read files."""


def events(raw: bytes, folder: Path) -> None:
    """A record of either kind is an event that can be counted, or refused, or ignored."""
    del folder
    for kind in KINDS:
        found = EventDecoder(kind).decode(raw)
        if isinstance(found, Refusal):
            assert found.reason in {"malformed", "invalid", "version"}
            assert found.detail
            dead_letter_headers(found.reason, found.detail, Origin("t", 0, 0))
        elif not isinstance(found, Ignored):
            (sums,) = contributions_of([found], Thresholds()).tolist()
            assert all(0 <= value < 2**48 for value in sums)
            assert times_of([found]).tolist() == [event_time_ms(found)]
            assert 0 <= event_time_ms(found) <= TIME_MS_MAX
            assert digests_of([found])[0] == int.from_bytes(
                event_digests(kind_of(found), [found.event_id])[0], "little"
            )
            routing_key(found).encode()
            (dims,) = lasting(dims_of([found]))
            "".join(name or "" for name in dims).encode()


def clocks(raw: bytes, folder: Path) -> None:
    """A clock record is one, or a ValueError."""
    del folder
    made = Clocks(("t",))
    try:
        clock = made.take("t", raw)
    except ValueError:
        assert made.by_topic == {}
    else:
        assert clock is not None
        assert 0 <= clock.now <= TIME_MS_MAX


def settings(raw: bytes, folder: Path) -> None:
    """A settings file is valid as a whole, or its faults are lines that name their places."""
    file = folder / SETTINGS_FILE
    file.write_bytes(raw)
    try:
        loaded = load_settings(folder)
    except Faults as error:
        _check_lines(error.faults, _SETTING, file)
    else:
        assert isinstance(loaded, Settings)
        assert loaded.parsed_windows()
        loaded.thresholds()
        loaded.model_dump_json().encode()


def goals(raw: bytes, folder: Path) -> None:
    """A goals file is valid as a whole, or its faults are lines that name their places."""
    file = folder / "goals.yaml"
    file.write_bytes(raw)
    try:
        found, leads = load_goals(file, WINDOWS)
    except Faults as error:
        _check_lines(error.faults, _GOAL, file)
    else:
        for goal in found:
            assert goal.window in WINDOWS
            assert abs(goal.terms.target.bound) < float("inf")
            f"{goal.purpose}{goal.what_to_do}{goal.terms}".encode()
        "".join([*leads, *leads.values()]).encode()


def words(raw: bytes, folder: Path) -> None:
    """Durations, windows and targets are understood, or a ValueError says what was expected."""
    del folder
    text = raw.decode(errors="surrogateescape")
    assert refusal(lambda: parse_duration_ms(text)) != ""
    assert refusal(lambda: parse_window(text)) != ""
    for kpi in CATALOGUE.values():
        said = refusal(lambda kpi=kpi: parse_target(text, kpi))  # type: ignore[misc]  # a lambda
        assert said is None or repr(text) in said


def refusal(read: Callable[[], object]) -> str | None:
    """Why a text was refused; None where it was understood."""
    try:
        read()
    except ValueError as error:
        return str(error)
    return None


def _check_lines(faults: list[str], place: re.Pattern[str], file: Path) -> None:
    assert faults
    for fault in faults:
        assert len(fault.splitlines()) == 1, faults
        assert fault.startswith(f"{file}: ") or place.fullmatch(fault), fault


TARGETS: Final[Mapping[str, Target]] = {
    "events": events,
    "clocks": clocks,
    "settings": settings,
    "goals": goals,
    "words": words,
}
