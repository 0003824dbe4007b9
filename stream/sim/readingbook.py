"""What readers of the `kpis` topic hold, each reading recounted from the accepted events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from stream.kafka.partitioner import partition_of
from stream.sim.counting import MINUTE
from stream.sim.log import Record
from stream.sim.plan import Plan
from stream.sim.view import Place, View, expect, place_of, verdict

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class ReadingBook:
    """The last reading of every key, and the last revision of every partition."""

    def __init__(self, plan: Plan, counts: Counter[str]) -> None:
        """No reading yet."""
        self.held: dict[tuple[str, str, str], tuple[int, dict[str, Any]]] = {}
        self._plan = plan
        self._counts = counts
        self._revisions: dict[Place, int] = {}

    def judge(
        self,
        records: Sequence[Record],
        place: Place,
        view: View,
        origin: Mapping[str, Any],
        revision: int,
    ) -> None:
        """The readings of one flush: all of its revision, and of what it includes: `origin`."""
        written = [(record, orjson.loads(record.value)) for record in records if record.value]
        shown = {record.key for record, _ in written}
        for record in records:
            if record.value is None:
                self._judge_tombstone(record, view, again=record.key in shown)
        before = self._revisions.get(place, 0)
        expect(revision == before + bool(written), f"revision {revision} after {before}")
        self._revisions[place] = revision
        for record, reading in written:
            self._judge_place(record, reading, place)
            expect(reading["revision"] == revision, f"{record.key!r}: not of its flush: {reading}")
            included = {name: reading.get(name) for name in origin}
            expect(included == origin, f"{record.key!r} includes {included}, not {origin}")
            self.judge_figures(reading, view)
            self.held[reading["scope"], reading["id"], reading["window"]] = (view.now, reading)

    def judge_figures(self, reading: dict[str, Any], view: View) -> None:
        """Each KPI with its samples, the team and the verdicts."""
        self._counts["readings audited"] += 1
        self._counts["stale readings audited"] += view.held
        scope, name, window = reading["scope"], reading["id"], reading["window"]
        place = f"{scope}/{name}/{window}"
        span = ms_of(reading["from"]), ms_of(reading["to"])
        expect(span == view.definitions.span(window, view.now), f"{place}: its window is {span}")
        expected = view.figures(scope, name, window)
        found = {
            kpi: (figure["value"], figure["samples"]) for kpi, figure in reading["kpis"].items()
        }
        if found != expected:
            wrong = {k: (found.get(k), expected.get(k)) for k in found.keys() | expected.keys()}
            wrong = {k: v for k, v in sorted(wrong.items()) if v[0] != v[1]}
            expect(holds=False, otherwise=f"{place}: found and expected: {wrong}")
        team = view.team(scope, name)
        expect(reading["team"] == team, f"{place}: team {reading['team']}, not {team}")
        verdicts = {
            goal.name: verdict(goal, expected[goal.kpi.name])
            for goal in self._plan.goals
            if (goal.scope, goal.window) == (scope, window) and not view.held
        }
        said = {goal: given["verdict"] for goal, given in reading["goals"].items()}
        expect(said == verdicts, f"{place}: verdicts {said}, not {verdicts}")

    def judge_rest(self, place: Place, view: View) -> None:
        """At rest, each key's last reading is what is there, but for the last step of rolling."""
        for kind in self._plan.kinds:
            for window in self._plan.settings.windows:
                self._judge_rest(kind, window, place, view)

    def _judge_rest(self, kind: str, window: str, place: Place, view: View) -> None:
        step = max(MINUTE, self._plan.definitions.lengths[window] // 60)
        settled = view.now - step - 2 * self._plan.settings.flush_interval
        for name in view.lasting(kind, window, settled):
            shown = (kind, name, window) in self.held
            own = place_of(kind, name, self._plan.partitions) == place
            expect(shown or not own, f"{kind}/{name}/{window} has events and no reading")
        ever = view.ever(kind, window, settled)
        for key, (read_at, reading) in self.held.items():
            if key[::2] == (kind, window) and place_of(*key[:2], self._plan.partitions) == place:
                expect(ever.has(key[1]), f"{key}: a reading of nothing still stands")
                at = max(settled, read_at)
                start = view.definitions.span(window, at)[0]
                if at > settled and start != view.definitions.span(window, view.now)[0]:
                    continue  # an event of the past was no longer in the window when it came
                expected = view.figures(*key, now=at)
                found = {k: (f["value"], f["samples"]) for k, f in reading["kpis"].items()}
                text = f"{key}: the last reading, of {reading['as_of']}, is not what is there"
                expect(found == expected, f"{text} at {at}")

    def _judge_place(self, record: Record, reading: dict[str, Any], place: Place) -> None:
        key = f"{reading['scope']}/{reading['id']}/{reading['window']}".encode()
        expect(record.key == key, f"{record.key!r} holds the reading of {key!r}")
        right = partition_of(key, self._plan.partitions)
        expect(record.partition == right, f"{key!r} is on partition {record.partition}")
        own = place_of(reading["scope"], reading["id"], self._plan.partitions)
        expect(own == place, f"{key!r} was read by {place}")

    def _judge_tombstone(self, record: Record, view: View, *, again: bool) -> None:
        self._counts["tombstones"] += 1
        scope, name, window = (record.key or b"").decode().split("/")
        if not again:
            there = view.groups(scope, window).has(name)
            expect(not there, f"{record.key!r} was deleted and has events")
        self.held.pop((scope, name, window), None)


def ms_of(text: str) -> int:
    """Epoch milliseconds of an instant as readings and alerts write it."""
    return (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
