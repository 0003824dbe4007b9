"""What a check has looked at and what it has found."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

EXAMPLES_MAX: Final = 24


@dataclass
class Judged:
    """Alerts on one kind of scope: those that SQL demands and forbids, and those not as it says."""

    demanded: int = 0
    lost: int = 0
    forbidden: int = 0
    in_vain: int = 0


@dataclass
class Findings:
    """`seen` says how much was looked at; every number in `wrong` has to be 0.

    `alerts` splits by kind of scope what both say of alerts.
    """

    seen: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    alerts: dict[str, Judged] = field(default_factory=lambda: defaultdict(Judged))
    examples: list[str] = field(default_factory=list)
    _told: int = 0

    def count(self, what: str, wrong: Iterable[object]) -> None:
        """Counts what is wrong, zero too, and keeps some examples."""
        found = [str(item) for item in wrong]
        self.wrong[what] += len(found)
        room = max(0, EXAMPLES_MAX - len(self.examples))
        self.examples += [f"{what}: {item}"[:600] for item in found[:room]]

    def set(self, what: str, wrong: Iterable[object]) -> None:
        """The same for what was looked at anew as a whole: what was counted before is forgotten."""
        self.wrong[what] = 0
        self.count(what, wrong)

    def take_examples(self) -> list[str]:
        """The examples since the last call."""
        fresh, self._told = self.examples[self._told :], len(self.examples)
        return fresh
