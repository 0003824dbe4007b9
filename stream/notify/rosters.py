"""Keeps the roster current: the file is read again when it changes, the topic as records come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from stream.notify.inbox import Inbox
from stream.notify.roster import Entry, Roster, decode_entry, load_roster
from stream.notify.telemetry import Telemetry
from stream.yamlfile import Faults

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 2.0


class Rosters:
    """The roster in use: of the topic, and for whom that has no entry, of the file."""

    def __init__(self, file: Path, telemetry: Telemetry) -> None:
        """Reads the file.

        Raises:
            Faults: if it has any: at the start there is none before to go on with.
        """
        self._file = file
        self._telemetry = telemetry
        self._stamp = _stamp(file)
        self._of_file = load_roster(file)
        self._of_topic: dict[str, Entry] = {}
        self.current = self._of_file

    async def watch_file(self) -> None:
        """Reads the file again whenever it has changed; one with faults changes nothing."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Reads the file again if it has changed since it was last looked at."""
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._of_file = load_roster(self._file)
        except Faults as faults:
            self._telemetry.roster_faulty.set(1)
            for fault in faults.faults:
                log.warning("%s; the roster before it stays in use", fault)
        else:
            self._telemetry.roster_faulty.set(0)
            self._put_together()
            log.info("the roster has changed: %d agents", len(self.current))

    async def read_topic(self, inbox: Inbox) -> None:
        """Takes in what the roster topic holds."""
        ends = await inbox.open({})
        while not inbox.has_reached(ends):
            self.take(await inbox.read())

    async def follow_topic(self, inbox: Inbox) -> None:
        """Takes in whatever comes after that."""
        while True:
            self.take(await inbox.read())

    def take(self, records: Iterable[Any]) -> None:
        """Takes in records of the topic; one that is no entry changes nothing."""
        before = len(self._of_topic)
        changed = False
        for record in records:
            agent = (record.key or b"").decode(errors="replace")
            try:
                self._take_one(agent, record.value)
                changed = True
            except ValueError as error:
                self._telemetry.refused.labels(kind="roster").inc()
                place = f"{record.topic}[{record.partition}] at {record.offset}"
                log.warning("%s: agent %r: %s", place, agent, error)
        if changed:
            self._put_together()
            log.debug("the roster topic had %d agents and has %d", before, len(self._of_topic))

    def _take_one(self, agent: str, value: bytes | None) -> None:
        if not agent:
            raise ValueError("a record without a key")
        if value is None:
            self._of_topic.pop(agent, None)
        else:
            self._of_topic[agent] = decode_entry(value)

    def _put_together(self) -> None:
        self.current = Roster(self._of_topic).over(self._of_file)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """What changes when a file does, also where a link is turned to another."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
