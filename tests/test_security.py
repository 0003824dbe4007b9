"""Security's own files are tried when the settings are read, not when a broker is reached."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from stream.security import Security
from tests.kafka_broker.certificates import Authority, Identity, encrypted

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not on the PATH")
PASSWORD = "k7-not-for-logs"  # noqa: S105 - the test's own key's


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Identity:
    """A certificate and its key, in the clear."""
    return authority.sign("own")


def fault(**fields: object) -> str:
    """What is said of these settings."""
    with pytest.raises(ValidationError) as refusal:
        Security.model_validate({"protocol": "SSL", **fields})
    assert PASSWORD not in str(refusal.value)
    (error,) = refusal.value.errors()
    return str(error["msg"])


def test_files_that_fit_are_taken(authority: Authority, own: Identity) -> None:
    """With a password for the key and without; the broker's name is always checked."""
    files = {"protocol": "SSL", "ca_file": authority.file, "cert_file": own.certificate}
    locked = {"key_file": encrypted(own.key, PASSWORD), "key_password": PASSWORD}
    for key in ({"key_file": own.key}, {"key_file": own.key, "key_password": "needless"}, locked):
        assert Security.model_validate({**files, **key}).tls().check_hostname


def test_a_file_that_does_not_fit_is_named(authority: Authority, own: Identity) -> None:
    """No certificates, a key of another, two keys."""
    assert f"ca_file: {own.key} holds no certificates" in fault(ca_file=own.key)
    other = authority.sign("other")
    pair = fault(cert_file=own.certificate, key_file=other.key)
    assert f"cert_file, key_file: {own.certificate} and {other.key} are no pair" in pair
    assert "are no pair" in fault(cert_file=own.key, key_file=own.key)


def test_an_encrypted_key_is_never_asked_for_at_the_terminal(own: Identity) -> None:
    """OpenSSL would ask, and a worker would wait there for ever."""
    locked = {"cert_file": own.certificate, "key_file": encrypted(own.key, PASSWORD)}
    assert "key_password" in fault(**locked)
    assert "is missing, and it is encrypted" in fault(**locked)
    assert "it is not the one" in fault(**locked, key_password=f"wrong {PASSWORD}")
    assert "it is not the one" in fault(**locked, key_password=PASSWORD * 100)


def test_files_are_not_looked_at_where_tls_is_off(tmp_path: Path) -> None:
    """They may be prepared before the broker is."""
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    assert Security(ca_file=empty).protocol == "PLAINTEXT"
