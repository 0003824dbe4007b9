"""The lane of rows: one stage per input partition, recovered from the changelog."""

from __future__ import annotations

from collections.abc import Callable

from faust.types import TP

from stream.kafka.agreement import Group, agreed_progress
from stream.kafka.delivery import Delivery
from stream.kafka.partition import PartitionStage
from stream.kafka.recovery import read_latest, sort_records
from stream.kafka.site import Site
from stream.kafka.stage import Recovered
from stream.kafka.topology import ROWS


class RowLane:
    """Events in; rows, readings and alerts out."""

    name = ROWS

    def __init__(
        self, site: Site, delivery: Delivery, group: Group, now: Callable[[], int]
    ) -> None:
        """`now` is asked at recovery, in live mode."""
        self.delivery = delivery
        self._site = site
        self._group = group
        self._now = now

    async def recover(self, number: int) -> Recovered:
        """Fences first, then reads: what is read cannot be added to by anybody else.

        Raises:
            DisagreementError: if state, offsets and topics do not fit together.
        """
        site = self._site
        await self.delivery.open(number)
        stage = PartitionStage(site, number)
        changelog = TP(site.topology.changelog, number)
        read = await read_latest(site.clients, changelog)
        self.delivery.resume(number, read.end)
        stored = sort_records(read.values)
        places = [TP(topic, number) for topic in site.topology.inputs]
        progress = await agreed_progress(site, self._group, changelog, read, stored, places)
        stage.restore(stored)
        if site.settings.time == "live":
            # Before the first block: without a now nothing is late or early, and by the stored
            # one, what came while the worker was down is early. A later instant in any case: of
            # what ended at the stored one, nothing may begin again under the same id.
            stage.engine.tick(max(self._now(), (stage.engine.now_ms or 0) + 1))
        resume = {
            TP(topic, number): max(stage.included.get(topic, 0), place.beginning)
            for topic, place in progress.items()
        }
        ends = {TP(topic, number): place.end for topic, place in progress.items()}
        return Recovered(stage, resume, ends)
