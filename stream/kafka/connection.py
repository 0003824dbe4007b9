"""How every client of ours reaches Kafka: addresses, TLS and SASL from the settings."""

from __future__ import annotations

from typing import Any

from stream.config import Settings


def connection_options(settings: Settings) -> dict[str, Any]:
    """The options that every aiokafka client takes."""
    security = settings.security
    options: dict[str, Any] = {
        "bootstrap_servers": settings.broker.split(","),
        "security_protocol": security.protocol,
    }
    if security.protocol.endswith("SSL"):
        options["ssl_context"] = security.tls()
    if security.protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": security.sasl_mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password and security.password.get_secret_value(),
        }
    return options
