"""What the tests run that is not Python's own: fetched into `build/`, once, and run."""

from __future__ import annotations

import fcntl
import functools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

BUILD: Final = Path(__file__).parents[1] / "build"
SECONDS: Final = 300.0
INSTALL_SECONDS: Final = 600.0


class UnavailableError(RuntimeError):
    """A program is not to be had here, or does not do what it was asked; says why."""


def run(
    *command: str | Path, seconds: float = SECONDS, cwd: Path | None = None, given: str = ""
) -> str:
    """What a program prints, its errors last; `given` is its input.

    Raises:
        UnavailableError: if it does not run, or fails; with the end of what it said.
    """
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{command[0]} did not run: {error}") from error
    said = (done.stdout + done.stderr).strip()
    if done.returncode != 0:
        raise UnavailableError(f"{command[0]} failed ({done.returncode}):\n{said[-4000:]}")
    return said


@contextmanager
def making(folder: Path, *sources: Path) -> Iterator[bool]:
    """Whether a folder of `build/` has to be made of these files, while nobody else does so.

    They are copied into it at the end of the block: it is made again when they have changed.
    """
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        copies = [(source, folder / source.name) for source in sources]
        is_made = folder.exists() and all(
            copy.exists() and copy.read_bytes() == source.read_bytes() for source, copy in copies
        )
        if not is_made:
            shutil.rmtree(folder, ignore_errors=True)
        yield not is_made
        if not is_made:
            for source, copy in copies:
                shutil.copy(source, copy)


def debian(package: str, change: Callable[[Path], None] = lambda _: None) -> Path:
    """One of Debian's packages, unpacked, which needs no root; `change` mends it first.

    Raises:
        UnavailableError: if it is not to be fetched.
    """
    folder, parts = BUILD / package, BUILD / f"{package}.part"
    with making(folder) as is_needed:
        if is_needed:
            if shutil.which("apt-get") is None:
                raise UnavailableError(f"{package} is not installed, and there is no apt-get")
            shutil.rmtree(parts, ignore_errors=True)
            for needed in ("lists/partial", "archives/partial"):
                (parts / needed).mkdir(parents=True)
            own = ("-o", f"Dir::State::lists={parts}/lists", "-o", f"Dir::Cache={parts}")
            run("apt-get", *own, "-qq", "update")
            run("apt-get", *own, "-qq", "download", package, cwd=parts)
            (archive,) = parts.glob("*.deb")
            run("dpkg", "-x", archive, parts / "unpacked")
            change(parts / "unpacked")
            (parts / "unpacked").rename(folder)
            shutil.rmtree(parts)
    return folder


def environment(name: str, requirements: Path) -> Path:
    """The `bin` of a Python environment with what is pinned there, by its hashes.

    Raises:
        UnavailableError: if it is not to be installed.
    """
    folder = BUILD / name
    with making(folder, requirements) as is_needed:
        if is_needed:
            run(sys.executable, "-m", "venv", folder)
            install = ("install", "--quiet", "--require-hashes", "--requirement", requirements)
            run(folder / "bin" / "python", "-m", "pip", *install, seconds=INSTALL_SECONDS)
    return folder / "bin"


def modules(name: str, *sources: Path) -> Path:
    """A folder with these, and with the Node modules that the package-lock.json among them pins.

    Raises:
        UnavailableError: if there is no Node, or they are not to be installed.
    """
    folder = BUILD / name
    with making(folder, *sources) as is_needed:
        if is_needed:
            folder.mkdir()
            for source in sources:
                shutil.copy(source, folder)
            run("npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
    return folder


@functools.cache
def why_unavailable(program: Callable[[str], str], *names: str) -> str | None:
    """Why programs cannot run here, or None if they can; fetches them to know."""
    try:
        for name in names:
            program(name)
    except UnavailableError as error:
        return str(error)
    return None
