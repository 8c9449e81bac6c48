"""The stand-in's HTTP: tokens, answers, chunked watches, and connections that can be cut."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.stand_in.answering import USER, Answer, Desk
from tests.stand_in.asked import Asked
from tests.stand_in.refusals import unauthorised

TOKEN = "stand-in-token"


class Server(ThreadingHTTPServer):
    """Serves a desk on a loopback port of its own."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, desk: Desk) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.desk = desk
        self.requests: list[tuple[str, str, Any]] = []
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name="stand-in", daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def _serve(self) -> None:
        self.serve_forever(poll_interval=0.02)

    def stop(self) -> None:
        """Cut all connections and wait for their threads."""
        self.desk.faults.down()
        self.shutdown()
        self._thread.join()
        with self._guard:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is none of our business; anything else is a bug of ours."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65_536
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests are quiet."""

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        asked = Asked.of(self.command, self.path, self.headers, self.rfile.read(length))
        desk = self.server.desk
        if desk.faults.is_down:
            self.close_connection = True
            return
        self.server.requests.append((asked.method, self.path, _shown(asked.content)))
        answer = self._answered(asked)
        if desk.faults.is_lost(asked):
            self.close_connection = True
            return
        if answer.lines is not None:
            self._stream(answer)
        else:
            self._send(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

    def _answered(self, asked: Asked) -> Answer:
        said = self.headers.get("Authorization")
        if said is not None and said != f"Bearer {TOKEN}":
            return Answer(401, json.dumps(unauthorised().body).encode())
        try:
            return self.server.desk.answer(asked, USER if said else None)
        except Exception as error:  # a bug of the stand-in's is an answer that tests can read
            words = {"message": f"the stand-in failed: {error!r}", "reason": "InternalError"}
            return Answer(500, json.dumps({"kind": "Status", "code": 500, **words}).encode())

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.code)
        plain = "text/plain; charset=utf-8"
        self.send_header("Content-Type", "application/json" if answer.is_json else plain)
        self.send_header("Content-Length", str(len(answer.content)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.content)
        self.wfile.flush()

    def _stream(self, answer: Answer) -> None:
        faults = self.server.desk.faults
        cuts = faults.cuts
        self.send_response(answer.code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for line in answer.lines or ():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()
        if faults.cuts != cuts:
            self.close_connection = True  # without the last chunk: the client sees a cut
            return
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()


def _shown(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return content.decode(errors="replace")
