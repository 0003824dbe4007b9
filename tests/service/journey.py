"""When what happened on the way of one missed goal, by the clocks of those who saw it."""

from __future__ import annotations

import time
from typing import NamedTuple


class Step(NamedTuple):
    """Something that was seen, and when; in seconds since 1970."""

    at_s: float
    what: str


class Journey:
    """The steps of a story, in any order; `about` begins a chapter that counts from its first."""

    def __init__(self) -> None:
        self._chapters: dict[str, list[Step]] = {}

    def about(self, chapter: str) -> None:
        """What follows is about this."""
        self._chapters[chapter] = []

    def note(self, what: str, at_s: float | None = None) -> None:
        """Something was seen; now, unless told."""
        steps = list(self._chapters.values())[-1]
        steps.append(Step(time.time() if at_s is None else at_s, what))

    def table(self) -> str:
        """A line per step: seconds since the chapter's first, and since the step before."""
        lines = []
        for chapter, steps in self._chapters.items():
            lines += [chapter, "  since it began   this step"]
            first = before = min(step.at_s for step in steps)
            for step in sorted(steps):
                lines.append(
                    f"  {step.at_s - first:12.2f} s {step.at_s - before:9.2f} s  {step.what}"
                )
                before = step.at_s
        return "\n".join(lines)
