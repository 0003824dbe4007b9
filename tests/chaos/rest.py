"""Waits until a run is at rest: every record counted, and every figure shown."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import TopicPartition

from stream.config import Settings
from tests.chaos.figures import AtRest
from tests.chaos.history import History

COUNTED_S: Final = 180.0
SHOWN_S: Final = 120.0
_LOOK_S: Final = 0.5


async def wait_counted(settings: Settings, history: History) -> None:
    """Until the group has committed every record that the input topics hold.

    Workers say their lag by what they have fetched, which on a busy machine is of seconds ago; so
    the topics themselves are asked. A record may be moved by the very commit that a look has seen,
    hence two in a row: the second one sees it where it was moved to.

    Raises:
        TimeoutError: naming what is behind.
    """
    deadline = time.monotonic() + COUNTED_S
    looks = 0
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker)
    await admin.start()
    try:
        while looks < 2:
            await history.read_inputs()
            behind = await _behind(admin, settings.app, history)
            looks = 0 if behind else looks + 1
            if behind and time.monotonic() > deadline:
                raise TimeoutError(f"not counted within {COUNTED_S:.0f} s: {', '.join(behind)}")
            await asyncio.sleep(_LOOK_S)
    finally:
        await admin.close()


async def _behind(admin: AIOKafkaAdminClient, group: str, history: History) -> list[str]:
    committed = await admin.list_consumer_group_offsets(group)
    behind = []
    for (topic, number), end in history.ends.items():
        place = committed.get(TopicPartition(topic, number))
        at = 0 if place is None else place.offset
        if at < end:
            behind.append(f"{topic}[{number}] at {at} of {end}")
    return behind


async def wait_shown(history: History, figures: AtRest) -> None:
    """Until the board is SQL's; where that is not within the time, the checker says how it differs.

    Figures of teams and queues come last, on a busy machine seconds after the agents', and readings
    of one instant may be followed by others of the same: that none came for a while says nothing.
    """
    deadline = time.monotonic() + SHOWN_S
    while True:
        await history.read_readings()
        if figures.is_shown(history.board) or time.monotonic() > deadline:
            return
        await asyncio.sleep(_LOOK_S)
