"""How much a request may send.

FastAPI's own limit answers in plain text, from outside of the door and so without its headers.
This one reads the body before anything behind it does, which all read it whole anyway, and so
can always answer with a problem.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem_response

BODY_BYTES_MAX = 1 << 20


class BodyLimit:
    """Answers 413 to a body of more than `BODY_BYTES_MAX`, as ASGI middleware."""

    def __init__(self, app: ASGIApp, bytes_max: int = BODY_BYTES_MAX) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413, or let the app answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = None if self._says_too_much(scope) else await self._read(receive)
        if body is None:
            await self._refuse(scope, receive, send)
        else:
            await self._app(scope, told_first(body, receive), send)

    def _says_too_much(self, scope: Scope) -> bool:
        length = Headers(scope=scope).get("content-length", "")
        return length.isdecimal() and int(length) > self._bytes_max

    async def _read(self, receive: Receive) -> Message | None:
        """The whole body as one message, or that the asker went; None where it is too large."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return message
            body += message.get("body", b"")
            if len(body) > self._bytes_max:
                return None
            if not message.get("more_body", False):
                return {"type": "http.request", "body": bytes(body), "more_body": False}

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The connection is closed, so that the rest of the body is not waited for."""
        detail = f"what was sent is too large: send at most {self._bytes_max} bytes"
        answer = problem_response(
            scope["path"], 413, "content too large", detail, {"Connection": "close"}
        )
        await answer(scope, receive, send)


def told_first(first: Message, receive: Receive) -> Receive:
    """A `receive` that gives this message before all others."""
    waiting = [first]

    async def told() -> Message:
        return waiting.pop() if waiting else await receive()

    return told
