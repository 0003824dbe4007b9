"""What log lines look like, and whose they are."""

from __future__ import annotations

import logging
from typing import Final

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up(*, verbose: bool) -> None:
    """Our own lines from INFO on, others' from WARNING; more of both where it is asked for."""
    logging.basicConfig(level=logging.WARNING, format=_FORMAT)
    logging.getLogger("stream").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("faust").setLevel(logging.INFO if verbose else logging.ERROR)


def sign_lines(name: str) -> None:
    """Begins every line with `name`, where several processes write to one place."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(logging.Formatter(f"{name.replace('%', '%%')} {_FORMAT}"))
