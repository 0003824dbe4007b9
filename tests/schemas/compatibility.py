"""Whether a schema may take a released one's place: what consumers and producers hold stays good.

What we write has to satisfy the released schema, since consumers were given it; what others write
by the released schema has to satisfy ours. Both are the same question, the other way round. What
cannot be judged counts as a breach: it is then a new version, or a rule to be added here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

# Of which topics' records who is the author: we, or others.
Author = Literal["we", "others"]
AUTHORS: Final[dict[str, Author]] = {
    "interaction": "others",
    "survey": "others",
    "clock": "others",
    "reading": "we",
    "alert": "we",
    "dead-letter": "we",
    "roster": "others",
}
_WORDS_ONLY: Final = {"title", "description", "examples", "$schema", "$id", "$defs", "$comment"}
_AT_LEAST: Final = {"minimum", "minLength", "minItems", "minProperties", "exclusiveMinimum"}
_AT_MOST: Final = {"maximum", "maxLength", "maxItems", "maxProperties", "exclusiveMaximum"}
_NESTED: Final = {"items", "propertyNames"}
_JUDGED: Final = {"type", "enum", "const", "required", "properties", "additionalProperties"}
_ALL_TYPES: Final = {"array", "boolean", "integer", "null", "number", "object", "string"}


def breaches(released: Any, current: Any, author: Author) -> list[str]:
    """Where `current` breaks what holders of `released` rely on, each with its place."""
    old, new = _expanded(released, released), _expanded(current, current)
    narrow, wide = (new, old) if author == "we" else (old, new)
    return [*_removed(old, new, "$"), *_beyond(narrow, wide, "$")]


def _expanded(node: Any, root: Any) -> Any:
    """The schema with definitions in the place of references, and without what is for people."""
    if isinstance(node, list):
        return [_expanded(child, root) for child in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = root
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    named = {
        name: {key: _expanded(child, root) for key, child in node[name].items()}
        for name in ("properties",)
        if name in node
    }
    rest = {k: _expanded(v, root) for k, v in node.items() if k not in _WORDS_ONLY | named.keys()}
    return rest | named


def _removed(old: Any, new: Any, at: str) -> Iterator[str]:
    """Fields that are gone: somebody reads them, or was promised that they count."""
    for name, field in old.get("properties", {}).items():
        if name not in new.get("properties", {}):
            yield f"{at}.{name}: removed"
        else:
            yield from _removed(field, new["properties"][name], f"{at}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(old.get(name), dict) and isinstance(new.get(name), dict):
            yield from _removed(old[name], new[name], f"{at}[]")


def _beyond(narrow: Any, wide: Any, at: str) -> Iterator[str]:
    """Where `narrow` allows what `wide` does not."""
    allowed, given = _types(wide), _types(narrow)
    if given - allowed:
        yield f"{at}: type {sorted(given)} is not within {sorted(allowed)}"
    values = _values(wide)
    if values is not None and not _is_within(_values(narrow), values):
        yield f"{at}: values beyond {values}"
    for missing in sorted({*wide.get("required", ())} - {*narrow.get("required", ())}):
        yield f"{at}.{missing}: not required on the one side, required on the other"
    for key in sorted(wide.keys() & (_AT_LEAST | _AT_MOST)):
        limit, own = wide[key], narrow.get(key)
        is_kept = own is not None and (own >= limit if key in _AT_LEAST else own <= limit)
        if not is_kept and not _has_values(narrow):
            yield f"{at}: {key} {own} is not within {limit}"
    yield from _beyond_in_parts(narrow, wide, at)
    judged = _JUDGED | _AT_LEAST | _AT_MOST | _NESTED
    for key in sorted(wide.keys() - judged):
        if narrow.get(key) != wide[key] and not (key == "pattern" and _has_values(narrow)):
            yield f"{at}: {key} differs, which no rule judges"


def _beyond_in_parts(narrow: Any, wide: Any, at: str) -> Iterator[str]:
    others = wide.get("additionalProperties", True)
    for name, field in narrow.get("properties", {}).items():
        if name in wide.get("properties", {}):
            yield from _beyond(field, wide["properties"][name], f"{at}.{name}")
        elif others is False:
            yield f"{at}.{name}: no other fields were allowed"
        elif isinstance(others, dict):
            yield from _beyond(field, others, f"{at}.{name}")
    own = narrow.get("additionalProperties", True)
    if isinstance(own, dict) and isinstance(others, dict):
        yield from _beyond(own, others, f"{at}[]")
    elif others is not True and own is not False and "object" in _types(narrow):
        yield f"{at}: other fields are no longer as they were"
    for name in sorted(wide.keys() & _NESTED):
        yield from _beyond(narrow.get(name, {}), wide[name], f"{at}[{name}]")


def _types(node: Any) -> set[str]:
    named = node.get("type")
    if named is None:
        values = _values(node)
        return set(_ALL_TYPES) if values is None else {_type_of(value) for value in values}
    types = {named} if isinstance(named, str) else set(named)
    return types | {"integer"} if "number" in types else types


def _type_of(value: Any) -> str:
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")):
        if isinstance(value, kind):
            return name
    return "null"


def _values(node: Any) -> list[Any] | None:
    if "const" in node:
        return [node["const"]]
    values: list[Any] | None = node.get("enum")
    return values


def _has_values(node: Any) -> bool:
    return _values(node) is not None


def _is_within(own: list[Any] | None, others: list[Any]) -> bool:
    return own is not None and all(value in others for value in own)
