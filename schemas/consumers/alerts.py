"""Says when an alert fires and when it ends, with plain aiokafka: alerts.py BROKER [TOPIC]."""

import asyncio
import json
import sys

from aiokafka import AIOKafkaConsumer


async def follow(broker: str, topic: str = "alerts") -> None:
    """Reads from where this group left off, at its first start from the beginning."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker,
        group_id="kpi-stream-reader-example",
        # Workers write in transactions. By default one would also read what was never committed:
        # alerts that did not happen, and those that did a second time.
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        async for record in consumer:
            alert = json.loads(record.value)  # may gain fields: look at those you know
            if alert["state"] in {"firing", "resolved", "ended_no_data", "withdrawn"}:
                who = f"{alert['scope']} {alert['id']}, {alert['goal']}"
                # The id and the state name a transition: what you keep by them is kept once.
                print(f"{alert['state']}: {who} [{alert['alert_id']}]", flush=True)
            await consumer.commit()  # after the work: killed in between, one does it again
    finally:
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(follow(*sys.argv[1:]))
