"""Secrets from files: taken without the end of their line, and never said."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.config import load_settings
from stream.secretfile import SECRET_BYTES_MAX
from stream.yamlfile import Faults

SECRET = "s9-not-for-logs-or-ps"  # noqa: S105 - the test's own


def settings_file(folder: Path, text: str) -> None:
    """The settings."""
    (folder / "kpi-stream.yaml").write_text(text)


def test_each_secret_may_come_from_a_file(tmp_path: Path) -> None:
    """The password, the key's password and the token; as Docker and editors write them."""
    for name, end in (("one", ""), ("two", "\n"), ("three", "\r\n")):
        (tmp_path / name).write_bytes(SECRET.encode() + end.encode())
    settings_file(
        tmp_path,
        "security: {protocol: SASL_PLAINTEXT, username: me, "
        f"password_file: {tmp_path}/one, key_password_file: {tmp_path}/two}}\n"
        f"metrics: {{token_file: {tmp_path}/three}}\n",
    )
    settings = load_settings(tmp_path)
    security = settings.security
    secrets = (security.password, security.key_password, settings.metrics.token)
    assert [secret and secret.get_secret_value() for secret in secrets] == [SECRET] * 3
    assert SECRET not in repr(settings) + settings.model_dump_json()


def test_the_environment_may_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose files do."""
    (tmp_path / "token").write_text(SECRET)
    monkeypatch.setenv("KPI_STREAM_METRICS__TOKEN_FILE", str(tmp_path / "token"))
    token = load_settings(tmp_path).metrics.token
    assert token is not None
    assert token.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (None, "cannot be read: [Errno 2]"),
        (b"", "holds no line of UTF-8"),
        (b"\n", "holds no line of UTF-8"),
        (b"\xff" + SECRET.encode(), "holds no line of UTF-8"),
        (SECRET.encode() * SECRET_BYTES_MAX, f"is larger than {SECRET_BYTES_MAX} bytes"),
    ],
)
def test_a_file_without_a_secret_is_a_fault(tmp_path: Path, raw: bytes | None, fault: str) -> None:
    """The setting and the file are named; what stands there is not said."""
    file = tmp_path / "secret"
    if raw is not None:
        file.write_bytes(raw)
    settings_file(tmp_path, f"metrics: {{token_file: {file}}}\n")
    with pytest.raises(Faults) as faults:
        load_settings(tmp_path)
    (line,) = faults.value.faults
    assert line.startswith(f"setting 'metrics': token_file: {file} {fault}")
    assert SECRET not in line


def test_a_secret_and_its_file_exclude_each_other(tmp_path: Path) -> None:
    """Else one would pass in silence; neither is said."""
    file = tmp_path / "secret"
    file.write_text(SECRET)
    settings_file(tmp_path, f"metrics: {{token: {SECRET}, token_file: {file}}}\n")
    with pytest.raises(Faults) as faults:
        load_settings(tmp_path)
    assert faults.value.faults == ["setting 'metrics': token and token_file exclude each other"]


@pytest.mark.parametrize("token", ["short", "with a space in the middle", "é" * 20, "x" * 501])
def test_a_token_fits_a_header(tmp_path: Path, token: str) -> None:
    """And is long enough not to be guessed at once."""
    settings_file(tmp_path, f"metrics: {{token: '{token}'}}\n")
    with pytest.raises(Faults) as faults:
        load_settings(tmp_path)
    assert faults.value.faults == [
        "setting 'metrics.token': a token has 16 to 500 letters, digits and any of -._~+/="
    ]
