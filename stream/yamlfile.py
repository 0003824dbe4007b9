"""Reads YAML as people mean it: a key written twice is a slip, not a way to drop the first."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import yaml

FILE_BYTES_MAX: Final = 1_000_000
# What PyYAML goes on to quote: an unquoted password may well look like an alias or a tag.
_NAMED: Final = re.compile(r"((?:alias|anchor|tag|tag handle)) ['\"].*", re.DOTALL)
_SLIPS: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Faults(Exception):  # noqa: N818 - several faults at once, each a line for a person
    """All that is wrong with a file, one readable line each."""

    def __init__(self, faults: list[str]) -> None:
        """Keeps the lines in `faults`."""
        super().__init__("\n".join(faults))
        self.faults = faults


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which would take the last of two equal keys without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        """The mapping; a repeated key is an error that names its line."""
        names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for name, count in names.items():
            if count > 1:
                message = f"{name!r} is written {count} times"
                raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        return super().construct_mapping(node, deep=deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's signature
        """The value; PyYAML's slips over a text like `2024-13-45` are errors that name their line.

        Its constructors let whatever they stumble over escape, without a place.
        """
        try:
            return super().construct_object(node, deep=deep)
        except _SLIPS as error:
            message = f"what stands here is no {node.tag.rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark) from error

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """The text; half of a surrogate pair could never be written to Kafka."""
        text = super().construct_scalar(node)
        if not is_unicode(text):
            message = "text with half of a surrogate pair"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        return text


def is_unicode(text: str) -> bool:
    """Whether `text` can be encoded: it holds no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_yaml(file: Path) -> Any:
    """What stands in `file`; None where it is empty.

    Raises:
        Faults: if it cannot be read, is no YAML, or is larger than 1 MB.
    """
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise Faults([f"{file}: larger than {FILE_BYTES_MAX} bytes"])
        return yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise Faults([f"{file}: not YAML: {_explain(error)}"]) from error


def _explain(error: Exception) -> str:
    """One line with the place, and without the text there, which may be a password."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark, parts = error.problem_mark, filter(None, (error.context, error.problem))
        what = _NAMED.sub(r"\1; text that begins with * & or ! needs quotes", ", ".join(parts))
        return f"line {mark.line + 1}, column {mark.column + 1}: {what}"
    return " ".join(str(error).split())
