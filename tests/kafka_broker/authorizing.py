"""A broker on which nobody may do anything but what an ACL allows."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from tests.kafka_broker.broker import KafkaBroker, fetch_jars
from tests.ports import HOST, free_port

_LOGIN: Final = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_AUTHORIZER: Final = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"


class AuthorizingBroker:
    """One broker; `address` is where `users` log in by PLAIN, each with its name for a password.

    Who comes in by `broker.bootstrap` asks nobody: administrators, and the broker itself.
    """

    def __init__(self, users: Iterable[str]) -> None:
        """Not started."""
        self.broker = KafkaBroker()
        self.address = f"{HOST}:{free_port()}"
        listeners = {"PLAINTEXT": self.broker.bootstrap, "CONTROLLER": self.broker.controller}
        listeners["SASL_PLAINTEXT"] = self.address
        where = ",".join(f"{name}://{address}" for name, address in listeners.items())
        known = " ".join(f'user_{user}="{user}"' for user in users)
        self.broker.configure(
            {
                "listeners": where,
                "advertised.listeners": where,
                "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,"
                "SASL_PLAINTEXT:SASL_PLAINTEXT",
                "sasl.enabled.mechanisms": "PLAIN",
                "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{_LOGIN} {known};",
                "authorizer.class.name": _AUTHORIZER,
                "super.users": "User:ANONYMOUS",
            }
        )

    def run_acls(self, script: Path, folder: Path, variables: Mapping[str, str]) -> None:
        """Runs a script of `kafka-acls.sh` commands; `folder` is for what it takes to."""
        command = folder / "kafka-acls.sh"
        jars, tool = fetch_jars(), "org.apache.kafka.tools.AclCommand"
        command.write_text(
            f'#!/bin/sh\nexec java -XX:TieredStopAtLevel=1 -cp "{jars}/*" {tool} "$@"\n'
        )
        command.chmod(0o755)
        path = f"{folder}:{os.environ['PATH']}"
        given = {"PATH": path, "BOOTSTRAP": self.broker.bootstrap, **variables}
        done = subprocess.run(
            ["sh", str(script)], env=given, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
