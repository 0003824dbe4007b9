"""House rules as functions: each takes text and gives the breaches it finds."""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

# ------------------------------------------------------------------ which way imports point


@dataclass(frozen=True)
class Room:
    """A part of the package and what its modules must not import."""

    name: str
    forbidden: tuple[str, ...]
    allowed: tuple[str, ...] = ()
    ambient: bool = True

    def holds(self, module: str) -> bool:
        """Whether `module` is in this room."""
        return _within(module, self.name)

    def refuses(self, imported: str) -> bool:
        """Whether a module of this room must not import `imported`."""
        if any(_within(imported, name) for name in self.allowed):
            return False
        return any(_within(imported, name) for name in self.forbidden)


_ABOVE: Final = (
    "stream.cli",
    "stream.commands",
    "stream.demo",
    "stream.replay",
    "stream.synth",
    "tests",
)
_WORLD: Final = (
    *("aiohttp", "aiokafka", "asyncio", "faust", "mode", "prometheus_client"),
    *("random", "secrets", "socket", "threading", "time"),
)
# Of the notifier, what decides and words: it waits for nothing and asks no clock.
_DECIDING: Final = ("book", "digest", "labels", "letter", "message", "transition")
_IO: Final = ("stream.notify.courier", "stream.notify.inbox", "stream.notify.notifier", *_WORLD)
ROOMS: Final = (
    Room("stream", forbidden=("deploy", "tests")),
    Room("deploy", forbidden=("stream", "tests"), allowed=("stream.core",)),
    Room("stream.core", forbidden=("stream", *_WORLD), allowed=("stream.core",), ambient=False),
    Room("stream.kafka", forbidden=("stream.serve", "stream.notify", *_ABOVE)),
    Room("stream.serve", forbidden=("stream.kafka", "stream.notify", *_ABOVE)),
    Room("stream.notify", forbidden=("stream.sim", "stream.worker", *_ABOVE)),
    *(Room(f"stream.notify.{name}", forbidden=_IO, ambient=False) for name in _DECIDING),
)

# What reads the clock or the machine's randomness, by the end of its dotted name.
_AMBIENT: Final = (
    *("date.today", "datetime.now", "datetime.today", "datetime.utcnow"),
    *("np.random", "numpy.random", "os.urandom", "urandom", "uuid1", "uuid4"),
)


def wrong_imports(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What `module` imports or calls against the rules of its rooms."""
    tree = ast.parse(source)
    imported = sorted(set(_imports(tree, module if is_package else module.rpartition(".")[0])))
    used = sorted({name for node in ast.walk(tree) if (name := _dotted(node))})
    breaches: list[str] = []
    for room in ROOMS:
        if room.holds(module):
            breaches += [f"{module} imports {name}" for name in imported if room.refuses(name)]
            if not room.ambient:
                breaches += [f"{module} uses {name}" for name in used if _is_ambient(name)]
    return breaches


def _within(name: str, parent: str) -> bool:
    return name == parent or name.startswith(f"{parent}.")


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *filter(None, [base])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return ""


def _is_ambient(name: str) -> bool:
    return any(name == end or name.endswith(f".{end}") for end in _AMBIENT)


# ------------------------------------------------------------------ what documents name

_FENCE: Final = re.compile(r"^ *(```|~~~).*?^ *\1", re.DOTALL | re.MULTILINE)
_SPAN: Final = re.compile(r"`([^`\n]+)`")
_LINK: Final = re.compile(r"\]\((?![a-z]+:|#)([^)\s#]+)")
_PATH: Final = re.compile(r"(?:stream|schemas|deploy|tests|\.ci)/[\w./*-]*")


def named_paths(markdown: str) -> set[str]:
    """The paths of this repository that a document names in backticks, or links to."""
    prose = _FENCE.sub("", markdown)
    spans = {span for span in _SPAN.findall(prose) if _PATH.fullmatch(span)}
    return spans | set(_LINK.findall(_SPAN.sub("", prose)))


def named_commands(markdown: str, program: str) -> set[str]:
    """The first words after `program` in a document's code: its targets or subcommands."""
    code = [fence[0] for fence in _FENCE.finditer(markdown)]
    code += _SPAN.findall(_FENCE.sub("", markdown))
    lines = (line.split(" # ")[0] for text in code for line in text.splitlines())
    command = re.compile(rf"(?<!# )\b{re.escape(program)} ([a-z][\w-]*)")
    return {word for line in lines for word in command.findall(line)}


def command_lines(markdown: str, program: str) -> list[list[str]]:
    """What is written after `program` where a document says what to type, in words.

    That is a line of a console, and code in the prose that has an option.
    """
    fenced = [line for f in _FENCE.finditer(markdown) for line in f[0].splitlines()]
    lines = [line.removeprefix("$ ") for line in fenced if line.startswith("$ ")]
    lines += [span for span in _SPAN.findall(_FENCE.sub("", markdown)) if " --" in span]
    found = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in found if words[0] == program]


def make_targets(makefile: str) -> set[str]:
    """The targets that a Makefile defines by name."""
    return set(re.findall(r"^([a-z][\w-]*):(?!=)", makefile, re.MULTILINE))


# ------------------------------------------------------------------ what must not leak

# Written so that none matches its own source.
_LEAKS: Final = (
    r"pypi\.org/(?:simple|project)",
    r"files\.pythonhosted",
    r"repo1?\.maven",
    r"deb\.debian\.org",
    r"registry\.npmjs",
    r"(?:--|extra[-_])index[-_]url",
    r"index[-_]url *=",
    r"(?<!emit-)find[-_]links *[=/]",
    r"--find[-_]links",
    r"(?<![\w.])/[w]ork/",
    r"/[t]mp/scratch",
    r"(?<![\w.])/[r]oot/",
)
_LEAK: Final = re.compile("|".join(_LEAKS), re.IGNORECASE)


def leaks(text: str) -> list[str]:
    """Lines that name a package registry's address or a path of one machine."""
    return [
        f"{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if _LEAK.search(line)
    ]


# ------------------------------------------------------------------ what is installed

_REQUIREMENT: Final = re.compile(r"^[A-Za-z0-9][^\s;]*", re.MULTILINE)


def unpinned(lock: str) -> list[str]:
    """The requirements of a lock file that are not one version with hashes."""
    entries = re.split(r"(?<!\\)\n", re.sub(r"(?m)^\s*#.*\n?", "", lock))
    named = {found[0]: entry for entry in entries if (found := _REQUIREMENT.match(entry))}
    return [
        name for name, entry in named.items() if "==" not in name or "--hash=sha256:" not in entry
    ]


# ------------------------------------------------------------------ how long things are

FILE_LINES: Final = 300
FUNCTION_LINES: Final = 40


def lengths(path: str, source: str) -> dict[str, int]:
    """Lines of the file, by its path, and of each function in it, by `path:name`."""
    found = {path: len(source.splitlines())}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{prefix}.{child.name}" if prefix else child.name
                if not isinstance(child, ast.ClassDef):
                    found[f"{path}:{name}"] = (child.end_lineno or 0) - child.lineno + 1
            visit(child, name)

    visit(ast.parse(source), "")
    return found


def too_long(found: Mapping[str, int], granted: Mapping[str, tuple[int, str]]) -> list[str]:
    """What is longer than its limit or its grant, and grants that are no longer needed."""
    breaches: list[str] = []
    for name, lines in found.items():
        usual = FUNCTION_LINES if ":" in name else FILE_LINES
        limit, _ = granted.get(name, (usual, ""))
        if lines > limit:
            breaches.append(f"{name} has {lines} lines; {limit} are allowed")
        elif name in granted and lines <= usual:
            breaches.append(f"{name} has {lines} lines and needs no grant any more")
    breaches += [f"{name} has a grant but is gone" for name in granted if name not in found]
    return breaches


# ------------------------------------------------------------------ what lies where

TOP_LEVEL: Final = frozenset(
    {
        *("CHANGELOG.md", "LICENSE", "Makefile", "README.md"),
        *("docker-compose.yml", "pyproject.toml", "requirements.lock"),
        *("deploy", "schemas", "stream", "tests"),
    }
)


def strays(tracked: AbstractSet[str]) -> list[str]:
    """Top-level names, of tracked paths, that do not belong there."""
    tops = {path.split("/")[0] for path in tracked}
    return sorted(top for top in tops - TOP_LEVEL if not top.startswith("."))


def tests_without_docstring(source: str) -> list[str]:
    """Test functions that do not say what they prove."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
