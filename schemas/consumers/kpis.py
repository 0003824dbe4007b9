"""Asks the `kpis` topic in SQL, with DuckDB: kpis.py BROKER 'SELECT … FROM kpis' [TOPIC]."""

import asyncio
import json
import sys

import duckdb
from aiokafka import AIOKafkaConsumer


async def latest(broker: str, topic: str) -> dict[bytes, bytes]:
    """The topic is compacted: the last value of each key, and no key whose last one is none."""
    # Uncommitted reads would mix the figures of a flush with those that it failed to replace.
    committed = {"isolation_level": "read_committed", "auto_offset_reset": "earliest"}
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker, **committed)
    readings: dict[bytes, bytes] = {}
    await consumer.start()
    try:
        for place, end in (await consumer.end_offsets(consumer.assignment())).items():
            while await consumer.position(place) < end:  # markers take offsets and are no records
                for record in (await consumer.getmany(place, timeout_ms=500)).get(place, ()):
                    readings[record.key] = record.value
    finally:
        await consumer.stop()
    return {key: value for key, value in readings.items() if value is not None}


broker, query, *topic = sys.argv[1:]
rows = [
    (r["scope"], r["id"], r["team"], r["window"], r["as_of"], name, kpi["value"], kpi["samples"])
    for r in map(json.loads, asyncio.run(latest(broker, *topic or ["kpis"])).values())
    for name, kpi in r["kpis"].items()
]
duckdb.sql("""CREATE TABLE kpis (scope TEXT, id TEXT, team TEXT, "window" TEXT,
              as_of TIMESTAMPTZ, kpi TEXT, value DOUBLE, samples BIGINT)""")
if rows:
    duckdb.executemany("INSERT INTO kpis VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
print(duckdb.sql(query))
