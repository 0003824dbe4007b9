"""Certificates for tests, made when they are needed: good for a day, and for loopback only."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from tests.fetched import run
from tests.ports import HOST

_NEW: Final = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Identity(NamedTuple):
    """A certificate and its key, in PEM."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; who trusts it trusts them."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        """Makes its own, in `folder`."""
        self._folder = folder
        self._own = self._make(name, "basicConstraints=critical,CA:TRUE")

    @property
    def file(self) -> Path:
        """What those who trust it are given."""
        return self._own.certificate

    def sign(self, name: str, address: str = HOST) -> Identity:
        """A new identity that may call itself `address`."""
        by = ["-CA", str(self._own.certificate), "-CAkey", str(self._own.key)]
        return self._make(
            name, f"subjectAltName=IP:{address}", "basicConstraints=critical,CA:FALSE", by=by
        )

    def _make(self, name: str, *extensions: str, by: list[str] | None = None) -> Identity:
        made = Identity(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        command = [*_NEW, "-noenc", "-days", "1", "-subj", f"/CN={name}", *(by or [])]
        command += [part for extension in extensions for part in ("-addext", extension)]
        run(*command, "-keyout", made.key, "-out", made.certificate)
        return made


def encrypted(key: Path, password: str) -> Path:
    """A copy of a key that only `password` opens."""
    copy = key.with_suffix(".encrypted.key")
    command = ["openssl", "pkcs8", "-topk8", "-in", str(key), "-out", str(copy)]
    run(*command, "-passout", "stdin", given=password)
    return copy
