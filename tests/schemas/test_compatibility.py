"""A schema within a version breaks nobody who holds the released one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.schemas.compatibility import AUTHORS, Author, breaches
from tests.schemas.contracts import NAMES, SCHEMAS, examples, schema
from tests.schemas.test_product import run
from tests.schemas.test_schemas import label, load

RELEASED = SCHEMAS / "released"
Change = Callable[[dict[str, Any]], object]


def released(name: str) -> dict[str, Any]:
    """The schema that consumers and producers hold."""
    parsed: dict[str, Any] = json.loads((RELEASED / f"{name}.v1.json").read_text())
    return parsed


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_was_released_is_broken(name: str) -> None:
    """What is meant to break something is a new version, in a file of its own."""
    assert breaches(released(name), schema(name), AUTHORS[name]) == []


def test_every_released_schema_is_still_there() -> None:
    """Also when a newer version stands beside it."""
    assert {file.name for file in RELEASED.glob("*.json")} <= {f"{name}.v1.json" for name in NAMES}


def test_a_consumer_of_the_released_version_reads_what_is_written_now() -> None:
    """All that a partition writes satisfies the schemas that consumers hold."""
    validators = {name: Draft202012Validator(released(name)) for name in ("reading", "alert")}
    faults = [e.message for name, _, value in run() for e in validators[name].iter_errors(value)]
    assert faults == []


@pytest.mark.parametrize(
    ("name", "file"), [e for e in examples("good") if AUTHORS[e[0]] == "we"], ids=label
)
def test_a_consumer_of_the_released_version_reads_the_examples(name: str, file: Any) -> None:
    """Those with fields that it does not know, too: what we write is open."""
    faults = Draft202012Validator(released(name)).iter_errors(load(file))
    assert [fault.message for fault in faults] == []


def changed(name: str, change: Change) -> dict[str, Any]:
    """The released schema, with a change."""
    document = copy.deepcopy(released(name))
    change(document)
    return document


def add_kpi(document: dict[str, Any]) -> None:
    """What a new KPI of a known unit comes to."""
    kpis = document["properties"]["kpis"]["properties"]
    kpis["occupancy"] = {"$ref": "#/$defs/figure_ratio", "description": "New."}


MINOR: dict[str, tuple[str, Change]] = {
    "a new field in what we write": (
        "reading", lambda d: d["properties"].update(site={"type": "string"}),
    ),
    "a new KPI": ("reading", add_kpi),
    "a field that we always write from now on": ("alert", lambda d: d["required"].append("value")),
    "a word that we never say again": ("alert", lambda d: d["properties"]["reason"]["enum"].pop()),
    "a tighter bound on what we write": (
        "alert", lambda d: d["properties"]["lead"].update(maxLength=200),
    ),
    "a rule on new fields": (
        "alert", lambda d: d.update(dependentRequired={"agents_judged": ["agents_missing"]}),
    ),
    "a new optional field in what we read": (
        "survey", lambda d: d["properties"].update(language={"type": "string"}),
    ),
    "a field that producers may leave out": (
        "interaction", lambda d: d["required"].remove("outcome"),
    ),
    "a new outcome that we understand": (
        "interaction", lambda d: d["properties"]["outcome"]["enum"].append("escalated"),
    ),
    "longer texts that we take": (
        "survey", lambda d: d["properties"]["comment"].update(maxLength=8_000),
    ),
    "other words": ("alert", lambda d: d.update(title="Better said")),
}  # fmt: skip

BREAKING: dict[str, tuple[str, Change, str]] = {
    "a field removed from what we write": (
        "reading", lambda d: d["properties"].pop("revision"), "$.revision: removed",
    ),
    "a field removed deeper down": (
        "reading",
        lambda d: d["properties"]["goals"]["additionalProperties"]["properties"].pop("amber"),
        "$.goals[].amber: removed",
    ),
    "a KPI removed": (
        "reading",
        lambda d: d["properties"]["kpis"]["properties"].pop("csat"),
        "$.kpis.csat: removed",
    ),
    "a field that we may leave out": (
        "alert", lambda d: d["required"].remove("team"),
        "$.team: not required on the one side, required on the other",
    ),
    "null where there was none": (
        "alert", lambda d: d["properties"]["samples"].update(type=["integer", "null"]),
        "$.samples: type ['integer', 'null'] is not within ['integer']",
    ),
    "a number where there was a text": (
        "alert", lambda d: d["properties"]["target"].update(type="number"), "$.target: type",
    ),
    "a word that consumers do not know": (
        "alert", lambda d: d["properties"]["state"]["enum"].append("muted"), "$.state: values",
    ),
    "a wider range": (
        "reading", lambda d: d["$defs"]["figure_ratio"]["properties"]["value"].update(maximum=100),
        ".value: maximum 100 is not within 1",
    ),
    "no range any more": (
        "reading", lambda d: d["properties"]["revision"].pop("minimum"),
        "$.revision: minimum None is not within 0",
    ),
    "another shape of ids": (
        "alert", lambda d: d["properties"]["alert_id"].update(pattern="^.+$"),
        "$.alert_id: pattern differs",
    ),
    "a KPI of another shape than unknown ones have": (
        "reading",
        lambda d: d["properties"]["kpis"]["properties"].update(top={"type": "array"}),
        "$.kpis.top: type",
    ),
    "conditions that change": (
        "alert", lambda d: d["allOf"].pop(), "$: allOf differs, which no rule judges",
    ),
    "a field that producers have to send": (
        "interaction", lambda d: d["required"].append("queue"),
        "$.queue: not required on the one side, required on the other",
    ),
    "an outcome that is no longer understood": (
        "interaction", lambda d: d["properties"]["outcome"]["enum"].remove("voicemail"),
        "$.outcome: values beyond",
    ),
    "a tighter bound on what producers send": (
        "survey", lambda d: d["properties"]["comment"].update(maxLength=100),
        "$.comment: maxLength 4000 is not within 100",
    ),
    "a bound where there was none": (
        "clock", lambda d: d["properties"]["settle"].update(const=True), "$.settle: values beyond",
    ),
    "a field that no longer counts": (
        "survey", lambda d: d["properties"].pop("csat"), "$.csat: removed",
    ),
    "unknown fields refused": (
        "interaction", lambda d: d.update(additionalProperties=False), "$: other fields",
    ),
    "a header that goes missing": (
        "dead-letter", lambda d: d["required"].remove("kpi-reason"), "$.kpi-reason: not required",
    ),
    "another default": (
        "clock", lambda d: d["properties"]["settle"].update(default=True),
        "$.settle: default differs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", MINOR)
def test_a_minor_change_is_let_through(what: str) -> None:
    """Else nothing could ever be added within a version."""
    name, change = MINOR[what]
    assert breaches(released(name), changed(name, change), AUTHORS[name]) == []


@pytest.mark.parametrize("what", BREAKING)
def test_a_breaking_change_is_found(what: str) -> None:
    """Each names its place."""
    name, change, fault = BREAKING[what]
    found = breaches(released(name), changed(name, change), AUTHORS[name])
    assert [line for line in found if fault in line] != [], found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("author", ["we", "others"])
def test_a_schema_may_take_its_own_place(name: str, author: Author) -> None:
    """Whoever writes the records."""
    assert breaches(schema(name), schema(name), author) == []
