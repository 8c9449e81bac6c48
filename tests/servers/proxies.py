"""Loopback proxies that make servers fail on purpose: refuse, hang, or cut the line."""

from __future__ import annotations

import http.client
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HELD_BACK = {"transfer-encoding", "connection", "content-length", "server", "date"}


class S3Proxy:
    """Passes requests on to an S3 server, or refuses those whose method is told."""

    def __init__(self, target: str) -> None:
        self.refusing: dict[str, int] = {}
        """Status by method, as `{"PUT": 503}`."""
        self.asked: list[str] = []
        """The methods asked for, in order."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, target))
        self._server.daemon_threads = True
        self.endpoint = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @contextmanager
    def refuses(self, status: int, *methods: str) -> Iterator[None]:
        """Answer these methods with a status meanwhile."""
        self.refusing = dict.fromkeys(methods or ("GET", "HEAD", "PUT", "POST"), status)
        try:
            yield
        finally:
            self.refusing = {}

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


def _handler(proxy: S3Proxy, target: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """It is silent."""

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            proxy.asked.append(self.command)
            status = proxy.refusing.get(self.command)
            if status is not None:
                said = b"<Error><Code>Refused</Code><Message>on purpose</Message></Error>"
                return self._answer(status, [], said)
            with closing(http.client.HTTPConnection(target)) as connection:
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                self._answer(answer.status, answer.getheaders(), answer.read())
            return None

        def _answer(
            self,
            status: int,
            headers: list[tuple[str, str]],
            body: bytes,
        ) -> None:
            told = {name.lower(): value for name, value in headers}
            length_of_head = told.get("content-length", "0")
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in HELD_BACK:
                    self.send_header(name, value)
            is_head = self.command == "HEAD"
            self.send_header("content-length", length_of_head if is_head else str(len(body)))
            self.end_headers()
            if not is_head:
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

    return Handler


class LineProxy:
    """Passes bytes between a port of its own and a socket; cuts the line where it is told.

    `cuts(sent)` is asked of what a client sends, which is passed on first: so the server may well
    do it, and the client never hears of it.
    """

    def __init__(self, target: Path) -> None:
        self.cuts: Callable[[bytes], bool] = lambda sent: False
        self.is_down = False
        """Whether nobody is let in."""
        self._target = target
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # it was closed
                return
            self._clients.append(client)
            carrying = threading.Thread(target=self._carry, args=(client,), daemon=True)
            self._threads.append(carrying)
            carrying.start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            if self.is_down:
                return
            server.connect(str(self._target))
            while True:
                for source in select.select([client, server], [], [])[0]:
                    sent = source.recv(65536)
                    (server if source is client else client).sendall(sent)
                    if not sent or (source is client and self.cuts(sent)):
                        return

    def close(self) -> None:
        """End it; whoever it carries is cut off."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            with suppress(OSError):  # it has gone
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
