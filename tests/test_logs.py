"""Log lines of several processes in one place."""

from __future__ import annotations

import io
import logging

import pytest

from stream import logs


def test_lines_begin_with_the_name_they_are_signed_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever characters it has; before the time, where the eye looks."""
    written = io.StringIO()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [logging.StreamHandler(written)])
    logs.sign_lines("100%s-1")
    root.warning("it is %s", "so")
    assert written.getvalue().startswith("100%s-1 20")
    assert written.getvalue().endswith(" WARNING root: it is so\n")
