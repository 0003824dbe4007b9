"""`goals.yaml`: read, validated whole, and mapped into goals of the core."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from stream.core.goals import Goal, Severity, Target, Terms, parse_target
from stream.core.kpis import CATALOGUE, Kpi, ScopeKind
from stream.fields import DurationMs, KpiName, Strict, WindowName, matching
from stream.yamlfile import Faults, read_yaml

GOALS_MAX = 500

Bound = Annotated[str, Field(max_length=100)]


class TermsEntry(Strict):
    """What may be said for everybody, and again for one team or one id."""

    target: Bound | None = None
    clear: Bound | None = None
    warn: Bound | None = None
    min_samples: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class Overrides(Strict):
    """Terms of single teams and ids; what they leave out is as for everybody."""

    team: dict[str, TermsEntry] = Field(default_factory=dict)
    agent: dict[str, TermsEntry] = Field(default_factory=dict)
    id: dict[str, TermsEntry] = Field(default_factory=dict)


class GoalEntry(TermsEntry):
    """One goal, as it is written."""

    name: Annotated[
        str,
        matching(
            r"[a-z0-9][a-z0-9._-]{0,99}",
            "up to 100 of a-z, 0-9, '.', '_' and '-', the first a letter or digit",
        ),
    ]
    purpose: Annotated[str, Field(min_length=1, max_length=500)]
    kpi: KpiName
    scope: ScopeKind = "agent"
    window: WindowName
    target: Bound
    hold: Annotated[DurationMs, Field(alias="for")] = 0
    severity: Severity = "warning"
    evidence: Annotated[float, Field(ge=0.5, lt=1)] | None = None
    team: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    what_to_do: Annotated[str, Field(max_length=1_000)] | None = None
    overrides: Overrides = Overrides()


class GoalFile(Strict):
    """The whole file: goals, and who leads which team."""

    goals: Annotated[list[dict[str, Any]], Field(max_length=GOALS_MAX)] = Field(
        default_factory=list
    )
    leads: dict[str, str] = Field(default_factory=dict)


def load_goals(
    file: Path, windows: tuple[str, ...] | None
) -> tuple[tuple[Goal, ...], dict[str, str]]:
    """The goals in `file` and the team leads; none where there is no such file.

    `windows` are those that are kept (None: not known, so not compared).

    Raises:
        Faults: all of them at once, each naming its goal.
    """
    if not file.exists():
        return (), {}
    raw = read_yaml(file) or {}
    try:
        whole = GoalFile.model_validate(raw)
    except ValidationError as error:
        raise Faults([_explain_file(fault) for fault in error.errors()]) from error
    faults = [*_repeated_names(whole.goals)]
    goals = []
    for number, written in enumerate(whole.goals, start=1):
        goal, found = _read_goal(written, number, windows)
        goals.append(goal)
        faults += found
    if faults:
        raise Faults(faults)
    return tuple(goal for goal in goals if goal is not None), whole.leads


def _read_goal(
    written: dict[str, Any], number: int, windows: tuple[str, ...] | None
) -> tuple[Goal | None, list[str]]:
    """One goal, or what is wrong with it; the others' faults do not hide these."""
    name = written.get("name")
    subject = f"goal {name!r}" if isinstance(name, str) and name else f"goal no. {number}"
    try:
        entry = GoalEntry.model_validate(written)
    except ValidationError as error:
        return None, [_explain(fault, subject) for fault in error.errors()]
    mapper = _Mapper(entry, windows)
    return mapper.goal(), [f"{subject}: {fault}" for fault in mapper.faults]


def _repeated_names(goals: list[dict[str, Any]]) -> Iterator[str]:
    counts = Counter(name for goal in goals if isinstance(name := goal.get("name"), str))
    for name, count in sorted(counts.items()):
        if count > 1:
            yield f"goal {name!r}: there are {count} goals of this name"


def _explain_file(fault: Any) -> str:
    """A fault in what stands around the goals, or in a goal that is no mapping at all."""
    place = fault["loc"]
    if place[:1] == ("goals",) and len(place) > 1:
        return _explain({**fault, "loc": ()}, f"goal no. {place[1] + 1}")
    return _explain({**fault, "loc": place or ("(as a whole)",)}, "goals file")


def _explain(fault: Any, subject: str) -> str:
    """From the outside in: which goal, which of its fields, what is wrong."""
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "no such field"
    place = ".".join(str(part) for part in fault["loc"])
    if not place.isprintable():  # a line stays one
        place = repr(place)
    return f"{subject}: {place}: {message}" if place else f"{subject}: {message}"


class _Mapper:
    """Maps one entry into a goal and collects what is wrong on the way."""

    def __init__(self, entry: GoalEntry, windows: tuple[str, ...] | None) -> None:
        self.entry = entry
        self.kpi: Kpi = CATALOGUE[entry.kpi]
        self.faults: list[str] = []
        if windows is not None and entry.window not in windows:
            self.faults.append(f"window: {entry.window!r} is not kept; kept are {list(windows)}")
        if entry.scope not in self.kpi.scopes:
            given = sorted(self.kpi.scopes)
            self.faults.append(
                f"kpi: {entry.kpi!r} is not given for scope {entry.scope!r}; it is for {given}"
            )
        if entry.evidence is not None and self.kpi.shape != "rate":
            self.faults.append(f"evidence: {entry.kpi!r} is a {self.kpi.shape}, not a rate")
        if entry.team is not None and entry.scope in {"agent", "team"}:
            self.faults.append(f"team: each {entry.scope} has its own; 'team' is for other scopes")

    def goal(self) -> Goal | None:
        """The goal, or None where there is a fault."""
        entry = self.entry
        terms = self._terms(entry, None, "")
        by_team = self._overrides(entry.overrides.team, terms, "team")
        by_id = self._overrides(entry.overrides.id, terms, "id")
        by_id |= self._overrides(entry.overrides.agent, terms, "agent")
        if entry.overrides.agent and entry.scope != "agent":
            self.faults.append(f"overrides.agent: the goal is for a {entry.scope}; use 'id'")
        if self.faults or terms is None:
            return None
        return Goal(
            name=entry.name,
            purpose=entry.purpose,
            kpi=self.kpi,
            scope=entry.scope,
            window=entry.window,
            terms=terms,
            what_to_do=entry.what_to_do or self.kpi.when_missed,
            for_ms=entry.hold,
            severity=entry.severity,
            evidence=entry.evidence,
            team=entry.team,
            by_team=by_team,
            by_id=by_id,
        )

    def _overrides(
        self, entries: dict[str, TermsEntry], base: Terms | None, kind: str
    ) -> dict[str, Terms]:
        if base is None:
            return {}
        found = {
            name: self._terms(entry, base, f"overrides.{kind}.{name}.")
            for name, entry in entries.items()
        }
        return {name: terms for name, terms in found.items() if terms is not None}

    def _terms(self, entry: TermsEntry, base: Terms | None, place: str) -> Terms | None:
        """The entry's terms, with `base` where it says nothing."""
        target = self._target(entry.target, f"{place}target")
        if target is None and base is not None:
            target = base.target
        if target is None:
            return None
        moved = entry.target is not None and base is not None
        clear = self._beyond(entry.clear, target, f"{place}clear")
        warn = self._beyond(entry.warn, target, f"{place}warn")
        inherited = base if base is not None and not moved else None
        return Terms(
            target=target,
            clear=clear or (inherited.clear if inherited else None),
            warn=warn or (inherited.warn if inherited else None),
            min_samples=entry.min_samples or (base.min_samples if base else 1),
        )

    def _target(self, text: str | None, place: str) -> Target | None:
        if text is None:
            return None
        try:
            return parse_target(text, self.kpi)
        except ValueError as error:
            self.faults.append(f"{place} {error}")
            return None

    def _beyond(self, text: str | None, target: Target, place: str) -> Target | None:
        """A bound on the good side of the target: `clear`, `warn`."""
        bound = self._target(text, place)
        if bound is None:
            return None
        if bound.at_least != target.at_least or not target.holds(bound.bound):
            self.faults.append(f"{place} {text!r}: has to lie beyond the target {target}")
            return None
        return bound
