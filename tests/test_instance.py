"""One worker per instance name."""

from __future__ import annotations

import secrets

import pytest

from stream.instance import hold_instance
from stream.yamlfile import Faults


def test_a_name_is_held_once_and_free_again_when_its_worker_ends() -> None:
    """The second worker is told which setting it is; another name, or app, is another matter."""
    app = f"test/{secrets.token_hex(4)}"
    held = hold_instance(app, "w-1")
    with pytest.raises(Faults, match="setting 'instance': 'w-1' is in use by another worker"):
        hold_instance(app, "w-1")
    hold_instance(app, "w-2").close()
    hold_instance(f"{app}x", "w-1").close()
    held.close()
    hold_instance(app, "w-1").close()
