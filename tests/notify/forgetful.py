"""In place of an Alertmanager: one that forgets, or lists what the test likes."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.notify.listener import Listener


class Forgetful(Listener):
    """Says when it was started, takes alerts and lists those that are active, if it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.started: str | None = "2026-03-02T08:00:00Z"
        self.takes = True
        self.active: list[str] | None = None
        self.told: list[tuple[str, bool]] = []
        self.ends = 0
        self.asked = 0

    def hears_of_the_end_anew(self) -> Callable[[], bool]:
        """Whether it has since."""
        before = self.ends
        return lambda: self.ends > before

    def heard_since(self, done: int) -> set[tuple[str, bool]]:
        """Of which alerts it was told after the first `done` postings, and whether of an end."""
        return set(self.told[done:])

    def _take(self, postings: list[dict[str, Any]]) -> int:
        if not self.takes:
            return 503
        for posting in postings:
            said = posting["annotations"]
            has_ended = "met again" in said["summary"]
            self.told.append((said["alert_id"], has_ended))
            self.ends += has_ended
        return 200

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if "/alerts?" in self.path:
                    listed = [{"annotations": {"alert_id": each}} for each in own.active or []]
                    self._answer(listed, known=own.active is not None)
                else:
                    own.asked += 1
                    self._answer({"uptime": own.started}, known=own.started is not None)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(own._take(json.loads(body)))
                self.end_headers()

            def _answer(self, said: object, *, known: bool) -> None:
                self.send_response(200 if known and own.takes else 404)
                self.end_headers()
                self.wfile.write(json.dumps(said).encode())

            def log_message(self, *_: object) -> None:
                """Nothing."""

        return Handler
