"""The Faust table of rows: Faust knows its name and changelog, and we keep, flush and recover it.

`Table` and `TableManager` are settings of a Faust app, so these take their place without a fork.
What is different: rows live in engines rather than in a key-value store; the changelog is
written by the flush, in blocks, rather than per update; it is not subscribed, and read back by
`recovery.py` before the input is sought to the committed offsets.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import faust
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from mode import Service

from stream.kafka.blocks import SERVICE_LOG

log = logging.getLogger(__name__)

TABLE_NAME: Final = "rows"
Restore = Callable[[set[int]], Awaitable[bool]]


class RowTable(faust.Table):
    """The rows of every partition this worker owns, as one Faust table."""

    logger = SERVICE_LOG

    def attach(self, restore: Restore) -> None:
        """`restore` brings back the state of newly owned partitions, called at each rebalance."""
        self.restore = restore

    async def on_start(self) -> None:
        """Nothing to open: `topology.prepare` made the changelog, engines hold the rows."""

    def persisted_offset(self, tp: Any) -> int | None:
        """None: nothing is kept on this machine."""
        del tp
        return None


class RowRecovery(Recovery):
    """Recovers by reading whole changelog partitions, then lets the streams go on."""

    logger = SERVICE_LOG

    @Service.task
    async def _restart_recovery(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self.signal_recovery_start):
                return
            if not self.signal_recovery_start.is_set():
                continue  # revoked again since
            self.signal_recovery_start.clear()
            generation = self._generation_id
            began = time.monotonic()
            owned = {tp.partition for tp in self.app.consumer.assignment()}
            restored = [await table.restore(owned) for table in self.tables.values()]
            if not all(restored) or self.signal_recovery_start.is_set():
                continue
            try:
                await self._resume_streams(generation_id=generation)
            except RebalanceAgain:
                log.info("partitions were assigned anew while positions were sought")
            except ServiceStopped:
                return
            else:
                log.info(
                    "ready: partitions %s recovered in %.1f s",
                    sorted(owned) or "none",
                    time.monotonic() - began,
                )

    @Service.task
    async def _slurp_changelog(self) -> None:
        """Nothing: the changelog is not subscribed."""

    @Service.task
    async def _publish_stats(self) -> None:
        """Nothing: there is no subscription to report on."""


class RowTableManager(TableManager):
    """Registers tables without subscribing to their changelogs."""

    logger = SERVICE_LOG

    _recovery: RowRecovery | None = None

    @property
    def recovery(self) -> RowRecovery:
        """Our recovery in place of Faust's."""
        if self._recovery is None:
            self._recovery = RowRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def _update_channels(self) -> None:
        self._tables_finalized.set()
        for table in self.values():
            await table.maybe_start()
        self._tables_registered.set()
