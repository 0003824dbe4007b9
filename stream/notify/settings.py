"""The part of the settings that says who is told of alerts, and how."""

from __future__ import annotations

import string
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr, model_validator
from yarl import URL

from stream.core.kpis import ScopeKind
from stream.fields import DurationMs, Strict, TopicName

EVERYBODY_ELSE: Final = "*"
LINK_FIELDS: Final = frozenset({"scope", "id", "team", "kpi", "goal", "window", "since_ms"})


def _check_address(text: str) -> str:
    try:
        url = URL(text)
    except ValueError as error:
        raise ValueError("expected an address such as 'http://localhost:9093'") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("expected an address such as 'http://localhost:9093'")
    return text


def _check_link(text: str) -> str:
    _check_address(text)
    try:
        named = {field for _, field, *_ in string.Formatter().parse(text) if field is not None}
    except ValueError as error:
        raise ValueError(f"braces that do not match: {error}") from error
    if unknown := sorted(named - LINK_FIELDS):
        raise ValueError(f"names {unknown}; there are {sorted(LINK_FIELDS)}")
    try:
        text.format(**dict.fromkeys(LINK_FIELDS, ""))
    except (ValueError, LookupError, AttributeError) as error:
        raise ValueError(f"braces that take no text: {error}") from error
    return text


def _secret_address(secret: SecretStr) -> SecretStr:
    """Checked without being said: it may hold a password."""
    _check_address(secret.get_secret_value())
    return secret


Address = Annotated[SecretStr, AfterValidator(_secret_address)]
Link = Annotated[str, AfterValidator(_check_link)]


class Endpoint(Strict):
    """Where `/metrics` and `/health` of the notifier are; they ask for `metrics.token`, too."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 9_465


class Direct(Strict):
    """Sending without Alertmanager: to whom, by Apprise's URLs, and how often at most.

    `leads`: by a lead's name, else by a team's, else `*`. A change waits `group_wait` for others
    of its lead, and messages to one lead are `group_interval` apart; what has not changed is said
    again after `repeat_interval`.
    """

    leads: Annotated[dict[str, tuple[SecretStr, ...]], Field(max_length=10_000)] = Field(
        default_factory=dict
    )
    group_wait: DurationMs = 30_000
    group_interval: DurationMs = 300_000
    repeat_interval: DurationMs = 4 * 3_600_000
    messages_per_hour: Annotated[int, Field(ge=1, le=3_600)] = 12


class Notify(Strict):
    """Who is told of alerts, and how.

    `resend`: how often Alertmanagers are told what fires. `keep`: for how long they believe it
    while nothing is heard. `links`: addresses of dashboards by scope, with fields in braces.
    """

    alertmanagers: tuple[Address, ...] = ()
    resend: DurationMs = 60_000
    keep: DurationMs = 3_600_000
    direct: Direct = Direct()
    links: dict[ScopeKind, Link] = Field(default_factory=dict)
    roster_topic: TopicName | None = None
    metrics: Endpoint = Endpoint()

    @model_validator(mode="after")
    def _kept_longer_than_resent(self) -> Notify:
        if not 0 < 2 * self.resend <= self.keep:
            raise ValueError("keep has to be at least twice resend, or alerts end by themselves")
        return self
