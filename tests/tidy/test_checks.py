"""Each house rule can be broken: the checks find small breaches, and only those."""

from __future__ import annotations

import pytest

from tests.tidy import checks


@pytest.mark.parametrize(
    ("module", "line", "breach"),
    [
        ("stream.core.rows", "import time", "imports time"),
        ("stream.core.rows", "from asyncio import sleep", "imports asyncio.sleep"),
        ("stream.core.rows", "import faust.types", "imports faust.types"),
        ("stream.core.rows", "from stream import config", "imports stream.config"),
        ("stream.core.rows", "from ..kafka import codec", "imports stream.kafka.codec"),
        ("stream.core.rows", "from .. import kafka", "imports stream.kafka"),
        ("stream.core.rows", "now = datetime.now(UTC)", "uses datetime.now"),
        ("stream.core.rows", "day = datetime.date.today()", "uses datetime.date.today"),
        ("stream.core.rows", "new = field(default_factory=uuid4)", "uses uuid4"),
        ("stream.core.rows", "salt = os.urandom(8)", "uses os.urandom"),
        ("stream.core.rows", "x = np.random.default_rng()", "uses np.random"),
        ("stream.kafka.app", "from stream.serve import metrics", "imports stream.serve.metrics"),
        ("stream.kafka.app", "import stream.cli", "imports stream.cli"),
        ("stream.serve.metrics", "from stream.kafka import app", "imports stream.kafka.app"),
        ("stream.serve.metrics", "from stream.demo import run", "imports stream.demo.run"),
        ("stream.synth", "from tests.oracle import sql", "imports tests.oracle.sql"),
    ],
)
def test_wrong_imports_are_found(module: str, line: str, breach: str) -> None:
    """Each forbidden import or use is named once."""
    assert checks.wrong_imports(module, line) == [f"{module} {breach}"]


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("stream.core.rows", "from datetime import UTC, datetime"),
        ("stream.core.rows", "from stream.core.events import Fact"),
        ("stream.core.rows", "from . import events"),
        ("stream.core.rows", "now = self.now + row.timeless"),
        ("stream.kafka.app", "import time; from stream.core import engine"),
        ("stream.cli", "from stream.kafka import app; from stream.serve import metrics"),
    ],
)
def test_right_imports_pass(module: str, line: str) -> None:
    """Arrows that point down are no breach."""
    assert checks.wrong_imports(module, line) == []


def test_relative_imports_of_a_package_start_at_itself() -> None:
    """In `stream/core/__init__.py` one dot means `stream.core`."""
    line = "from .kafka import codec"
    assert checks.wrong_imports("stream", line, is_package=True) == []
    assert checks.wrong_imports("stream.core", "from . import rows", is_package=True) == []


def test_paths_in_documents_are_found() -> None:
    """Backticks and links name paths; code blocks, other folders and addresses do not."""
    text = (
        "See `stream/core/rows.py`, `deploy/*.yml`, [goals](goals.md#top), `../shared/x`,\n"
        "`a/b`, [site](https://example.org/x), [up](#up), `stream`.\n"
        "```\n`tests/in_code.py`\n```\n"
    )
    assert checks.named_paths(text) == {"stream/core/rows.py", "deploy/*.yml", "goals.md"}


def test_commands_in_documents_are_found() -> None:
    """Commands count in code, not in prose or comments."""
    text = "We make sense. `make test`\n```sh\n$ make demo && x  # make peace\nmake -n\n```\n"
    assert checks.named_commands(text, "make") == {"test", "demo"}
    assert checks.named_commands("`.venv/bin/kpi-stream run -x`", "kpi-stream") == {"run"}


def test_command_lines_in_documents_are_found() -> None:
    """Those of a console, and those with options in prose; their comments and prompts are not."""
    text = "`x run`, `x run --fast` or `y --z`\n```console\n$ x stop 'a b'  # now\nx says\n```\n"
    assert checks.command_lines(text, "x") == [["stop", "a b"], ["run", "--fast"]]


def test_make_targets_are_found() -> None:
    """Targets are names before a colon; assignments are not."""
    assert checks.make_targets("A := b\nx:=1\ntest: venv ## Test\n\tcmd:\n") == {"test"}


@pytest.mark.parametrize(
    "parts",
    [
        ("https://pypi", ".org/simple/x"),
        ("https://pypi", ".org/project/x"),
        ("https://files.", "pythonhosted.org/x"),
        ("https://repo1", ".maven.org"),
        ("http://deb.", "debian.org"),
        ("pip install --index", "-url=x"),
        ("extra-index", "-url = x"),
        ("--find", "-links /x"),
        ("FIND", "_LINKS=/x"),
        ("cp /wo", "rk/main/x ."),
        ("/tm", "p/scratch/x"),
        ("'/ro", "ot/.m2'"),
    ],
)
def test_leaks_are_found(parts: tuple[str, str]) -> None:
    """Each kind of leak is named with its line."""
    line = "".join(parts)
    assert checks.leaks(f"fine\n{line}\n") == [f"2: {line}"]


def test_what_only_looks_like_a_leak_passes() -> None:
    """Options that prevent leaks, and ordinary folders, are none."""
    text = "--no-emit-index-url --no-emit-find-links\nsrc/work/x\n/working/x\nthe root / x\n"
    assert checks.leaks(text) == []


def test_loose_requirements_are_found() -> None:
    """A range, and a version without a hash; comments and markers are neither."""
    hashes = "    --hash=sha256:0 \\\n    --hash=sha256:1\n    # via y\n"
    pinned = f"# via x\na==1 ; python_version < '4' \\\n{hashes}"
    assert checks.unpinned(pinned) == []
    assert checks.unpinned(f"{pinned}b>=1 \\\n    --hash=sha256:0\nc==2\n") == ["b>=1", "c==2"]


def test_lengths_are_counted() -> None:
    """Files, functions, methods and nested functions are measured by name."""
    source = "class A:\n    def f(self):\n        def g():\n            pass\n        g()\n"
    assert checks.lengths("m.py", source) == {"m.py": 5, "m.py:A.f": 4, "m.py:A.f.g": 2}


def test_the_ratchet_only_turns_one_way() -> None:
    """Growth, needless grants and forgotten grants are breaches; a used grant is none."""
    assert checks.too_long({"m.py": 301}, {}) == ["m.py has 301 lines; 300 are allowed"]
    assert checks.too_long({"m.py:f": 41}, {}) == ["m.py:f has 41 lines; 40 are allowed"]
    assert checks.too_long({"m.py:f": 50}, {"m.py:f": (50, "why")}) == []
    assert checks.too_long({"m.py:f": 51}, {"m.py:f": (50, "why")}) != []
    assert checks.too_long({"m.py:f": 9}, {"m.py:f": (50, "why")}) != []
    assert checks.too_long({}, {"m.py:f": (50, "why")}) == ["m.py:f has a grant but is gone"]


def test_strays_are_found() -> None:
    """Only what convention wants lies at the top."""
    assert checks.strays({"README.md", ".ci/run", "tests/x.py", "notes.txt", "src/x"}) == [
        "notes.txt",
        "src",
    ]


def test_tests_without_docstring_are_found() -> None:
    """A test must say what it proves; a helper need not."""
    source = 'def test_a():\n    pass\ndef test_b():\n    """B."""\ndef helper():\n    pass\n'
    assert checks.tests_without_docstring(source) == ["test_a"]
