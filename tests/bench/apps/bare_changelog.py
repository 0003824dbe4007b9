"""The limit of a recovery: one consumer reads a changelog to its end into dicts, and no more.

Prints its records, its keys and the seconds from its first fetch on, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from aiokafka import AIOKafkaConsumer, TopicPartition

FETCH_BYTES = 8 * 1024 * 1024


async def main(broker: str, topic: str, partitions: int) -> None:
    """Reads all partitions, committed records only."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker,
        isolation_level="read_committed",
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    latest: dict[bytes, bytes] = {}
    records = 0
    async with consumer:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        left = await consumer.end_offsets(places)
        began_s = time.monotonic()
        while left:
            for found in (await consumer.getmany(timeout_ms=500)).values():
                records += len(found)
                for record in found:
                    if record.value is None:
                        latest.pop(record.key, None)
                    else:
                        latest[record.key] = record.value
            left = {p: end for p, end in left.items() if await consumer.position(p) < end}
        seconds = time.monotonic() - began_s
    print(json.dumps({"records": records, "keys": len(latest), "seconds": seconds}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
