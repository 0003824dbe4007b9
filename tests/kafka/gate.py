"""A guarded broker with what it takes to be let in, and what does not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.kafka.live import written_settings
from tests.kafka_broker.certificates import Authority, encrypted
from tests.kafka_broker.guarded import GuardedBroker

PASSWORD: Final = "b5-not-for-logs"  # noqa: S105 - the test's own broker's
KEY_PASSWORD: Final = "k7-not-for-logs"  # noqa: S105 - the test's own key's


class Gate(NamedTuple):
    """A guarded broker, and what it takes to be let in."""

    guarded: GuardedBroker
    ca_file: str
    other_ca_file: str
    own: dict[str, str]
    foreign: dict[str, str]

    def security(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Settings with our files in the place of their names."""
        given = dict(fields)
        who, ca = given.pop("who", None), given.pop("ca", "ours")
        files = {"own": self.own, "foreign": self.foreign, None: {}}[who]
        ca_file = {"ours": self.ca_file, "other": self.other_ca_file, "none": None}[ca]
        return given | files | ({"ca_file": ca_file} if ca_file else {})

    def settings(self, prefix: str, protocol: str, **fields: Any) -> dict[str, Any]:
        """A worker's, by the listener of this protocol."""
        address = self.guarded.address(protocol)
        return written_settings(address, prefix, partitions=2, time="replay", **fields)


@contextmanager
def open_gate(folder: Path) -> Iterator[Gate]:
    """The broker, its authority, one that it does not know, and a client of each."""
    ours, other = Authority(folder), Authority(folder, "other-authority")
    own, foreign = ours.sign("worker"), other.sign("stranger")
    own_files = {
        "cert_file": str(own.certificate),
        "key_file": str(encrypted(own.key, KEY_PASSWORD)),
        "key_password": KEY_PASSWORD,
    }
    foreign_files = {"cert_file": str(foreign.certificate), "key_file": str(foreign.key)}
    guarded = GuardedBroker(folder, ours, PASSWORD)
    with guarded.broker:
        yield Gate(guarded, str(ours.file), str(other.file), own_files, foreign_files)
