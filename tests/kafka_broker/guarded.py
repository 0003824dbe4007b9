"""A broker that lets nobody in who cannot say who they are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.kafka_broker.broker import KafkaBroker
from tests.kafka_broker.certificates import Authority, Identity
from tests.ports import HOST, free_ports

USER: Final = "kpi"
_LOGIN: Final = "org.apache.kafka.common.security"
_SASL: Final = ("SASL_PLAINTEXT", "SASL_SSL")


class GuardedBroker:
    """One broker with a listener for each way in; `broker` has the one that asks nothing.

    `SSL` demands a certificate that `authority` signed; the others `USER` and `password`, by
    PLAIN or SCRAM-SHA-512.
    """

    def __init__(self, folder: Path, authority: Authority, password: str) -> None:
        """Not started."""
        self._ports = dict(zip(("SSL", *_SASL), free_ports(3), strict=True))
        self.broker = KafkaBroker(scram={USER: password})
        listeners = {"PLAINTEXT": self.broker.bootstrap, "CONTROLLER": self.broker.controller}
        listeners |= {name: self.address(name) for name in self._ports}
        where = ",".join(f"{name}://{address}" for name, address in listeners.items())
        plain = f'{_LOGIN}.plain.PlainLoginModule required user_{USER}="{password}";'
        scram = f"{_LOGIN}.scram.ScramLoginModule required;"
        config = {"listeners": where, "advertised.listeners": where}
        config["listener.security.protocol.map"] = "CONTROLLER:PLAINTEXT," + ",".join(
            f"{name}:{name}" for name in listeners if name != "CONTROLLER"
        )
        config["sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-512"
        for name in _SASL:
            prefix = f"listener.name.{name.lower()}"
            config[f"{prefix}.plain.sasl.jaas.config"] = plain
            config[f"{prefix}.scram-sha-512.sasl.jaas.config"] = scram
        config |= _tls(folder, authority, authority.sign("broker"))
        self.broker.configure(config)

    def address(self, protocol: str) -> str:
        """Where one speaks this protocol."""
        return f"{HOST}:{self._ports[protocol]}"


def _tls(folder: Path, authority: Authority, own: Identity) -> dict[str, str]:
    keystore = folder / "keystore.pem"
    keystore.write_text(own.key.read_text() + own.certificate.read_text())
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "listener.name.ssl.ssl.client.auth": "required",
    }
