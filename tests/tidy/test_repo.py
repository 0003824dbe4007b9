"""This repository, held against its house rules."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path
from typing import Final

import click
import pytest

from tests.tidy import checks

REPO: Final = Path(__file__).parents[2]

# What may be longer than the rest, how long, and why. Code's entries shrink and go; only those of
# data may be raised.
LONG: Final[dict[str, tuple[int, str]]] = {
    "stream/core/kpis.py": (380, "data: a catalogue, one entry per KPI"),
}


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """Every file that git tracks and that is still there."""
    command = ["git", "-C", str(REPO), "ls-files", "-z"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {path for path in listed.split("\0") if path and (REPO / path).exists()}


def python(under: str) -> dict[str, str]:
    """The sources of Python files under a folder, by path from the top."""
    files = sorted((REPO / under).rglob("*.py"))
    return {path.relative_to(REPO).as_posix(): path.read_text() for path in files}


def test_imports_point_down() -> None:
    """The core knows no outer world, and no room knows the rooms above or beside it."""
    breaches: list[str] = []
    for path, source in (python("stream") | python("deploy")).items():
        module = path.removesuffix(".py").replace("/", ".")
        is_package = module.endswith(".__init__")
        module = module.removesuffix(".__init__")
        breaches += checks.wrong_imports(module, source, is_package=is_package)
    assert breaches == []


def test_documents_name_paths_that_exist(tracked: set[str]) -> None:
    """A path in backticks, or a link, leads somewhere from the top or from its document."""
    breaches = [
        f"{document}: {path}"
        for document in sorted(tracked)
        if document.endswith(".md")
        for path in sorted(checks.named_paths((REPO / document).read_text()))
        if not any(REPO.glob(path.rstrip("/")))
        and not any((REPO / document).parent.glob(path.rstrip("/")))
    ]
    assert breaches == []


def test_readme_names_make_targets_that_exist() -> None:
    """Each `make X` of the README is a target."""
    named = checks.named_commands((REPO / "README.md").read_text(), "make")
    assert named - checks.make_targets((REPO / "Makefile").read_text()) == set()


def test_readme_names_subcommands_that_exist() -> None:
    """Each `kpi-stream X` of the README, and of the Makefile, is a command."""
    if not (REPO / "stream/cli.py").exists():
        return
    main = importlib.import_module("stream.cli").main
    assert isinstance(main, click.Group)
    named = checks.named_commands((REPO / "README.md").read_text(), "kpi-stream")
    named |= set(re.findall(r"\(BIN\)/kpi-stream (\w+)", (REPO / "Makefile").read_text()))
    assert "demo" in named
    assert named - set(main.commands) == set()


@pytest.mark.parametrize(
    "document", ["README.md", "deploy/RUNBOOK.md", "schemas/README.md", "deploy/grafana/README.md"]
)
def test_documents_name_command_lines_that_are_understood(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands, arguments, options and their values, beside files of the names that they give."""
    command_lines = checks.command_lines((REPO / document).read_text(), "kpi-stream")
    assert command_lines or document not in {"README.md", "deploy/RUNBOOK.md"}
    monkeypatch.chdir(tmp_path)
    for words in command_lines:
        for word in words:
            if word.endswith(".csv"):
                (tmp_path / word).touch()
        command: click.Command = importlib.import_module("stream.cli").main
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        command.make_context(command.name, words)


def test_nothing_leaks(tracked: set[str]) -> None:
    """No tracked file names a registry's address or a path of the machine it was made on."""
    breaches: list[str] = []
    for path in sorted(tracked):
        text = (REPO / path).read_bytes().decode(errors="replace")
        breaches += [f"{path}:{leak}" for leak in checks.leaks(text)]
    assert breaches == []


def test_every_dependency_is_pinned_by_hash() -> None:
    """What is installed is what was locked, to the byte, whatever an index serves."""
    lock = (REPO / "requirements.lock").read_text()
    assert lock.count("==") > 50
    assert checks.unpinned(lock) == []
    for file in ("Makefile", "deploy/Dockerfile"):
        assert "--require-hashes --requirement requirements.lock" in (REPO / file).read_text()


def test_nothing_grows_too_long() -> None:
    """Files and functions of what is shipped stay short, or are granted more for a reason."""
    found: dict[str, int] = {}
    for path, source in (python("stream") | python("deploy")).items():
        found |= checks.lengths(path, source)
    assert checks.too_long(found, LONG) == []


def test_the_top_level_holds_only_what_belongs_there(tracked: set[str]) -> None:
    """A newcomer sees the whole project in one short listing."""
    assert checks.strays(tracked) == []


def test_every_test_says_what_it_proves() -> None:
    """Each test function has a docstring."""
    breaches = [
        f"{path}: {name}"
        for path, source in python("tests").items()
        for name in checks.tests_without_docstring(source)
    ]
    assert breaches == []
