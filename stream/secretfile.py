"""Secrets from files, as Docker, Kubernetes and systemd hand them over."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

SECRET_BYTES_MAX: Final = 64 * 1024


def from_files(fields: Any, *names: str) -> Any:
    """A model's raw fields, with the secrets of `names` read from `NAME_file` where that is given.

    Raises:
        ValueError: naming the field, and nothing of the secret.
    """
    if not isinstance(fields, dict):
        return fields
    read = dict(fields)
    for name in names:
        file = fields.get(f"{name}_file")
        if file is None:
            continue
        if fields.get(name) is not None:
            raise ValueError(f"{name} and {name}_file exclude each other")
        read[name] = _secret(f"{name}_file", Path(str(file)))
    return read


def _secret(name: str, file: Path) -> str:
    """What stands in the file, less the end of its line."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(SECRET_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: {file} cannot be read: {error}") from error
    if len(raw) > SECRET_BYTES_MAX:
        raise ValueError(f"{name}: {file} is larger than {SECRET_BYTES_MAX} bytes")
    try:
        secret = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        secret = ""
    if not secret:
        raise ValueError(f"{name}: {file} holds no line of UTF-8")
    return secret
