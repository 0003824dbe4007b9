"""How often and after which pauses a receiver that did not take a message is tried again."""

from __future__ import annotations

from typing import Any

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)
from tenacity.retry import retry_base

from stream.notify.telemetry import Telemetry


def retrying(
    telemetry: Telemetry, receiver: str, attempts: int, when: retry_base, **options: Any
) -> AsyncRetrying:
    """So many attempts, half a second apart at first and ten at most; each after it is counted."""

    def note(_: RetryCallState) -> None:
        telemetry.retries.labels(receiver=receiver).inc()

    return AsyncRetrying(
        stop=stop_after_attempt(attempts),
        wait=wait_exponential(multiplier=0.5, max=10) + wait_random(0, 0.5),
        retry=when,
        before_sleep=note,
        **options,
    )
