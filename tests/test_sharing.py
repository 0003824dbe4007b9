"""Which tests stay together where processes share them."""

from __future__ import annotations

from pathlib import Path

from tests.sharing import APART, together

REPO = Path(__file__).parents[1]


def test_a_files_tests_stay_together_but_those_of_the_longest() -> None:
    """Otherwise one process would be left with minutes of work while the other has none."""
    assert together("tests/deploy/test_acls.py::test_a") == together(
        "tests/deploy/test_acls.py::test_b[tests/kafka/test_exact.py::x]"
    )
    exact = {together(f"tests/kafka/test_exact.py::test_a[{n}]") for n in range(4)}
    assert len(exact) == 4
    assert [file for file in APART if not (REPO / file).exists()] == []
