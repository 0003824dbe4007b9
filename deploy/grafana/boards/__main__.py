"""Writes the boards, and the recording rules of what they compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.boards.agent import agent
from deploy.grafana.boards.frame import as_json
from deploy.grafana.boards.history import history
from deploy.grafana.boards.pipeline import pipeline
from deploy.grafana.boards.queue import queue
from deploy.grafana.boards.site import site
from deploy.grafana.boards.wall import wall

DEPLOY: Final = Path(__file__).parents[2]
BOARDS: Final[Mapping[str, Callable[[], dashboard.Dashboard]]] = {
    made.__name__: made for made in (wall, queue, agent, site, pipeline)
}


def generated() -> dict[Path, str]:
    """Every generated file with its content."""
    folder = DEPLOY / "grafana" / "dashboards"
    files = {folder / f"{name}.json": as_json(made()) for name, made in BOARDS.items()}
    return {**files, DEPLOY / "prometheus" / "rules" / "history.yml": history()}


if __name__ == "__main__":
    for file, text in generated().items():
        file.write_text(text, encoding="utf-8")
