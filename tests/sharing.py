"""Which tests stay together where processes share them (`--numprocesses`)."""

from __future__ import annotations

from typing import Final

from xdist.scheduler.loadscope import LoadScopeScheduling

# Minutes each; what their tests have in common costs less than waiting for all of them at the end.
APART: Final = frozenset(
    {"tests/core/test_properties.py", "tests/kafka/test_exact.py", "tests/sim/test_simulate.py"}
)


class Sharing(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out a file at a time, since brokers and workers are started once for a file's tests.

    In place of `--dist loadgroup`, which pytest 9.2 makes ineffective: pytest-xdist 3.8 writes a
    group into `_nodeid`, from which no node's name is taken any more.
    """

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)


def together(nodeid: str) -> str:
    """A name that is the same for tests that stay together."""
    file = nodeid.partition("::")[0]
    return nodeid if file in APART else file
