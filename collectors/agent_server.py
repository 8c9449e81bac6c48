"""The node agent's port: `/metrics`, `/healthz` and `/readyz`, by the standard library alone.

A thread a connection, so many at most; who is slow to ask or to take the answer is let go.
"""

from __future__ import annotations

import contextlib
import gzip
import hmac
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import gzip_accepted

from collectors.agent_cost import AgentSeries
from collectors.agent_reading import Lookout
from collectors.agent_settings import AgentSettings
from collectors.agent_text import GpuSeries, encoded

IDLE_SECONDS = 75.0
"""A connection that says nothing for so long is closed; scrapes come more often."""
GZIP_LEVEL = 1
"""The text shrinks to a twentieth by it; a higher level saves little and costs thrice as much."""
PLAIN = "text/plain; charset=utf-8"


class CannotServe(Exception):
    """The agent can't serve; the sentence says what to do."""


class Desk:
    """What is answered, whoever carries it: the pages of the port by their paths."""

    def __init__(self, lookout: Lookout, token: str | None) -> None:
        self._lookout, self._token = lookout, token
        self._registry = CollectorRegistry(auto_describe=False)
        self._own = AgentSeries(lookout, lookout.sight)
        self._registry.register(GpuSeries(lookout.sight))
        self._registry.register(self._own)

    def answer(self, path: str, header: Callable[[str], str]) -> tuple[int, str, bytes]:
        """Status, content type and body; `header` gives a header of the request, or ""."""
        pages = {"/metrics": self._metrics, "/healthz": self._health, "/readyz": self._readiness}
        page = pages.get(path.partition("?")[0])
        if page is None:
            return HTTPStatus.NOT_FOUND, PLAIN, b"there are /metrics, /healthz and /readyz\n"
        return page(header)

    def _metrics(self, header: Callable[[str], str]) -> tuple[int, str, bytes]:
        if not self._may_read(header("Authorization")):
            said = b"this agent wants its token: Authorization: Bearer ...\n"
            return HTTPStatus.UNAUTHORIZED, PLAIN, said
        self._own.scraped()
        text, content_type = encoded(self._registry, header("Accept"))
        return HTTPStatus.OK, content_type, text

    def _health(self, header: Callable[[str], str]) -> tuple[int, str, bytes]:
        return HTTPStatus.OK, PLAIN, b"ok\n"

    def _readiness(self, header: Callable[[str], str]) -> tuple[int, str, bytes]:
        sight = self._lookout.sight()
        if sight.is_fresh:
            return HTTPStatus.OK, PLAIN, b"ok\n"
        reason = sight.why_not or "the newest reading is stale"
        return HTTPStatus.SERVICE_UNAVAILABLE, PLAIN, f"{reason}\n".encode()

    def _may_read(self, authorization: str) -> bool:
        if self._token is None:
            return True
        return hmac.compare_digest(authorization.encode(), f"Bearer {self._token}".encode())


class AgentServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens once it is made.

    Raises:
        CannotServe: the address can't be had, or the certificate can't be read.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, settings: AgentSettings, desk: Desk) -> None:
        self.desk = desk
        self._tls = _tls(settings)
        self._free = threading.BoundedSemaphore(settings.connections_max)
        self.address_family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        try:
            super().__init__((settings.host, settings.port), Wire)
        except OSError as error:
            raise CannotServe(
                f"can't listen on {settings.host}:{settings.port} ({error.strerror}): stop what "
                "does, or choose another with --port or PILOTHOUSE_AGENT_PORT"
            ) from error

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, or close it where there are too many."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands here and not where connections are taken: a slow hand holds nobody up."""
        request.settimeout(IDLE_SECONDS)
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        with self._tls.wrap_socket(request, server_side=True) as wrapped:
            super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up, is too slow, or speaks no HTTP is no news."""


class Wire(BaseHTTPRequestHandler):
    """Carries one connection's questions to the desk."""

    protocol_version = "HTTP/1.1"
    server_version = "pilothouse-agent"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet
    timeout: ClassVar[float] = IDLE_SECONDS
    server: AgentServer

    def do_GET(self) -> None:
        """Answer."""
        self._answer(has_body=True)

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer(has_body=False)

    def _answer(self, *, has_body: bool) -> None:
        status, content_type, body = self.server.desk.answer(self.path, self._header)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        if gzip_accepted(self._header("Accept-Encoding")):
            body = gzip.compress(body, GZIP_LEVEL)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Vary", "Accept, Accept-Encoding")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if has_body:
            self.wfile.write(body)

    def _header(self, name: str) -> str:
        return ", ".join(self.headers.get_all(name) or ())

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no news."""

    def finish(self) -> None:
        """Let go; who hung up first is no news either."""
        with contextlib.suppress(OSError):
            super().finish()


def _tls(settings: AgentSettings) -> ssl.SSLContext | None:
    if settings.tls_cert_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
    except (OSError, ssl.SSLError) as error:
        raise CannotServe(
            f"the certificate {settings.tls_cert_file} or its key can't be used ({error}): give "
            "files in PEM that belong together and that this user may read"
        ) from error
    return context
