"""The rollup stage of one partition: shares and reports in, readings and alerts out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from stream.core.rollup import Rollup
from stream.kafka.codec import iso
from stream.kafka.delivery import Flush
from stream.kafka.outputs import Outputs
from stream.kafka.recovery import DisagreementError, StoredState
from stream.kafka.rollupcodec import (
    REPORT,
    SHARE,
    StoredReport,
    batch_of,
    cut_of,
    decode_report,
    decode_shares,
    source_of,
)
from stream.kafka.site import Site
from stream.kafka.stage import cut_behind

log = logging.getLogger(__name__)


class RollupStage:
    """Figures of the scopes of one partition of the `rollups` topic.

    Nothing but its alerts needs a changelog: the topic holds the last word of every source.
    """

    def __init__(self, site: Site, number: int) -> None:
        """An empty stage; `restore` before the first block."""
        self.site = site
        self.number = number
        self.engine = Rollup(site.rollup_rules, site.topology.partitions)
        self.included: dict[str, int] = {}
        self.must_commit = False
        self.is_full = False
        self._cut = cut_of(site.rules)
        self._outputs = Outputs(site, number, site.topology.rollups_changelog)
        self._told: dict[int, int] = {}
        self._unreported: dict[int, dict[bytes, bytes | None]] = {}
        self._awaited: dict[int, int] = {}
        self._otherwise_run: set[int] = set()
        self._has_caught_up = False

    @property
    def is_dirty(self) -> bool:
        """Whether a flush has something to commit."""
        return self.must_commit or self.engine.has_announcements

    @property
    def is_complete(self) -> bool:
        """Whether every source has reported, none is in the middle of a change or too far on."""
        too_far_on = self.site.settings.time == "replay" and self.engine.lacks_minutes
        return self.engine.is_complete and not self._awaited and not too_far_on

    def catch_up(self) -> None:
        """Begins readings and verdicts, as soon as every source has reported."""
        self._has_caught_up = True
        self._begin_judging()

    def restore(self, stored: StoredState, latest: Mapping[bytes, bytes], end: int) -> None:
        """Takes in its changelog, and the `rollups` topic's last values up to offset `end`.

        Raises:
            DisagreementError: if the topic lacks a report that was read from it before.
        """
        self.included[self.site.topology.rollups] = end
        for key, state in stored.alerts.items():
            self.engine.restore_alert(key, state)
        known = {} if stored.checkpoint is None else stored.checkpoint.sources
        if stored.checkpoint is not None:
            self._outputs.revision = stored.checkpoint.revision
            self.engine.tick(stored.checkpoint.now_ms)
            begun_ms = self.engine.verdicts.begun_ms = stored.checkpoint.begun_ms
            if self.site.settings.time == "live":
                self.engine.verdicts.after_ms = max(stored.checkpoint.now_ms, begun_ms)
        reports = [decode_report(v) for k, v in latest.items() if k[:1] == REPORT]
        # Without fencing a stale owner may have had the last word.
        if self.site.settings.delivery == "exactly_once":
            self._check_reports(known, {report.source: report.sequence for report in reports})
        for name, value in latest.items():
            if name[:1] == SHARE:
                self._note_share(name, value)
        for report in reports:
            self._restore_source(report)
        if self.engine.is_complete:  # or readings would claim an instant beyond their windows
            self.engine.tick(self.engine.as_of_ms)
        self.engine.readings.assume_all_shown()

    def parts(self, block: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """Cut behind reports: in a replay each rolls windows and has goals judged."""
        return cut_behind(block, [n for n, r in enumerate(block) if r.key[:1] == REPORT])

    def apply(self, topic: str, block: Sequence[Any]) -> None:
        """Takes in shares, and makes them visible at their source's report."""
        for record in block:
            if record.key[:1] == SHARE:
                self._note_share(record.key, record.value)
            elif record.key[:1] == REPORT and record.value is not None:
                self._take_report(decode_report(record.value))
        self.included[topic] = block[-1].offset + 1

    def freeze(self, now_ms: int | None) -> Flush:
        """Rolls to where the sources have come by `now_ms`, and takes all that changed."""
        if now_ms is not None and self.is_complete:
            before = self.engine.stale
            self.engine.roll(now_ms)
            self._note_stale(before)
        flush = self._outputs.begin()
        states = self._outputs.write_alerts(flush, self.engine)
        wrote = False
        if self._has_caught_up and self.is_complete:
            wrote = self._outputs.write_readings(flush, self.engine, self._origin)
        if states or wrote or self.must_commit:
            self._outputs.commit(flush, self.included, [], states, self._checkpoint())
        self.must_commit = False
        return flush

    def _take_report(self, report: StoredReport) -> None:
        source = report.source
        shares = self._unreported.pop(source, {})
        if report.cut != self._cut:
            self._warn_of_other_settings(source)
            return
        self._otherwise_run.discard(source)
        if report.sequence >= self._awaited.get(source, 0):
            self._awaited.pop(source, None)
        self._told[source] = report.sequence
        batch = batch_of(report, decode_shares(shares))
        if self.site.settings.time == "live":
            self.engine.absorb(batch)
        else:
            self.engine.wait_for_others(batch)
        self._begin_judging()

    def _warn_of_other_settings(self, source: int) -> None:
        if source not in self._otherwise_run:
            self._otherwise_run.add(source)
            log.warning(
                "partition %d is run with other thresholds, windows or queues' teams than here: "
                "nothing newer of it is shown until all workers have the same settings",
                source,
            )

    def _begin_judging(self) -> None:
        if self._has_caught_up and not self.engine.verdicts.open and self.is_complete:
            self.engine.begin_judging()

    def _note_share(self, key: bytes, value: bytes | None) -> None:
        self._unreported.setdefault(source_of(key), {})[key] = value

    def _restore_source(self, report: StoredReport) -> None:
        """What its last report covers; shares told after it have replaced others: it is awaited."""
        source = report.source
        if report.cut != self._cut:
            return
        shares = self._unreported.pop(source, {})
        told = decode_shares(shares)
        # By other settings, too: what they replaced is gone.
        later = told.sequences > report.sequence
        if later.any():
            self._awaited[source] = int(told.sequences[later].max())
            self._unreported[source] = shares
        self._told[source] = report.sequence
        self.engine.absorb(batch_of(report, told))

    def _check_reports(self, known: Mapping[str, int], found: Mapping[int, int]) -> None:
        for source, sequence in known.items():
            if found.get(int(source), 0) < sequence:
                topic = self.site.topology.rollups
                raise DisagreementError(
                    f"{topic}[{self.number}] holds no report {sequence} of partition {source}, "
                    "though one was read from it: was it recreated? Start under another `app` "
                    "name to count everything anew"
                )

    def _note_stale(self, before: list[int]) -> None:
        stale = self.engine.stale
        self.site.telemetry.stale_parts.labels(partition=str(self.number)).set(len(stale))
        if stale and stale != before:
            log.warning("nothing new of partitions %s: no verdicts that rest on them", stale)

    def _origin(self) -> dict[str, Any]:
        """As of when a reading holds, by its oldest part; and what input each part includes."""
        parts = [
            {"partition": source, "as_of": iso(report.as_of_ms), "offsets": report.offsets}
            for source, report in sorted(self.engine.reports.items())
        ]
        as_of = iso(self.engine.as_of_ms)
        return {
            "as_of": as_of,
            "parts": orjson.Fragment(orjson.dumps(parts)),
            "stale": self.engine.stale,
        }

    def _checkpoint(self) -> bytes:
        return self._outputs.checkpoint(
            self.engine,
            self.included,
            (self.site.topology.rollups,),
            clocks={},
            layout="",
            layouts={},
            sources={str(source): sequence for source, sequence in self._told.items()},
        )
