"""Who is told: a webhook and a mailbox, each of which can be out of order."""

from __future__ import annotations

import json
import time
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope

from tests.notify.listener import Listener
from tests.ports import free_port


class Webhook(Listener):
    """Keeps the bodies of what is posted to it, and when that was; answers `status`."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 200
        self.told: list[Any] = []
        self.paths: list[str] = []
        self.came: list[float] = []
        self.tries = 0

    def alerts(self) -> list[tuple[str, str, str]]:
        """Of Alertmanager's messages: each alert's goal, id and status, in the order told."""
        return [
            (alert["labels"]["alertname"], alert["labels"]["id"], alert["status"])
            for message in list(self.told)
            for alert in message["alerts"]
        ]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.tries += 1
                if webhook.status == 200:
                    webhook.came.append(time.time())
                    webhook.paths.append(self.path)
                    webhook.told.append(json.loads(body))
                self.send_response(webhook.status)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                """Nothing."""

        return Handler


class Mailbox:
    """An SMTP server that keeps what it gets, and when that was."""

    def __init__(self, host: str = "127.0.0.1", port: int | None = None) -> None:
        """On a free port unless told."""
        self.mails: list[EmailMessage] = []
        self.came: list[float] = []
        self.gone: set[str] = set()
        self.port = port or free_port()
        self._controller = Controller(self, hostname=host, port=self.port)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: object, _session: object, envelope: Envelope, to: str, _options: list[str]
    ) -> str:
        """Refuses whose mailbox is `gone`."""
        if to in self.gone:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Takes a mail."""
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.came.append(time.time())
        self.mails.append(mail)
        return "250 OK"

    def texts(self) -> list[str]:
        """The mails' plain text."""
        return [text_of(mail) for mail in self.mails]


def text_of(mail: EmailMessage, subtype: str = "plain") -> str:
    """The plain text of a mail, or its HTML."""
    body = mail.get_body((subtype,))
    return "" if body is None else str(body.get_content())
