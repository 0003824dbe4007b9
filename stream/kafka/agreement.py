"""Before a stage goes on: its state, the group's offsets and the topics have to fit together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from faust.types import TP

from stream.kafka.recovery import (
    DisagreementError,
    Group,
    Latest,
    OffsetsBehindError,
    Progress,
    StoredState,
    check_agreement,
    progress_of,
)
from stream.kafka.site import Site
from stream.kafka.transactions import raise_if_taken_over

log = logging.getLogger(__name__)

TRIES: Final = 10
_PAUSE_S: Final = 1.0


async def agreed_progress(
    site: Site, group: Group, changelog: TP, read: Latest, stored: StoredState, places: Sequence[TP]
) -> dict[str, Progress]:
    """Where the group stands in `places`, by topic, once that fits with what was stored.

    A broker that has just started answers for a moment without the offsets it is still reading
    back, as if none had been committed: these are asked for again.

    Raises:
        DisagreementError: if they do not fit, for good.
        FencedError: if that is so because another worker has gone on meanwhile.
    """
    exact = site.settings.delivery == "exactly_once"
    for left in reversed(range(TRIES)):
        progress = await progress_of(group, places)
        try:
            check_agreement(
                stored, progress, changelog.partition, topology=site.topology, exact=exact
            )
        except DisagreementError as error:
            if not left or not isinstance(error, OffsetsBehindError):
                await raise_if_taken_over(site.clients, changelog, read, error)
                raise
            log.warning("asking again for committed offsets: %s", error)
            await asyncio.sleep(_PAUSE_S)
        else:
            return progress
    raise AssertionError("the last try returns or raises")
