"""How `ctl` asks a console: with a token, once more where the line broke, and what no means."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from api.ctl_words import TOKEN

ASK_SECONDS = 600.0
"""How long an answer is waited for: an export of a month of a large fleet takes minutes."""
CONNECT_SECONDS = 5.0


class SaidNo(Exception):
    """It was not done; the sentence says why and what to do."""


@dataclass(frozen=True)
class Said:
    """What the console answered."""

    body: Any

    def as_json(self) -> str:
        """For programs, as it came."""
        return json.dumps(self.body, indent=2, ensure_ascii=False)


class Asking:
    """A console, asked by its API."""

    def __init__(self, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.Client(
            base_url=f"{self._url}/api/v1",
            headers={"authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(ASK_SECONDS, connect=CONNECT_SECONDS),
            transport=transport or httpx.HTTPTransport(),
        )

    @classmethod
    def of(cls, given: argparse.Namespace) -> Asking:
        """The console that the command line names.

        Raises:
            SaidNo: there is no token, or no such address.
        """
        token = _token(given.token_file)
        if not re.match(r"https?://[^/]+", given.url):
            raise SaidNo(f"{given.url} is no address: give one as http://127.0.0.1:8050")
        return cls(given.url, token)

    def __enter__(self) -> Asking:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def get(self, path: str, *ids: str, **query: Any) -> Said:
        """What is at a path, whose `{}` stand for ids.

        Raises:
            SaidNo: the console refused, or did not answer.
        """
        given = {name: value for name, value in query.items() if value is not None}
        return self._said("GET", _path(path, ids), params=given)

    def post(self, path: str, body: dict[str, Any], *ids: str) -> Said:
        """Ask for something to be done, once, though it be sent twice.

        Raises:
            SaidNo: the console refused, or did not answer.
        """
        key = {"idempotency-key": str(uuid.uuid4())}
        return self._said("POST", _path(path, ids), json=body, headers=key)

    def download(self, path: str, *ids: str, to: Path | None) -> Path:
        """A file, whole or not at all, and as it was written; returns where it lies.

        Raises:
            SaidNo: the console refused, what came is something else, or there is a file already.
        """
        try:
            with self._client.stream("GET", _path(path, ids)) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise SaidNo(_why(answer))
                return _written(answer, to or Path(_name(answer)))
        except httpx.TransportError as error:
            raise SaidNo(self._no_answer(error)) from error
        except OSError as error:
            raise SaidNo(f"{error.filename} can't be written: {error.strerror}") from error

    def _said(self, method: str, path: str, **asked: Any) -> Said:
        try:
            answer = self._twice(method, path, **asked)
        except httpx.TransportError as error:
            raise SaidNo(self._no_answer(error)) from error
        if not answer.is_success:
            raise SaidNo(_why(answer))
        try:
            return Said(answer.json())
        except ValueError as error:
            raise SaidNo(f"{self._url} answers, but is no Pilothouse: see --url") from error

    def _twice(self, method: str, path: str, **asked: Any) -> httpx.Response:
        """Once more where the answer was lost on its way; a POST is known again by its key."""
        try:
            return self._client.request(method, path, **asked)
        except (httpx.RemoteProtocolError, httpx.ReadError):
            return self._client.request(method, path, **asked)

    def _no_answer(self, error: httpx.TransportError) -> str:
        return f"{self._url} does not answer ({error}): see --url, and whether the console runs"


def _token(file: Path | None) -> str:
    if file is None:
        token = os.environ.get(TOKEN, "")
    else:
        try:
            token = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SaidNo(f"{file} can't be read: {error}") from error
    if not token.strip() or not token.strip().isascii():
        raise SaidNo(
            f"a token is needed: make one on the Admin page and put it in {TOKEN}, or name a file "
            "with --token-file"
        )
    return token.strip()


def _path(path: str, ids: tuple[str, ...]) -> str:
    return path.format(*(quote(each, safe="") for each in ids))


def _why(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
        return f"{problem['detail']} ({answer.status_code})"
    except (ValueError, KeyError, TypeError):
        return f"the console answered {answer.status_code} without saying why"


def _name(answer: httpx.Response) -> str:
    """The file's own name; never a path that the other side chose."""
    found = re.search(r'filename="([^"]+)"', answer.headers.get("content-disposition", ""))
    return Path(found.group(1)).name if found else "export.parquet"


def _written(answer: httpx.Response, path: Path) -> Path:
    if path.exists():
        raise SaidNo(f"{path} is there already: move it, or name another with --to")
    part = path.with_name(f"{path.name}.part")
    digest = hashlib.sha256()
    try:
        with part.open("wb") as file:
            for chunk in answer.iter_bytes():
                digest.update(chunk)
                file.write(chunk)
        if answer.headers.get("etag", "").strip('"') != digest.hexdigest():
            raise SaidNo("what came is not what was written: ask for its verification")
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return path
