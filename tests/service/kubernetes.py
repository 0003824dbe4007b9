"""What a pod of the manifests runs, with its probes, without Kubernetes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.deploy import files
from tests.deploy.exporter import DEPLOY
from tests.service.hosts import Hosts
from tests.service.program import HttpCheck, Program, Unit


def pod(name: str, folder: Path, hosts: Hosts, places: Mapping[str, str]) -> tuple[Unit, float]:
    """The container of a pod at an address of its own, and how long a stop is waited for.

    `folder` is its mount of settings; `places` are what the cluster's addresses are here.
    """
    specification = files.pods()[name]
    (container,) = specification["containers"]
    (mount,) = (m for m in container["volumeMounts"] if m["name"] == "settings")
    assert mount["mountPath"] == files.image_folder()
    for file in _mounted(specification):
        shutil.copy(DEPLOY / file, folder)
    written = files.pod_environment(name)
    assert written.keys() >= places.keys()
    given = files.image_environment() | hosts.variables(name, {**written, **places})
    checks = [
        HttpCheck(
            _url(probe["httpGet"], container, hosts.address(name)), probe.get("timeoutSeconds", 1)
        )
        for key, probe in container.items()
        if key.endswith("Probe")
    ]
    unit = Unit(name, Program(container["args"], given, folder), checks)
    return unit, specification["terminationGracePeriodSeconds"]


def _mounted(specification: Mapping[str, Any]) -> Iterator[str]:
    """The files of the maps that are mounted as settings."""
    (volume,) = (v for v in specification["volumes"] if v["name"] == "settings")
    sources = volume.get("projected", {}).get("sources", [volume])
    named = {source["configMap"]["name"] for source in sources}
    for made in files.kustomization()["configMapGenerator"]:
        if made["name"] in named:
            yield from made["files"]


def _url(asked: Mapping[str, Any], container: Mapping[str, Any], address: str) -> str:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    return f"http://{address}:{ports[asked['port']]}{asked['path']}"
