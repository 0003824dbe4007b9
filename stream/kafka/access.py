"""Why a broker does not let us in, as the setting that it is about.

aiokafka's clients log the cause and raise the same error for a broker that is down and for a wrong
password; the one is worth waiting for, the other is not.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import Final

from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from stream.config import Settings
from stream.kafka.connection import connection_options

_TIMEOUT_MS: Final = 5_000
_CLOSE_S: Final = 1.0
_NAME_FAULTS: Final = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


async def why_refused(settings: Settings) -> str | None:
    """What is wrong with which setting; None where no broker says so."""
    options = connection_options(settings)
    for host, port, _ in collect_hosts(options.pop("bootstrap_servers")):
        error = await _knock(
            AIOKafkaConnection(host, port, request_timeout_ms=_TIMEOUT_MS, **options)
        )
        for cause in _chain(error):
            if reason := _explain(cause, settings):
                return f"{host}:{port}: {reason}"
    return None


async def _knock(connection: AIOKafkaConnection) -> BaseException | None:
    """What comes of a connection; nothing of it is left behind."""
    error: BaseException | None = None
    try:
        await connection.connect()
    except (OSError, TimeoutError) as failure:  # it was never made: it would never say it is closed
        return failure
    except KafkaError as refusal:
        error = refusal
    await asyncio.wait([connection.close()], timeout=_CLOSE_S)
    return error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came of: a refusal may arrive while an answer is awaited."""
    while error is not None:
        yield error
        error = error.__cause__


def _explain(error: BaseException, settings: Settings) -> str | None:
    security = settings.security
    if isinstance(error, ssl.SSLCertVerificationError):
        name = "broker" if error.verify_code in _NAME_FAULTS else "security.ca_file"
        return f"setting {name!r}: the broker's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return _explain_tls(str(error.reason), is_named=security.cert_file is not None)
    if isinstance(error, SaslAuthenticationFailed):
        return (
            "setting 'security.username' or 'security.password': the broker knows no such pair "
            f"for {security.sasl_mechanism}"
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"setting 'security.sasl_mechanism': no {security.sasl_mechanism} there"
    if isinstance(error, IllegalSaslStateError):
        return f"setting 'security.protocol': {security.protocol}, but no login is asked for there"
    return None


def _explain_tls(reason: str, *, is_named: bool) -> str:
    if "ALERT" in reason:
        who = "refuses ours" if is_named else "asks for one"
        return f"setting 'security.cert_file': the broker {who}: {reason}"
    return f"setting 'security': TLS failed: {reason}"
