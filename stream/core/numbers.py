"""Names as small numbers, by which arrays can be looked up."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

N = TypeVar("N", bound=Hashable)


class Numbers(Generic[N]):
    """Each name has a number for as long as something refers to it; a freed one serves again."""

    def __init__(self, reserved: int = 0) -> None:
        """No names yet; the first `reserved` numbers are nobody's and never given."""
        self.names: list[N | None] = [None] * reserved
        self.of: dict[N, int] = {}
        self._references = [1] * reserved
        self._free: list[int] = []

    def hold(self, name: N) -> int:
        """The number of `name`, with one more reference to it."""
        (number,) = self.hold_all([name])
        return number

    def hold_all(self, names: Sequence[N | None]) -> list[int]:
        """The same for many names; None has number 0, which has to be reserved."""
        of, references = self.of, self._references
        new = [name for name in dict.fromkeys(names) if name is not None and name not in of]
        self._give(new)
        numbers = [0 if name is None else of[name] for name in names]
        for number in numbers:
            references[number] += 1
        return numbers

    def let_go(self, number: int) -> bool:
        """Takes a reference back; whether it was the last one. The name stays until `free`."""
        self._references[number] -= 1
        return not self._references[number]

    def free(self, number: int) -> None:
        """Makes a number that nothing refers to available for another name."""
        name = self.names[number]
        assert name is not None, "only a given number is freed"
        assert not self._references[number], "only an unused number is freed"
        del self.of[name]
        self.names[number] = None
        self._free.append(number)

    def _give(self, names: Sequence[N]) -> None:
        """Numbers to names that have none: first those that others had."""
        reused = self._free[len(self._free) - min(len(names), len(self._free)) :]
        del self._free[len(self._free) - len(reused) :]
        for number, name in zip(reused, names, strict=False):
            self.names[number] = name
        fresh = names[len(reused) :]
        given = [*reused, *range(len(self.names), len(self.names) + len(fresh))]
        self.names += fresh
        self._references += [0] * len(fresh)
        self.of.update(zip(names, given, strict=True))
