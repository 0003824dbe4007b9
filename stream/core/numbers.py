"""Names as small numbers, by which arrays can be looked up."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar, cast

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
        number = self.of.get(name)
        if number is None:
            if self._free:
                number = self._free.pop()
                self.names[number] = name
            else:
                number = len(self.names)
                self.names.append(name)
                self._references.append(0)
            self.of[name] = number
        self._references[number] += 1
        return number

    def hold_all(self, names: Iterable[N | None]) -> list[int]:
        """The same for many names; None has number 0, which has to be reserved."""
        of, hold, references = self.of, self.hold, self._references
        numbers = []
        for name in names:
            number = 0 if name is None else of.get(name)
            if number is None:
                number = hold(cast("N", name))
            elif number:
                references[number] += 1
            numbers.append(number)
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
