"""Settings: `kpi-stream.yaml` and `KPI_STREAM_*`, validated whole before anything starts.

The environment wins over the file; nested names are joined by two underscores
(`KPI_STREAM_METRICS__PORT=9200`).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from stream.core.kpis import CATALOGUE, SCOPE_KINDS, ScopeKind
from stream.core.measures import Threshold, Thresholds
from stream.core.windows import Window, parse_window
from stream.environment import NESTED, PREFIX, faulty_variables
from stream.fields import DurationMs, KpiName, Strict, TopicName, WindowName, ZoneName, matching
from stream.notify.settings import Notify
from stream.secretfile import from_files
from stream.security import Security
from stream.yamlfile import Faults, read_yaml

SETTINGS_FILE: Final = "kpi-stream.yaml"
GOALS_FILE: Final = "goals.yaml"
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{16,500}")


def _split_commas(value: object) -> object:
    """A list as the environment writes it: `15m,1h`."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


AppName = Annotated[
    str, matching(r"[A-Za-z0-9._-]{1,100}", "up to 100 letters, digits, '.', '_' and '-'")
]
Brokers = Annotated[
    str,
    matching(
        r"[^\s/,@]+:\d+(,[^\s/,@]+:\d+)*",
        "host and port such as 'kafka:9092', or several, joined by commas",
    ),
]


class Topics(Strict):
    """The topics' names."""

    interactions: TopicName = "interactions"
    surveys: TopicName = "surveys"
    agent_facts: TopicName = "agent-facts"
    kpis: TopicName = "kpis"
    alerts: TopicName = "alerts"
    dead_letters: TopicName = "dead-letters"

    @model_validator(mode="after")
    def _differ(self) -> Topics:
        names = list(self.model_dump().values())
        if len(set(names)) < len(names):
            message = "two topics have the same name"
            raise ValueError(message)
        return self


class Queue(Strict):
    """One queue: the team it belongs to, and its thresholds where they differ."""

    team: str | None = None
    service_level: DurationMs | None = None
    short_abandon: DurationMs | None = None


class Shown(Strict):
    """The allow-list of gauges: everything for 10,000 agents would be 650,000 series."""

    scopes: tuple[ScopeKind, ...] = SCOPE_KINDS
    windows: tuple[WindowName, ...] = ("15m", "1h", "today")
    kpis: tuple[KpiName, ...] = tuple(CATALOGUE)


class Metrics(Strict):
    """Where `/metrics` and `/health` are, and what they show. Port 0 takes a free one.

    With a `token`, `/metrics` asks for it (`Authorization: Bearer`), and `/health` tells others
    no details.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 9_464
    token: SecretStr | None = None
    token_file: Path | None = None
    show: Shown = Shown()

    @model_validator(mode="before")
    @classmethod
    def _read_token(cls, fields: Any) -> Any:
        return from_files(fields, "token")

    @field_validator("token")
    @classmethod
    def _fits_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not _TOKEN.fullmatch(token.get_secret_value()):
            message = "a token has 16 to 500 letters, digits and any of -._~+/="
            raise ValueError(message)
        return token


class Settings(BaseSettings):
    """All settings of a worker."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        extra="forbid",
        frozen=True,
        validate_default=False,
        hide_input_in_errors=True,
    )

    app: AppName = "kpi-stream"
    broker: Brokers = "127.0.0.1:9092"
    topics: Topics = Topics()
    partitions: Annotated[int, Field(ge=1, le=1_000)] = 4
    replication: Annotated[int, Field(ge=1, le=10)] = 1
    time: Literal["live", "replay"] = "live"
    timezone: ZoneName = "UTC"
    windows: Annotated[
        tuple[WindowName, ...],
        NoDecode,
        BeforeValidator(_split_commas),
        Field(min_length=1, max_length=60),
    ] = (
        "15m",
        "1h",
        "8h",
        "today",
        "7d",
    )
    service_level: DurationMs = 20_000
    short_abandon: DurationMs = 5_000
    queues: dict[str, Queue] = {}
    skew: DurationMs = 300_000
    late_to_dead_letters: bool = False
    dead_letter_retention: Annotated[DurationMs, Field(ge=60_000)] = 14 * 86_400_000
    flush_interval: Annotated[DurationMs, Field(ge=10, le=60_000)] = 200
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    instance: str | None = None
    metrics: Metrics = Metrics()
    notify: Notify = Notify()
    security: Security = Security()

    @field_validator("windows")
    @classmethod
    def _unique(cls, windows: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(windows)) < len(windows):
            message = "a window is named twice"
            raise ValueError(message)
        return windows

    @model_validator(mode="after")
    def _shown_windows_exist(self) -> Settings:
        if "show" in self.metrics.model_fields_set:
            missing = set(self.metrics.show.windows) - set(self.windows)
            if missing and "windows" in self.metrics.show.model_fields_set:
                message = f"metrics.show.windows names windows that are not kept: {sorted(missing)}"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _own_topics_are_apart(self) -> Settings:
        stored = (self.changelog, self.rollups, self.rollups_changelog)
        for name in (*stored, self.replayed, self.notified):
            if name in self.topics.model_dump().values():
                message = f"a topic has the name of one of ours, {name}"
                raise ValueError(message)
        return self

    @property
    def changelog(self) -> str:
        """The topic in which the rows are kept, by Faust's convention for a table called `rows`."""
        return f"{self.app}-rows-changelog"

    @property
    def rollups(self) -> str:
        """The topic in which partitions tell what they add to teams, queues and the like."""
        return f"{self.app}-rollups"

    @property
    def rollups_changelog(self) -> str:
        """The topic in which the alerts of those scopes are kept."""
        return f"{self.app}-rollups-changelog"

    @property
    def replayed(self) -> str:
        """The topic that says which dead letters `dead-letters replay` has re-submitted."""
        return f"{self.app}-dead-letters-replayed"

    @property
    def notified(self) -> str:
        """The topic in which `kpi-stream notify` keeps what it has to tell, and what it told."""
        return f"{self.app}-notified"

    def parsed_windows(self) -> tuple[Window, ...]:
        """The windows, in the settings' order."""
        zone = ZoneInfo(self.timezone)
        return tuple(parse_window(name, zone) for name in self.windows)

    def thresholds(self) -> Thresholds:
        """Every queue's service level thresholds."""
        default = Threshold(self.service_level, self.short_abandon)
        own = {
            name: Threshold(
                default.answer_ms if queue.service_level is None else queue.service_level,
                default.short_abandon_ms if queue.short_abandon is None else queue.short_abandon,
            )
            for name, queue in self.queues.items()
        }
        return Thresholds(default, {name: t for name, t in own.items() if t != default})

    def queue_teams(self) -> dict[str, str]:
        """Which team answers for which queue."""
        return {name: queue.team for name, queue in self.queues.items() if queue.team}


def load_settings(folder: Path | None = None, **overrides: Any) -> Settings:
    """The settings from `folder`'s file, the environment and `overrides` (which win).

    Raises:
        Faults: all of them at once, each naming its setting.
    """
    file = (folder or Path()) / SETTINGS_FILE

    faults = list(faulty_variables(os.environ, Settings.model_fields.keys()))
    written = _written(file)

    class FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            return init_settings, env_settings, InitSettingsSource(settings_cls, written)

    try:
        settings = FromFile(**overrides)
    except ValidationError as error:
        raise Faults(faults + [_explain(fault) for fault in error.errors()]) from error
    except SettingsError as error:
        raise Faults([*faults, f"environment: {error}; nested values are JSON"]) from error
    except (ValueError, TypeError, RecursionError, OSError) as error:
        raise Faults([*faults, f"settings as a whole: {error}"]) from error
    if faults:
        raise Faults(faults)
    return settings


def _written(file: Path) -> dict[str, Any]:
    """What the settings file says; nothing where there is none."""
    raw = read_yaml(file) if file.exists() or file.is_symlink() else None
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise Faults([f"{file}: not readable as settings: expected names and their values"])
    if odd := [name for name in raw if not isinstance(name, str)]:
        raise Faults([f"setting {name!r}: no such setting" for name in odd])
    return raw


def _explain(fault: Any) -> str:
    """One fault as a line: where, then what is wrong there."""
    place = ".".join(str(part) for part in fault["loc"]) or "(as a whole)"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "no such setting"
    return f"setting {place!r}: {message}"
