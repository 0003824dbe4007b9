"""The schemas themselves: valid, explained, and true of the examples beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator

from tests.schemas.contracts import NAMES, SCHEMAS, examples, faults, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ASYNCAPI = SCHEMAS / "asyncapi.yaml"
# Of the package @asyncapi/specs 6.11.1, unchanged but for its white space.
ASYNCAPI_SCHEMA = Path(__file__).parent / "asyncapi" / "3.0.0.json"


def label(value: object) -> str:
    """A readable test id."""
    return value.stem if isinstance(value, Path) else str(value)


def properties(node: Any, path: str = "$") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every named property of a schema that asserts something, with its place.

    Branches of `allOf` only narrow what is explained elsewhere.
    """
    if isinstance(node, dict):
        for name, child in node.get("properties", {}).items():
            yield f"{path}.{name}", child
        for key, child in node.items():
            if key != "allOf":
                yield from properties(child, f"{path}.{key}")


def references(node: Any) -> Iterator[str]:
    """Every `$ref` below a node."""
    if isinstance(node, dict):
        for key, child in node.items():
            if key == "$ref":
                yield child
            else:
                yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def load(file: Path) -> Any:
    """A JSON or YAML file."""
    text = file.read_text("utf-8")
    return json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)


def resolve(reference: str, home: Path) -> Any:
    """What a reference in the file `home` points to.

    Raises:
        KeyError: if there is no such thing in the file that it names.
    """
    name, _, pointer = reference.partition("#")
    node = load(home.parent / name if name else home)
    for part in pointer.split("/")[1:]:
        node = node[unquote(part).replace("~1", "/").replace("~0", "~")]
    return node


# ---------------------------------------------------------------- schemas


def test_every_schema_is_named_here() -> None:
    """No schema and no folder of examples escapes these tests."""
    files = {file.name for file in SCHEMAS.glob("*.json")}
    assert files == {f"{name}.v1.json" for name in NAMES}
    assert {folder.name for folder in (SCHEMAS / "examples").iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_valid(name: str) -> None:
    """Each is JSON Schema 2020-12, says so, and has an id that names its version."""
    document = schema(name)
    Draft202012Validator.check_schema(document)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"] == f"urn:kpi-stream:schema:{name}:v1"


@pytest.mark.parametrize("name", NAMES)
def test_every_property_is_explained(name: str) -> None:
    """A reader finds a title and a description at each property; objects stay open."""
    document = schema(name)
    assert document["additionalProperties"] is True
    found = dict(properties(document))
    assert found
    assert [at for at, node in found.items() if not {"title", "description"} <= node.keys()] == []


@pytest.mark.parametrize("name", NAMES)
def test_bounds_are_written_out(name: str) -> None:
    """The number that bounds a property also stands in its description or its definition's."""
    bounds = ("minLength", "maxLength", "minimum", "maximum", "maxProperties")
    breaches = []
    for at, node in properties(schema(name)):
        text = node["description"].replace(",", "").replace("−", "-")
        unsaid = [key for key in bounds if node.get(key, 0) > 1 and f"{node[key]}" not in text]
        breaches += [f"{at}: {key}" for key in unsaid if node[key] != 4_102_444_800_000]
    assert breaches == []


# ---------------------------------------------------------------- examples


@pytest.mark.parametrize(("name", "file"), examples("good"), ids=label)
def test_good_examples_pass(name: str, file: Path) -> None:
    """What is shown as good is good."""
    assert faults(name, load(file)) == []


@pytest.mark.parametrize(("name", "file"), examples("bad"), ids=label)
def test_bad_examples_fail(name: str, file: Path) -> None:
    """What is shown as bad is bad, and at one place only: the one its name tells."""
    places = {fault.partition(":")[0] for fault in faults(name, load(file))}
    assert len(places) == 1


@pytest.mark.parametrize("name", NAMES)
def test_there_are_examples_of_both_kinds(name: str) -> None:
    """A schema without examples explains nothing."""
    for kind in ("good", "bad"):
        assert any(schema_name == name for schema_name, _ in examples(kind))


def test_readme_lists_every_schema() -> None:
    """Who reads the folder's page hears of each file."""
    text = (SCHEMAS / "README.md").read_text("utf-8")
    files = [file.name for file in (*SCHEMAS.glob("*.json"), ASYNCAPI)]
    assert [name for name in files if name not in text] == []


# ---------------------------------------------------------------- AsyncAPI


def test_asyncapi_references_lead_somewhere() -> None:
    """Each reference, in the document and in the schemas, points to a thing that is there."""
    for file in (ASYNCAPI, *SCHEMAS.glob("*.json")):
        for reference in references(load(file)):
            assert resolve(reference, file) is not None


def asyncapi_faults(document: Any) -> list[str]:
    """What AsyncAPI's own schema has against a document."""
    validator = Draft7Validator(load(ASYNCAPI_SCHEMA))
    return [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(document)]


def test_asyncapi_is_valid() -> None:
    """By AsyncAPI's own schema of the version that it names."""
    document = load(ASYNCAPI)
    assert document["asyncapi"] == ASYNCAPI_SCHEMA.stem
    assert asyncapi_faults(document) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["info"].pop("version"),
        lambda d: d["channels"]["kpis"].update(adress="kpis"),
        lambda d: d["operations"]["sendAlerts"].update(action="publish"),
        lambda d: d["channels"]["kpis"]["bindings"]["kafka"].update(partitions=0),
        lambda d: d["components"]["messages"]["alert"].update(payload=7),
    ],
    ids=["no version", "a slip", "an action of AsyncAPI 2", "a wrong binding", "no schema"],
)
def test_an_asyncapi_fault_is_found(change: Callable[[dict[str, Any]], object]) -> None:
    """Else the test above would show nothing."""
    document = load(ASYNCAPI)
    change(document)
    assert asyncapi_faults(document) != []


def test_asyncapi_covers_every_schema() -> None:
    """Each schema is the payload or the headers of a message that some channel carries."""
    document = load(ASYNCAPI)
    assert document["asyncapi"] == "3.0.0"
    used = {
        reference.rpartition("/")[2]
        for channel in document["channels"].values()
        for message in channel["messages"].values()
        for reference in references(resolve(message["$ref"], ASYNCAPI))
        if not reference.startswith("#")
    }
    assert used == {f"{name}.v1.json" for name in NAMES}


def test_asyncapi_operations_cover_every_channel() -> None:
    """The worker either reads or writes each channel."""
    document = load(ASYNCAPI)
    named = {operation["channel"]["$ref"] for operation in document["operations"].values()}
    assert named == {f"#/channels/{name}" for name in document["channels"]}
