"""Before a stage goes on: its state, the group's offsets and the topics have to fit together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from faust.types import TP

from stream.kafka.recovery import REMEDY, DisagreementError, Latest, StoredState
from stream.kafka.site import Site
from stream.kafka.topology import Topology
from stream.kafka.transactions import raise_if_taken_over

log = logging.getLogger(__name__)

TRIES: Final = 10
_PAUSE_S: Final = 1.0


class OffsetsBehindError(DisagreementError):
    """The group's offsets are behind the state they were written with: so far, or reset."""


class Progress(NamedTuple):
    """Where the group stands in one input topic partition, and where that begins and ends."""

    committed: int | None
    beginning: int
    end: int


class Group(Protocol):
    """What is asked of the group's consumer at recovery."""

    async def committed(self, tp: TP) -> int | None:
        """The group's committed offset, `None` where there is none."""
        ...

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        """Where partitions begin."""
        ...

    async def highwaters(self, *partitions: TP) -> dict[TP, int]:
        """Where partitions end."""
        ...


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


async def progress_of(group: Group, places: Sequence[TP]) -> dict[str, Progress]:
    """Where the group stands in these, of one partition, by topic."""
    beginnings = await group.earliest_offsets(*places)
    ends = await group.highwaters(*places)
    return {
        tp.topic: Progress(await group.committed(tp), beginnings.get(tp) or 0, ends.get(tp) or 0)
        for tp in places
    }


def check_agreement(
    state: StoredState,
    progress: Mapping[str, Progress],
    partition: int,
    *,
    topology: Topology,
    exact: bool,
) -> None:
    """Compares the checkpoint with the committed offsets of each topic, and both with the topic.

    With transactions both were written as one and have to be equal; without, a crash can leave
    the offsets behind, which repeats and harms nothing.

    Raises:
        DisagreementError: naming the topic, and what is likely to have happened to it.
    """
    checkpoint = state.checkpoint
    if checkpoint is not None and checkpoint.partitions != topology.partitions:
        raise DisagreementError(
            f"the stored state is of {checkpoint.partitions} partitions, the topics have "
            f"{topology.partitions}: an agent's events are elsewhere now. {REMEDY}"
        )
    for topic, known in checkpoint.topic_ids.items() if checkpoint is not None else ():
        if topology.ids.get(topic, known) != known:
            raise DisagreementError(
                f"{topic} is not the topic that was counted, but another of its name: it was "
                f"deleted and made again. {REMEDY}"
            )
    for topic, place in progress.items():
        included = None if checkpoint is None else checkpoint.offsets.get(topic, 0)
        _check_topic(f"{topic}[{partition}]", place, included, exact=exact)


def _check_topic(name: str, place: Progress, included: int | None, *, exact: bool) -> None:
    """`included`: up to where the stored state goes; None where there is none."""
    committed = place.committed or 0
    if committed > place.end:
        raise DisagreementError(
            f"{name} ends at {place.end}, but offset {committed} is committed: was the topic "
            f"recreated? {REMEDY}"
        )
    if included is None and place.committed is not None:
        raise DisagreementError(
            f"offset {committed} of {name} is committed, but the changelog holds no state: was "
            f"it deleted? {REMEDY}"
        )
    if committed != (included or 0) and (exact or committed > (included or 0)):
        behind = committed < (included or 0)
        raise (OffsetsBehindError if behind else DisagreementError)(
            f"the stored state includes {name} up to {included or 0}, but offset {committed} is "
            f"committed: were the group's offsets reset, or the topic recreated? {REMEDY}"
        )
    if place.committed is not None and committed < place.beginning:
        log.warning(
            "%s begins at %d: records %d to %d were deleted before they were counted",
            *(name, place.beginning, committed, place.beginning - 1),
        )
