"""The limit: aiokafka fetches, msgspec decodes the struct that the worker decodes, and that is all.

It fetches as the worker does, and commits every five seconds as aiokafka does by default.
"""

from __future__ import annotations

import asyncio
import signal
from collections import defaultdict

import msgspec
from aiokafka import AIOKafkaConsumer

from stream.core.events import Interaction
from tests.bench.apps.progress import APP, BROKER, TOPIC, WANTS_SUMS, Progress, Sums, tell_sums

HOP_S, HOPS = 60, 5
FETCH_BYTES = 4 * 1024 * 1024
progress = Progress()
sums: defaultdict[tuple[str, int], Sums] = defaultdict(lambda: (0, 0, 0, 0))


def keep(contact: Interaction, at_ms: int) -> None:
    """Only for the comparison of sums."""
    handle_ms = (contact.talk_ms or 0) + (contact.hold_ms or 0) + (contact.wrap_ms or 0)
    last_s = at_ms // 1000 // HOP_S * HOP_S
    for start_s in range(last_s, last_s - HOP_S * HOPS, -HOP_S):
        total = sums[contact.agent_id or "", start_s]
        ours = (handle_ms, 1, int(contact.resolved or 0), 1)
        sums[contact.agent_id or "", start_s] = tuple(map(sum, zip(total, ours, strict=True)))  # type: ignore[assignment]


async def main() -> None:
    """Until it is told to end."""
    decode = msgspec.json.Decoder(Interaction).decode
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)  # type: ignore[union-attr]
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=BROKER,
        group_id=APP,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    async with consumer:
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                contacts = [decode(record.value) for record in records]
                progress.events += len(contacts)
                if WANTS_SUMS:
                    for contact, record in zip(contacts, records, strict=True):
                        keep(contact, record.timestamp)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        tell_sums((agent, start_s, total) for (agent, start_s), total in sums.items())
