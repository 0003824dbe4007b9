"""`kpi-stream dead-letters replay`, as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stream.cli import main
from tests.kafka.letters import Desk, open_desk
from tests.kafka_broker.broker import KafkaBroker


@pytest.fixture
def desk(kafka: KafkaBroker, topic_prefix: str, tmp_path: Path) -> Desk:
    """Topics of the test's own, with three letters."""
    desk = open_desk(kafka.bootstrap, topic_prefix, tmp_path)
    desk.put([desk.letter(0), desk.letter(1, "version"), desk.letter(2)])
    return desk


def replay(desk: Desk, *arguments: str) -> Result:
    """The command."""
    line = ["dead-letters", "replay", *arguments, "--config", str(desk.folder)]
    return CliRunner().invoke(main, line, catch_exceptions=False)


def test_a_run_says_what_it_did(desk: Desk) -> None:
    """By topic and reason; first dry, then with a filter, then the rest."""
    topic = desk.settings.topics.interactions
    assert replay(desk, "--dry-run").stdout == (
        f"{topic}, invalid: 2 would be sent\n{topic}, version: 1 would be sent\n"
        "3 would be sent, 0 left, 0 dealt with before\n"
    )
    assert replay(desk, "--reason", "version", "--since", "1h").stdout == (
        f"{topic}, version: 1 sent\n1 sent, 0 left, 0 dealt with before\n"
    )
    assert replay(desk).stdout == f"{topic}, invalid: 2 sent\n2 sent, 0 left, 1 dealt with before\n"
    assert replay(desk).stdout == "0 sent, 0 left, 3 dealt with before\n"


def test_a_topic_that_is_not_there_is_said(desk: Desk, tmp_path: Path) -> None:
    """Another app's dead letters, say."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "kpi-stream.yaml").write_text(f"broker: {desk.settings.broker}\napp: other\n")
    result = replay(Desk(desk.settings, folder), "--dry-run")
    assert result.exit_code == 1
    assert result.stderr.startswith("kpi-stream: topic 'dead-letters' is not at ")
