"""The shipped Alertmanager configuration, with a test's own receivers and shorter waits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import yaml

DEPLOY: Final = Path(__file__).parents[2] / "deploy" / "alertmanager"
CONFIG: Final = DEPLOY / "alertmanager.yml"
ALWAYS: Final = [{"times": [{"start_time": "00:00", "end_time": "24:00"}]}]
NEVER: Final = [{"years": ["1970"]}]


# What else a receiver may have: the list, and its indented items, which prose is not.
_BESIDE: Final = re.compile(r"^(    )# ((?:webhook_configs|slack_configs):$| +\S.*$)", re.MULTILINE)


def with_everything(text: str) -> str:
    """The configuration with the webhooks and the chat that stand in its comments."""
    found, count = _BESIDE.subn(r"\1\2", text)
    assert count >= 9, "the examples are written otherwise than is looked for"
    return found


def shipped(*, mail: int, hook: int, chat: int, quiet: bool = False) -> dict[str, Any]:
    """The configuration with these ports; `quiet`: whether now is one of the mute hours."""
    config: dict[str, Any] = yaml.safe_load(with_everything(CONFIG.read_text("utf-8")))
    config["global"]["smtp_smarthost"] = f"127.0.0.1:{mail}"
    config["templates"] = [str(DEPLOY / name) for name in config["templates"]]
    config["route"] |= {"group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h"}
    for interval in config["time_intervals"]:
        interval["time_intervals"] = ALWAYS if quiet else NEVER
    text = json.dumps(config)
    for written, port in (("localhost:8085", hook), ("localhost:8086", chat)):
        assert written in text
        text = text.replace(written, f"127.0.0.1:{port}")
    found: dict[str, Any] = json.loads(text)
    return found
