"""Dead letters as a worker would have written them, without one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from aiokafka import AIOKafkaProducer
from faust.types import TP

from stream.config import Settings, load_settings
from stream.kafka.deadletters import Origin, dead_letter_headers
from stream.kafka.delivery import Outgoing, send_batches
from stream.kafka.topicconfig import RECORD_BYTES_MAX
from stream.kafka.topology import prepare
from tests.kafka.live import Seen, Sent, read_topic, written_settings

WRITTEN_MS: Final = 1_772_440_872_500


class Desk(NamedTuple):
    """Settings with topics of their own on a broker, and the folder that they lie in."""

    settings: Settings
    folder: Path

    def put(self, letters: Iterable[Sent]) -> None:
        """Writes records to the dead letters, whatever they are, as a worker's producer does."""
        asyncio.run(_put(self.settings.broker, list(letters)))

    def seen(self, topic: str) -> list[Seen]:
        """All that stands in a topic."""
        return read_topic(self.settings.broker, topic)

    def letter(self, n: int, reason: str = "invalid", **more: Any) -> Sent:
        """The refused interaction number `n`."""
        topics = self.settings.topics
        origin = more.pop("origin", Origin(topics.interactions, n % 2, n, WRITTEN_MS + n))
        value = more.pop("value", json.dumps({"event_id": f"e{n}", "outcome": "lost"}).encode())
        own = more.pop("headers", (("trace", b"t"),))
        headers = (*own, *dead_letter_headers(reason, "Invalid enum value 'lost'", origin))
        key = more.pop("key", f"k{n}".encode())
        return Sent(topics.dead_letters, value, key, n % 2, headers)


def open_desk(bootstrap: str, prefix: str, folder: Path, **fields: Any) -> Desk:
    """A desk with all topics of a worker, two partitions each."""
    written = written_settings(bootstrap, prefix, partitions=2, **fields)
    (folder / "kpi-stream.yaml").write_text(yaml.safe_dump(written))
    settings = load_settings(folder)
    asyncio.run(prepare(settings))
    return Desk(settings, folder)


async def _put(bootstrap: str, letters: list[Sent]) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, max_request_size=RECORD_BYTES_MAX
    ) as producer:
        futures = []
        for sent in letters:
            place = TP(sent.topic, sent.partition or 0)
            outgoing = Outgoing(sent.key, sent.value, list(sent.headers))
            futures += await send_batches(producer, place, [outgoing])
        await asyncio.gather(*futures)
