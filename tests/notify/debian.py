"""Debian's own Alertmanager, unpacked beside the project's other downloads; needs no root."""

from __future__ import annotations

import fcntl
import functools
import shutil
import subprocess
from pathlib import Path
from typing import Final

PACKAGE: Final = "prometheus-alertmanager"
FOLDER: Final = Path(__file__).parents[2] / "build" / "alertmanager"
FETCH_SECONDS: Final = 300
# Where Debian's build looks for its templates, and the folder it is started in, as long a name.
_BUILT_IN: Final = b"/usr/share/prometheus/alertmanager"
_WORKING: Final = b"/proc/self/cwd" + b"/." * 10
SHARE: Final = FOLDER / "usr" / "share" / "prometheus" / "alertmanager"


class UnavailableError(RuntimeError):
    """Alertmanager is not to be had here."""


@functools.cache
def why_unavailable() -> str | None:
    """Why Alertmanager cannot run here, or None if it can; fetches it to know."""
    try:
        program("prometheus-alertmanager")
    except UnavailableError as error:
        return str(error)
    return None


def program(name: str) -> str:
    """The path of `prometheus-alertmanager` or `amtool`: installed, or fetched once.

    A fetched one has to be started in the folder `SHARE`.

    Raises:
        UnavailableError: if it is neither here nor to be fetched.
    """
    installed = shutil.which(name)
    if installed is not None:
        return installed
    fetched = FOLDER / "usr" / "bin" / name
    FOLDER.parent.mkdir(exist_ok=True)
    with FOLDER.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not fetched.exists():
            _fetch()
    return str(fetched)


def _fetch() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    parts = FOLDER.with_suffix(".part")
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    try:
        _run("apt-get", "download", PACKAGE, cwd=parts)
    except UnavailableError:  # on a bare machine it knows of no package yet
        _run("apt-get", "update", "-qq", cwd=parts)
        _run("apt-get", "download", PACKAGE, cwd=parts)
    (package,) = parts.glob("*.deb")
    _run("dpkg", "-x", package.name, "unpacked", cwd=parts)
    alertmanager = parts / "unpacked" / "usr" / "bin" / PACKAGE
    alertmanager.write_bytes(alertmanager.read_bytes().replace(_BUILT_IN, _WORKING))
    (parts / "unpacked").rename(FOLDER)
    shutil.rmtree(parts)


def _run(*command: str, cwd: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{command[0]} did not run: {error}") from error
    if done.returncode:
        raise UnavailableError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
