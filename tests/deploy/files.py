"""What compose, image, Kubernetes and systemd are told, read from their files."""

from __future__ import annotations

import configparser
import json
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from dotenv import dotenv_values

from tests.deploy.exporter import DEPLOY, TOP

KUBERNETES: Final = DEPLOY / "kubernetes"
DOCKERFILE: Final = (DEPLOY / "Dockerfile").read_text("utf-8")
UNITS: Final = sorted((DEPLOY / "systemd").glob("*.service"))
OURS: Final = ("worker-1", "worker-2", "notify")


def seconds(duration: str | int) -> float:
    """A duration as compose and systemd write it."""
    number, unit = re.fullmatch(r"(\d+)(s|m|min|)", str(duration)).groups()  # type: ignore[union-attr]
    return float(number) * (60 if unit.startswith("m") else 1)


# ---------------------------------------------------------------- compose


def environment_file() -> dict[str, str]:
    """The variables of `.env`."""
    return {name: value or "" for name, value in dotenv_values(TOP / ".env").items()}


def compose() -> dict[str, Any]:
    """The compose file with its variables filled in; one that `.env` lacks is an error."""
    text = (TOP / "docker-compose.yml").read_text("utf-8")
    parsed: dict[str, Any] = yaml.safe_load(string.Template(text).substitute(environment_file()))
    return parsed


def services() -> dict[str, dict[str, Any]]:
    """The compose file's services."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


# ---------------------------------------------------------------- image


def image_command() -> list[str]:
    """What the image starts where nothing else is said."""
    found: list[str] = json.loads(re.findall(r"^CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)[0])
    return found


def image_check() -> tuple[list[str], float]:
    """What the image asks for its health, and for how many seconds it waits for an answer."""
    options, command = re.findall(
        r"^HEALTHCHECK (.+?) \\\n +CMD (\[.+\])$", DOCKERFILE, re.MULTILINE
    )[0]
    return json.loads(command), seconds(dict(re.findall(r"--([\w-]+)=(\w+)", options))["timeout"])


def image_folder() -> str:
    """The folder in which the image starts its command."""
    return str(re.findall(r"^WORKDIR (\S+)$", DOCKERFILE, re.MULTILINE)[-1])


def image_environment() -> dict[str, str]:
    """The variables of the image's last stage, but for the path."""
    stage = DOCKERFILE.rpartition("\nFROM ")[2]
    lines = " ".join(re.findall(r"^ENV (.+)$", stage, re.MULTILINE))
    return {name: value for name, value in re.findall(r"(\w+)=(\S*)", lines) if name != "PATH"}


# ---------------------------------------------------------------- Kubernetes


def kustomization() -> dict[str, Any]:
    """What `kubectl apply -k deploy` reads."""
    parsed: dict[str, Any] = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text("utf-8"))
    return parsed


def manifests(*files: Path) -> Iterator[dict[str, Any]]:
    """Every document of such files; without any, of those that are applied."""
    for file in files or [DEPLOY / name for name in kustomization()["resources"]]:
        yield from yaml.safe_load_all(file.read_text("utf-8"))


def of_kind(kind: str, *files: Path) -> list[dict[str, Any]]:
    """Those of one kind."""
    return [found for found in manifests(*files) if found["kind"] == kind]


def pods() -> dict[str, dict[str, Any]]:
    """The pods' specifications, by the name of what makes them."""
    makers = of_kind("StatefulSet") + of_kind("Deployment")
    return {maker["metadata"]["name"]: maker["spec"]["template"]["spec"] for maker in makers}


def pod_environment(name: str) -> dict[str, str]:
    """The variables of a pod's container, if it is the first of its kind."""
    (places,) = (m["literals"] for m in kustomization()["configMapGenerator"] if "literals" in m)
    (container,) = pods()[name]["containers"]
    given = {entry["name"]: entry.get("value", f"{name}-0") for entry in container["env"]}
    return dict(literal.split("=", 1) for literal in places) | given


# ---------------------------------------------------------------- systemd


def unit(file: Path) -> configparser.ConfigParser:
    """A unit's sections, names as they are written."""
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(file, "utf-8")
    return parser
