"""Debian's own Alertmanager, unpacked where it is not installed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from tests.fetched import BUILD, debian

PACKAGE: Final = "prometheus-alertmanager"
# Where Debian's build looks for its templates, and the folder it is started in, as long a name.
_BUILT_IN: Final = b"/usr/share/prometheus/alertmanager"
_WORKING: Final = b"/proc/self/cwd" + b"/." * 10
SHARE: Final = BUILD / PACKAGE / "usr" / "share" / "prometheus" / "alertmanager"


def program(name: str) -> str:
    """The path of `prometheus-alertmanager` or `amtool`: installed, or fetched once.

    A fetched one has to be started in the folder `SHARE`.

    Raises:
        UnavailableError: if it is neither here nor to be fetched.
    """
    return shutil.which(name) or str(debian(PACKAGE, _look_in_the_folder) / "usr" / "bin" / name)


def _look_in_the_folder(unpacked: Path) -> None:
    alertmanager = unpacked / "usr" / "bin" / PACKAGE
    alertmanager.write_bytes(alertmanager.read_bytes().replace(_BUILT_IN, _WORKING))
