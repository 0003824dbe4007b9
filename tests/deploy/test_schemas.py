"""Compose file, manifests and Dockerfile, judged by others' schemas and rules; broken copies fail.

The schema of compose files is the specification's own, as check-jsonschema carries it; those of
Kubernetes are of its API server, strictly: an unknown field is a fault.

KEDA's and the Prometheus operator's are those of @kubernetes-models, generated from the operators'
own types: a wrong type or a missing field is a fault, an unknown field is not. Strimzi's are not
here: of its artefacts on Maven Central the API holds classes only, the generator of definitions is
not published, and no registry has them otherwise. Its topics are held to what a worker would make,
in test_stack.py, and to no schema.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.deploy.exporter import DEPLOY
from tests.deploy.files import DOCKERFILE, KUBERNETES, compose
from tests.deploy.test_stack import EXAMPLES
from tests.fetched import UnavailableError, environment, modules, run

REQUIREMENTS: Final = Path(__file__).parent / "checkers" / "requirements.txt"
# The newest that the checker knows, and one that is out of support: what is in both is in between.
VERSIONS: Final = ("1.30", "1.37")
MANIFESTS: Final = sorted(KUBERNETES.glob("*.yaml"))
Change = Callable[[Any], object]


@pytest.fixture(scope="session")
def checkers() -> Path:
    """Where the checkers are; skips where they are not to be had."""
    try:
        return environment("checkers", REQUIREMENTS)
    except UnavailableError as error:
        pytest.skip(str(error))


def written(folder: Path, *documents: Any) -> Path:
    """A file that holds these."""
    file = folder / "written.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return file


# ---------------------------------------------------------------- compose


def check_compose(checkers: Path, file: Path) -> None:
    """Holds a compose file to the specification."""
    run(checkers / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)


def test_compose_satisfies_its_specification(checkers: Path, tmp_path: Path) -> None:
    """With the variables of `.env` filled in."""
    check_compose(checkers, written(tmp_path, compose()))


@pytest.mark.parametrize(
    "change",
    [
        lambda services: services["kafka"].update(restrat="always"),
        lambda services: services["notify"].update(command={"kpi-stream": "notify"}),
        lambda services: services["kafka"]["healthcheck"].update(retries=["often"]),
        lambda services: services["worker-2"]["depends_on"]["kafka"].update(condition="well"),
        lambda services: services["grafana"].update(ports={"3000": 3000}),
    ],
)
def test_a_broken_compose_file_is_refused(checkers: Path, tmp_path: Path, change: Change) -> None:
    """A misspelt key, a wrong type, a word that is none."""
    broken = copy.deepcopy(compose())
    change(broken["services"])
    with pytest.raises(UnavailableError, match="Schema validation errors"):
        check_compose(checkers, written(tmp_path, broken))


# ---------------------------------------------------------------- Kubernetes


def check_manifest(checkers: Path, file: Path, version: str = VERSIONS[-1]) -> str:
    """Holds a manifest's documents to Kubernetes' schemas."""
    return run(checkers / "kubernetes-validate", "--strict", "-k", version, file)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
def test_manifests_satisfy_kubernetes_schemas(checkers: Path, file: Path, version: str) -> None:
    """Every document of each."""
    said = check_manifest(checkers, file, version)
    documents = list(yaml.safe_load_all(file.read_text("utf-8")))
    assert said.count("passed for resource") == len(documents) > 1


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.update(replica=2),
        lambda spec: spec.update(replicas="two"),
        lambda spec: spec.pop("selector"),
        lambda spec: spec["template"]["spec"].update(terminationGracePeriod=30),
        lambda spec: spec["template"]["spec"]["containers"][0].pop("name"),
        lambda spec: spec["template"]["spec"]["containers"][0]["ports"][0].update(containerPort=[]),
    ],
)
@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.stem)
def test_a_broken_manifest_is_refused(
    checkers: Path, tmp_path: Path, file: Path, change: Change
) -> None:
    """A misspelt field, a wrong type, one that is missing; however deep."""
    broken, *_ = yaml.safe_load_all(file.read_text("utf-8"))
    change(broken["spec"])
    with pytest.raises(UnavailableError, match="ERROR"):
        check_manifest(checkers, written(tmp_path, broken))


# ---------------------------------------------------------------- operators


@pytest.fixture(scope="session")
def operators() -> Path:
    """The checker of operators' resources; skips where it is not to be had."""
    names = ("package.json", "package-lock.json", "resource.mjs")
    try:
        return modules("operators", *(REQUIREMENTS.with_name(name) for name in names))
    except UnavailableError as error:
        pytest.skip(str(error))


def check_resource(operators: Path, folder: Path, resource: Any) -> None:
    """Holds a resource to its operator's schema."""
    file = folder / "resource.json"
    file.write_text(json.dumps(resource))
    run("node", "resource.mjs", file, cwd=operators)


def example(name: str) -> Any:
    """One of the examples."""
    return yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text("utf-8"))


@pytest.mark.parametrize("name", ["scaledobject", "servicemonitor"])
def test_examples_satisfy_their_operators_schemas(
    operators: Path, tmp_path: Path, name: str
) -> None:
    """KEDA's, and the Prometheus operator's."""
    check_resource(operators, tmp_path, example(name))


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("scaledobject", lambda it: it.update(kind="ScaledThing"), "is not known"),
        ("scaledobject", lambda it: it.update(apiVersion="keda.sh/v1"), "is not known"),
        ("scaledobject", lambda it: it["spec"].pop("triggers"), "spec.*triggers"),
        ("scaledobject", lambda it: it["spec"].pop("scaleTargetRef"), "spec.*scaleTargetRef"),
        ("scaledobject", lambda it: it["spec"].update(maxReplicaCount="4"), "maxReplicaCount"),
        (
            "scaledobject",
            lambda it: it["spec"]["triggers"][0]["metadata"].update(lagThreshold=50_000),
            "lagThreshold must be string",
        ),
        ("servicemonitor", lambda it: it["spec"].pop("selector"), "spec.*selector"),
        ("servicemonitor", lambda it: it["spec"]["endpoints"][0].update(port=9464), "port must be"),
        ("servicemonitor", lambda it: it["spec"].update(endpoints={}), "endpoints must be array"),
    ],
)
def test_a_broken_example_is_refused(
    operators: Path, tmp_path: Path, name: str, change: Change, fault: str
) -> None:
    """By what is wrong with it."""
    broken = example(name)
    change(broken)
    with pytest.raises(UnavailableError, match=fault):
        check_resource(operators, tmp_path, broken)


# ---------------------------------------------------------------- image


def lint(checkers: Path, file: Path) -> str:
    """What hadolint has to say of a Dockerfile."""
    return run(checkers / "hadolint", "--no-color", "--disable-ignore-pragma", file)


def test_hadolint_has_nothing_against_the_dockerfile(checkers: Path) -> None:
    """No rule is ignored, and none of any level is broken."""
    assert lint(checkers, DEPLOY / "Dockerfile") == ""


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (":3.11.14-slim-bookworm AS build", " AS build", "DL3006"),
        ("COPY requirements.lock .", "ADD requirements.lock .", "DL3020"),
        ("WORKDIR /build", "WORKDIR build", "DL3000"),
        ("USER 10001:10001", "USER root", "DL3002"),
        ('CMD ["kpi-stream", "worker"]', "CMD kpi-stream worker", "DL3025"),
    ],
)
def test_a_broken_dockerfile_is_refused(
    checkers: Path, tmp_path: Path, old: str, new: str, rule: str
) -> None:
    """By the rule that is broken."""
    assert old in DOCKERFILE
    broken = tmp_path / "Dockerfile"
    broken.write_text(DOCKERFILE.replace(old, new))
    with pytest.raises(UnavailableError, match=rule):
        lint(checkers, broken)
