"""How to reach a Kafka that demands TLS or SASL: whom to believe, and who we are."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, FilePath, SecretStr, model_validator

from stream.secretfile import from_files


class Security(BaseModel):
    """The part of the settings that says so; its files are tried as soon as they are named."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    key_password: SecretStr | None = None
    key_password_file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_secrets(cls, fields: Any) -> Any:
        return from_files(fields, "password", "key_password")

    @model_validator(mode="after")
    def _complete(self) -> Security:
        if self.protocol.startswith("SASL") and not (self.username and self.password):
            message = f"protocol {self.protocol} needs a username and a password"
            raise ValueError(message)
        if (self.cert_file is None) != (self.key_file is None):
            message = "cert_file and key_file go together"
            raise ValueError(message)
        if self.protocol.endswith("SSL"):
            self.tls()
        return self

    def tls(self) -> ssl.SSLContext:
        """A client's context: the broker's certificate and its name are always checked.

        Raises:
            ValueError: naming the setting whose file is not what it has to be.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            message = f"ca_file: {self.ca_file} holds no certificates in PEM: {error}"
            raise ValueError(message) from error
        if self.cert_file is not None:
            self._prove_who_we_are(context, self.cert_file)
        return context

    def _prove_who_we_are(self, context: ssl.SSLContext, cert_file: Path) -> None:
        password = self.key_password.get_secret_value() if self.key_password else ""
        is_encrypted = False

        def answer() -> str:
            """Also where there is none: OpenSSL would ask at the terminal, and wait."""
            nonlocal is_encrypted
            is_encrypted = True
            return password

        try:
            context.load_cert_chain(cert_file, self.key_file, answer)
        except (OSError, ValueError) as error:
            if is_encrypted:
                fault = "is not the one" if password else "is missing, and it is encrypted"
                raise ValueError(f"key_password: for {self.key_file} it {fault}") from error
            pair = f"{cert_file} and {self.key_file}"
            message = f"cert_file, key_file: {pair} are no pair in PEM: {error}"
            raise ValueError(message) from error
