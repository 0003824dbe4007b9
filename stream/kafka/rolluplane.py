"""The lane of rollups: one stage per partition of the scopes that lie on many input partitions."""

from __future__ import annotations

from faust.types import TP

from stream.kafka.agreement import Group, agreed_progress
from stream.kafka.delivery import Delivery
from stream.kafka.recovery import read_latest, sort_records
from stream.kafka.rollups import RollupStage
from stream.kafka.site import Site
from stream.kafka.stage import Recovered
from stream.kafka.topology import ROLLUPS


class RollupLane:
    """Shares and reports in, readings and alerts out."""

    name = ROLLUPS

    def __init__(self, site: Site, delivery: Delivery, group: Group) -> None:
        """`group` is asked at recovery."""
        self.delivery = delivery
        self._site = site
        self._group = group

    async def recover(self, number: int) -> Recovered:
        """Fences first; then reads the alerts, and every source's last word from the beginning.

        Raises:
            DisagreementError: if state, offsets and topics do not fit together.
        """
        site, topology = self._site, self._site.topology
        await self.delivery.open(number)
        stage = RollupStage(site, number)
        changelog, rollups = TP(topology.rollups_changelog, number), TP(topology.rollups, number)
        read = await read_latest(site.clients, changelog)
        self.delivery.resume(number, read.end)
        stored = sort_records(read.values)
        await agreed_progress(site, self._group, changelog, read, stored, [rollups])
        latest = await read_latest(site.clients, rollups)
        stage.restore(stored, latest.values, latest.end)
        return Recovered(stage, {rollups: latest.end}, {rollups: latest.end})
