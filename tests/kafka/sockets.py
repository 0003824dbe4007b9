"""Where a process listens, as the system says it."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_LISTENS: Final = "0A"


def listening(pid: int) -> set[tuple[str, int]]:
    """The addresses and ports on which a process takes TCP connections."""
    own = set(_sockets_of(pid))
    tables = [PROC / str(pid) / "net" / name for name in ("tcp", "tcp6")]
    lines = [line.split() for t in tables if t.exists() for line in t.read_text().splitlines()[1:]]
    return {
        (_address(host), int(port, 16))
        for _, place, _, state, _, _, _, _, _, inode, *_ in lines
        if state == _LISTENS and inode in own
        for host, _, port in [place.partition(":")]
    }


def _sockets_of(pid: int) -> Iterator[str]:
    for descriptor in (PROC / str(pid) / "fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:  # closed in between
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def _address(written: str) -> str:
    """The kernel writes addresses as words in the machine's own byte order."""
    words = [int(written[at : at + 8], 16) for at in range(0, len(written), 8)]
    return str(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words)))
