"""Slack, as far as the console speaks to it: on loopback, and it remembers what it was told."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"


@dataclass
class Slack:
    """What was sent to it, and how it answers."""

    address: str = ""
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Path and body of each request."""
    status: int = 200
    lets_go: threading.Event = field(default_factory=threading.Event)
    """It answers once this is set."""

    def at(self, path: str) -> list[dict[str, Any]]:
        return [body for where, body in self.told if where == path]


@contextmanager
def slack_server() -> Iterator[Slack]:
    slack = Slack()
    slack.lets_go.set()

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_json = "json" in self.headers["Content-Type"]
            read = json.loads(body) if is_json else {k: v[0] for k, v in parse_qs(body).items()}
            slack.lets_go.wait(30)
            slack.told.append((self.path, read))
            text = json.dumps({"ok": True, "channel": "C1", "ts": f"{len(slack.told)}.0"})
            self.send_response(slack.status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    slack.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05))
    thread.start()
    yield slack
    slack.lets_go.set()
    server.shutdown()
    thread.join()
    server.server_close()


def signed(body: bytes, at_seconds: float, secret: str = SECRET) -> dict[str, str]:
    """The headers with which Slack sends a body."""
    stamp = str(int(at_seconds))
    base = b"v0:" + stamp.encode() + b":" + body
    return {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest(),
    }


def pressed(button: dict[str, Any], response_url: str, user: str = "U1", reason: str = "") -> bytes:
    """What Slack sends where somebody presses a button."""
    values = {
        "pilothouse_reason": {"reason": {"type": "plain_text_input", "value": reason or None}}
    }
    payload = {
        "type": "block_actions",
        "user": {"id": user, "username": "root"},
        "actions": [button],
        "response_url": response_url,
        "state": {"values": values},
    }
    return urlencode({"payload": json.dumps(payload)}).encode()
