"""What SQL says of every figure at a moment of rest, and how a board differs from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stream.core.kpis import SCOPE_KINDS
from tests.chaos.findings import Findings
from tests.kafka.board import Board, differences, with_samples
from tests.oracle.sql import Expected, Oracle


class AtRest:
    """Every id and window of every scope has a last reading of this instant, and it is SQL's."""

    def __init__(self, oracle: Oracle, windows: Sequence[str], now_ms: int) -> None:
        """Asks SQL, once."""
        self._now_ms = now_ms
        self._expected: dict[str, Expected] = {
            scope: with_samples(oracle.expected(now_ms, scope, windows)) for scope in SCOPE_KINDS
        }

    def is_shown(self, board: Board) -> bool:
        """Whether nothing is missing, too much or different."""
        return all(
            expected.keys() == board.of(scope, self._now_ms).keys()
            and not any(self._wrong(scope, board))
            for scope, expected in self._expected.items()
        )

    def check(self, findings: Findings, board: Board) -> None:
        """Counts what is missing, too much or different."""
        for scope, expected in self._expected.items():
            found = board.of(scope, self._now_ms)
            findings.count("readings at rest missing", expected.keys() - found.keys())
            findings.count("readings at rest of nothing", found.keys() - expected.keys())
            findings.count("final figures that are not SQL's", self._wrong(scope, board))
            findings.seen["final figures compared"] += sum(map(len, expected.values()))

    def _wrong(self, scope: str, board: Board) -> Iterator[str]:
        expected, found = self._expected[scope], board.of(scope, self._now_ms)
        for key in expected.keys() & found.keys():
            for what in differences(expected[key], found[key]):
                yield f"{scope} {key}: {what}"
