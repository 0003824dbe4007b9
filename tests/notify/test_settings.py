"""The part of the settings about who is told: what is wrong is named, and secrets are not said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stream.cli import main
from stream.config import load_settings
from stream.supervisor import REFUSED
from stream.yamlfile import Faults
from tests.notify.shipped import DEPLOY


def faults(**notify: Any) -> list[str]:
    """What is wrong with these."""
    with pytest.raises(Faults) as found:
        load_settings(None, notify=notify)
    return found.value.faults


def test_the_shipped_settings_name_an_alertmanager_and_links() -> None:
    """And links have only fields that there are."""
    notify = load_settings(DEPLOY.parent).notify
    assert [each.get_secret_value() for each in notify.alertmanagers] == ["http://localhost:9093"]
    assert set(notify.links) == {"agent", "team", "queue", "site"}


def test_addresses_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON, so that no file holds them; and they are never shown."""
    monkeypatch.setenv("KPI_STREAM_NOTIFY__DIRECT__LEADS", '{"Kim": ["mailto://u:secret@h"]}')
    monkeypatch.setenv("KPI_STREAM_NOTIFY__RESEND", "30s")
    settings = load_settings(None)
    (url,) = settings.notify.direct.leads["Kim"]
    assert url.get_secret_value() == "mailto://u:secret@h"
    assert settings.notify.resend == 30_000
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("notify", "place", "what"),
    [
        ({"alertmanagers": ["localhost:9093"]}, "notify.alertmanagers.0", "such as 'http://"),
        ({"alertmanagers": ["http://"]}, "notify.alertmanagers.0", "such as 'http://"),
        ({"links": {"agent": "http://g/{who}"}}, "notify.links.agent", "names ['who']; there are"),
        ({"links": {"agent": "http://g/{id"}}, "notify.links.agent", "braces"),
        ({"links": {"agent": "http://g/{since_ms:d}"}}, "notify.links.agent", "take no text"),
        ({"links": {"person": "http://g/"}}, "notify.links.person.[key]", "Input should be"),
        ({"keep": "1m"}, "notify", "keep has to be at least twice resend"),
        ({"direct": {"messages_per_hour": 0}}, "notify.direct.messages_per_hour", "greater"),
        ({"direct": {"lead": {}}}, "notify.direct.lead", "no such setting"),
    ],
)
def test_a_fault_names_its_setting(notify: dict[str, Any], place: str, what: str) -> None:
    """In a line of its own."""
    (fault,) = faults(**notify)
    assert fault.startswith(f"setting {place!r}: ")
    assert what in fault


def test_a_fault_about_an_address_does_not_say_it() -> None:
    """It may hold a password."""
    (fault,) = faults(alertmanagers=["ftp://user:secret@host"])
    assert "secret" not in fault


def test_with_nobody_to_tell_the_command_says_so(tmp_path: Path) -> None:
    """Before it connects to anything."""
    done = CliRunner().invoke(main, ["notify", "--config", str(tmp_path)])
    assert (done.exit_code, done.output) == (
        REFUSED,
        "setting 'notify': nobody to tell: name alertmanagers, or direct.leads\n",
    )


def test_check_finds_the_rosters_faults_too(tmp_path: Path) -> None:
    """All at once, with those of settings and goals."""
    (tmp_path / "roster.yaml").write_text("agents: {a: {nickname: x}}")
    (tmp_path / "kpi-stream.yaml").write_text("windows: [soon]")
    done = CliRunner().invoke(main, ["check", str(tmp_path)])
    assert done.exit_code == 1
    assert len(done.output.splitlines()) == 2
    assert "roster: agent 'a': nickname: no such field" in done.output
