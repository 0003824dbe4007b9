"""Host names of the stack as addresses on loopback: every port may stay as it is written."""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Final

_HERE: Final = re.compile(r"\b(?:0\.0\.0\.0|127\.0\.0\.1|localhost)\b")


class Hosts:
    """An address for each name: of 127.0.0.0/8, all of which is this machine's on Linux."""

    def __init__(self, names: Iterable[str]) -> None:
        """In a corner of loopback that nobody else is likely to be in."""
        corner = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
        self._addresses = {name: f"{corner}.{n}" for n, name in enumerate(names, 2)}
        self._names = re.compile(rf"(?<![\w.-])({'|'.join(self._addresses)})(?=:\d)")

    def address(self, name: str) -> str:
        """Where this host listens."""
        return self._addresses[name]

    def name(self, address: str) -> str:
        """Whose address this is, with or without a port."""
        (found,) = (
            n for n, known in self._addresses.items() if known == address.split(":", maxsplit=1)[0]
        )
        return found

    def named(self, text: str) -> str:
        """A file's text, with addresses in place of the hosts it names with a port."""
        return self._names.sub(lambda match: self._addresses[match[1]], text)

    def inside(self, name: str, text: str) -> str:
        """What is written for use inside one host: what it calls its own are its addresses."""
        return self.named(_HERE.sub(self._addresses[name], text))

    def variables(self, name: str, written: Mapping[str, object]) -> dict[str, str]:
        """A host's environment, likewise."""
        return {key: self.inside(name, str(value)) for key, value in written.items()}

    def answers(self, name: str, port: int) -> bool:
        """Whether something listens there."""
        with socket.socket() as probe:
            return probe.connect_ex((self._addresses[name], port)) == 0
