"""Stored records say in which format they are: one that another version wrote is not guessed at."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct, convert, json

S = TypeVar("S", bound=Struct)


class UnknownFormatError(Exception):
    """A stored record was written by another version of this program; says which."""


def decode_stored(value: bytes, kind: type[S], version: int, what: str) -> S:
    """What stands in `value`, which says its `format`; `what` names it for people.

    Raises:
        UnknownFormatError: if another version wrote it. That is asked first: its fields may differ.
    """
    fields = json.decode(value)
    found = fields.get("format")
    if found != version:
        message = f"{what} has format {found}; this version reads {version}"
        raise UnknownFormatError(message)
    return convert(fields, kind)
