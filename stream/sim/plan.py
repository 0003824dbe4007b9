"""What a seed decides: the site, the goals, how long it goes on, and what may go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from stream.config import Queue, Settings
from stream.core.goals import Goal, Terms, parse_target
from stream.core.kpis import CATALOGUE, SCOPE_KINDS, ScopeKind
from stream.core.windows import parse_window
from stream.sim.counting import MINUTE, Definitions
from stream.sim.network import Weather

WINDOWS: Final = (
    ("2m",),
    ("2m", "5m"),
    ("3m", "today"),
    ("2m", "1h"),
    ("5m", "2d"),
)
# Before Berlin's clocks go forward and back, its midnight, the hour's edge, and any time.
STARTS_MS: Final = (
    1_711_846_740_000,
    1_729_990_740_000,
    1_718_056_740_000,
    1_718_100_000_000 - 90_000,
    1_718_111_234_567,
)
ZONE: Final = "Europe/Berlin"
GOALS: Final = (
    ("talk", "talk_time", "agent", "<= 60s", "<= 50s", 1),
    ("rate", "resolution_rate", "agent", ">= 60%", None, 2),
    ("csat", "csat_mean", "agent", ">= 3.5", ">= 4", 1),
    ("level", "service_level", "queue", ">= 80%", ">= 85%", 1),
    ("gone", "abandon_rate", "team", "<= 20%", None, 2),
    ("wrap", "wrap_time", "site", "<= 20s", None, 1),
    ("slow", "talk_time", "team", "<= 60s", None, 1),
)
RARER_GOALS: Final = (
    ("wait", "answer_time", "channel", "<= 10s", "<= 5s", 1),
    ("pass", "transfer_rate", "campaign", "<= 25%", "<= 10%", 2),
)


@dataclass(slots=True)
class Chances:
    """Per second of the run, for each kind of trouble; 0 where the seed has switched it off."""

    crash: float = 0.0
    freeze: float = 0.0
    outage: float = 0.0
    leave: float = 0.0
    compact: float = 0.0


@dataclass(slots=True)
class Plan:
    """One run. Workers that start from `stricter_from_s` on let events be less far ahead of now."""

    seed: int
    partitions: int
    workers: int
    static: bool
    settings: Settings
    goals: tuple[Goal, ...]
    kinds: tuple[ScopeKind, ...]
    start_ms: int
    length_s: float
    timeout_s: float
    events: int
    weather: Weather
    chances: Chances
    skews_ms: tuple[int, ...]
    stricter_from_s: float
    definitions: Definitions = field(init=False)

    def is_shared(self, kind: str) -> bool:
        """Whether scopes of this kind lie on several partitions."""
        return self.partitions > 1 and kind != "agent"

    @property
    def strict_skew_ms(self) -> int:
        """How far ahead of now events may be by the stricter setting."""
        return self.settings.skew // 10

    @property
    def rest_s(self) -> float:
        """How long after the last event the last reading driven by an event is due."""
        longest_s = max(self.definitions.lengths.values()) / 1_000
        return max(80.0, longest_s / 900 + 2 * self.settings.flush_interval / 1_000)

    def __post_init__(self) -> None:
        """The rules again, in the auditor's own words."""
        settings = self.settings
        level = {name: q.service_level for name, q in settings.queues.items()}
        short = {name: q.short_abandon for name, q in settings.queues.items()}
        lengths = {w: parse_window(w).length_minutes * MINUTE for w in settings.windows}
        self.definitions = Definitions(
            lengths,
            ZoneInfo(settings.timezone),
            {name: q.team for name, q in settings.queues.items() if q.team},
            {None: settings.service_level, **{n: v for n, v in level.items() if v is not None}},
            {None: settings.short_abandon, **{n: v for n, v in short.items() if v is not None}},
        )


def plan_of(seed: int) -> Plan:
    """The plan that follows from a seed."""
    rng, more = Random(f"{seed}/plan"), Random(f"{seed}/more")
    partitions = rng.choice((1, 1, 1, 1, 1, 2, 2, 3))
    kinds: tuple[ScopeKind, ...] = ("agent",)
    kinds += tuple(rng.sample(SCOPE_KINDS[1:], rng.choice((0, 1, 2))))
    settings = _settings(rng, partitions)
    return Plan(
        seed=seed,
        partitions=partitions,
        workers=rng.choice((1, 1, 2, 3)),
        static=rng.random() < 0.4,
        settings=settings,
        goals=_goals(rng, settings, kinds, GOALS) + _goals(more, settings, kinds, RARER_GOALS),
        kinds=kinds,
        start_ms=rng.choice(STARTS_MS),
        length_s=rng.uniform(40, 160 if partitions == 1 else 80),
        timeout_s=rng.choice((10.0, 10.0, 2.0)),
        events=rng.randrange(20, 60),
        weather=_weather(rng),
        chances=_chances(rng),
        skews_ms=tuple(rng.choice((0, 0, 0, -20_000, 40_000)) for _ in range(4)),
        stricter_from_s=more.choice((inf, inf, more.uniform(10, 60))),
    )


def _settings(rng: Random, partitions: int) -> Settings:
    """Not validated again, and not from the environment: a run is the same everywhere."""
    return Settings.model_construct(
        app="sim",
        partitions=partitions,
        timezone=ZONE,
        windows=rng.choice(WINDOWS),
        flush_interval=rng.choice((2_000, 5_000, 10_000) if partitions == 1 else (5_000, 10_000)),
        late_to_dead_letters=True,
        skew=rng.choice((20_000, 60_000, 300_000)),
        queues={
            "q1": Queue(team="t1"),
            "q2": Queue(team="t2", service_level="30s", short_abandon="2s"),
        },
    )


def _goals(
    rng: Random,
    settings: Settings,
    kinds: tuple[ScopeKind, ...],
    offered: Sequence[tuple[str, str, ScopeKind, str, str | None, int]],
) -> tuple[Goal, ...]:
    goals = []
    for name, kpi_name, scope, target, clear, samples in offered:
        if scope not in kinds or rng.random() < 0.3:
            continue
        kpi = CATALOGUE[kpi_name]
        bound = None if clear is None else parse_target(clear, kpi)
        terms = Terms(parse_target(target, kpi), clear=bound, min_samples=samples)
        window = rng.choice(settings.windows)
        waits = rng.choice((0, 0, 20_000, 60_000))
        goals.append(Goal(name, "p", kpi, scope, window, terms, "w", for_ms=waits))
    return tuple(goals)


def _weather(rng: Random) -> Weather:
    """Each kind of bad weather is there or not."""

    def maybe(most: float) -> float:
        return rng.choice((0.0, rng.uniform(0, most)))

    return Weather(
        slow=maybe(0.2),
        slowest_s=rng.choice((0.3, 3.0, 8.0)),
        batch_fails=maybe(0.06),
        end_fails=maybe(0.15),
        offsets_fail=maybe(0.1),
        read_fails=maybe(0.05),
        busy=maybe(0.5),
    )


def _chances(rng: Random) -> Chances:
    def maybe(every_s: float) -> float:
        return rng.choice((0.0, 1 / every_s))

    return Chances(
        crash=maybe(40),
        freeze=maybe(60),
        outage=maybe(90),
        leave=maybe(80),
        compact=maybe(40),
    )
