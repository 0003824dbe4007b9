"""What boards and rules ask Prometheus, read from the files that are shipped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import promql_parser as promql
import yaml

from tests.deploy.exporter import DEPLOY, TEAM

BOARDS: Final = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
RULES: Final = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
FILLED: Final = {
    "team": TEAM,
    "queue": "invoices",
    "agent": "a-1",
    "site": "north",
    "window": "1h",
    "__rate_interval": "1m",
}


class Query(NamedTuple):
    """One query of one panel."""

    board: str
    panel: str
    ref: str
    expression: str

    def filled(self, **values: str) -> str:
        """The expression as Grafana sends it."""
        return fill(self.expression, **values)


class Use(NamedTuple):
    """A metric that an expression selects, with the labels it selects by."""

    metric: str
    labels: set[str]


def fill(text: str, **values: str) -> str:
    """Puts the variables' values in; one that has none is a fault."""
    known = FILLED | values
    return re.sub(r"\$(__\w+|[a-z]\w*)", lambda found: known[found[1]], text)


def dashboards() -> dict[str, dict[str, Any]]:
    """The boards by their file's name."""
    return {file.stem: json.loads(file.read_text("utf-8")) for file in BOARDS}


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels that show something, also those of collapsed rows."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panels(panel)
        else:
            yield panel


def queries() -> list[Query]:
    """Every query of every panel of every board."""
    return [
        Query(name, panel["title"], target["refId"], target["expr"])
        for name, board in dashboards().items()
        for panel in panels(board)
        for target in panel["targets"]
    ]


def choice(variable: Mapping[str, Any]) -> tuple[str, str]:
    """The series and the label that a variable lists."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
    assert found is not None, variable["name"]
    return found[1], found[2]


def choices() -> list[tuple[str, str, str]]:
    """Board, series and label of everything that a variable lists."""
    return [
        (name, *choice(variable))
        for name, board in dashboards().items()
        for variable in board.get("templating", {}).get("list", [])
    ]


def rules(kind: str) -> dict[str, str]:
    """The expressions of all rules of a kind, `record` or `alert`, by name."""
    return {
        rule[kind]: rule["expr"]
        for file in RULES
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if kind in rule
    }


def used(expression: str) -> list[Use]:
    """Every metric that an expression names, with the labels it selects by."""
    return [
        Use(str(part.name), {matcher.name for matcher in part.matchers.matchers})
        for part in parts(expression)
        if isinstance(part, promql.VectorSelector)
    ]


def groupings(expression: str) -> set[str]:
    """The labels that an expression groups or matches by, or takes from others."""
    labels: set[str] = set()
    for part in parts(expression):
        if isinstance(part, promql.AggregateExpr) and part.modifier is not None:
            labels.update(part.modifier.labels)
        if isinstance(part, promql.BinaryExpr) and part.modifier is not None:
            labels.update(part.modifier.matching.labels if part.modifier.matching else ())
            labels.update(part.modifier.group_labels or ())
        if isinstance(part, promql.Call) and part.func.name == "label_replace":
            labels.add(part.args[3].val)
    return labels


def made(expression: str) -> set[str]:
    """The labels that an expression makes itself, by `count_values`."""
    return {
        part.param.val
        for part in parts(expression)
        if isinstance(part, promql.AggregateExpr)
        and str(part.op) == "count_values"
        and part.param is not None
    }


def parts(expression: str) -> list[promql.Expr]:
    """An expression and all that it is made of.

    Raises:
        ValueError: if it is not PromQL.
    """
    found: list[promql.Expr] = []
    promql.walk(promql.parse(expression), pre_visit=found.append)
    return found
