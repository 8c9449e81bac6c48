"""What every JSON answer to a GET can do: leave out fields, and say that nothing has changed.

`?fields=job_id,state` keeps these fields of each row, or of the one thing that was asked for. An
`ETag` is the answer's digest: who sends it back as `If-None-Match` gets 304 and no body while the
answer is the same, which spares a program that polls the transfer and the parsing.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem_response

FIELDS_MAX = 100
OURS = "/api/v1/"


class UnknownFields(Exception):
    """The answer has no such fields; the sentence names those it has."""


class Answers:
    """ASGI middleware for the JSON answers of the API to GET; other answers go by untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer, and give its JSON the fields that are wanted and an ETag."""
        is_asked = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if not is_asked or not scope["path"].startswith(OURS):
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Answer(scope, receive, send).hear)


class _Answer:
    """One answer, held back until it is whole where it is JSON."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._start: Message | None = None
        self._body = bytearray()

    async def hear(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_json(message):
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)
        else:
            await self._send(message)

    async def _finish(self, start: Message) -> None:
        try:
            body = _selected(bytes(self._body), self._fields())
        except UnknownFields as error:
            answer = problem_response(self._scope["path"], 422, "unknown fields", str(error))
            await answer(self._scope, self._receive, self._send)
            return
        headers = MutableHeaders(scope=start)
        # A browser keeps nothing: whoever sits at it next could look.
        is_program = self._scope.get("state", {}).get("session") is None
        if is_program and "etag" not in headers:
            headers["etag"] = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
            # Who asked may keep it and ask whether it still holds; nobody between may.
            headers.setdefault("cache-control", "private, no-cache")
        wanted = Headers(scope=self._scope).get("if-none-match", "")
        if _matches(wanted, headers.get("etag", "")):
            start, body = {**start, "status": 304}, b""
            headers = MutableHeaders(scope=start)
            del headers["content-type"]
        headers["content-length"] = str(len(body))
        if start["status"] == 304:
            del headers["content-length"]
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})

    def _fields(self) -> list[str]:
        given = parse_qs(self._scope.get("query_string", b"").decode("latin-1")).get("fields", [])
        return [name.strip() for each in given for name in each.split(",") if name.strip()]


def _is_json(start: Message) -> bool:
    content_type = Headers(raw=start["headers"]).get("content-type", "")
    return bool(start["status"] == 200 and content_type.startswith("application/json"))


def _matches(wanted: str, etag: str) -> bool:
    if not wanted or not etag:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in wanted.split(",")}
    return etag.removeprefix("W/") in tags or wanted.strip() == "*"


def _selected(body: bytes, fields: list[str]) -> bytes:
    """The answer with these fields alone; of a list, its rows with these.

    Raises:
        UnknownFields: there are none of these names, or too many are asked for.
    """
    if not fields:
        return body
    if len(fields) > FIELDS_MAX:
        raise UnknownFields(f"ask for at most {FIELDS_MAX} fields: {len(fields)} were named")
    whole = json.loads(body)
    if isinstance(whole, dict) and isinstance(whole.get("items"), list):
        whole["items"] = [_of_row(row, fields) for row in whole["items"]]
    elif isinstance(whole, list):
        whole = [_of_row(row, fields) for row in whole]
    else:
        whole = _of_row(whole, fields)
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def _of_row(row: Any, fields: list[str]) -> Any:
    if not isinstance(row, dict):
        return row
    unknown = [name for name in fields if name not in row]
    if unknown:
        known = ", ".join(sorted(row))
        raise UnknownFields(f"there is no field {unknown[0]}: choose from {known}")
    return {name: row[name] for name in fields}
