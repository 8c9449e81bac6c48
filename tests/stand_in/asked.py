"""One request, as the stand-in reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.stand_in.kinds import Kind, Registry
from tests.stand_in.refusals import bad_request, no_such_page

Body = dict[str, Any]


@dataclass
class Asked:
    """A request: what for, and with what."""

    method: str
    path: str
    query: dict[str, str]
    content: bytes = b""
    content_type: str = ""
    accept: str = ""
    user_agent: str = ""
    warnings: list[str] = field(default_factory=list)
    """Words of warning that the answer carries."""

    @classmethod
    def of(
        cls, method: str, target: str, headers: Mapping[str, str | None], content: bytes
    ) -> Asked:
        parts = urlsplit(target)
        return cls(
            method,
            unquote(parts.path),
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            content,
            (headers.get("Content-Type") or "").split(";")[0].strip(),
            headers.get("Accept") or "",
            headers.get("User-Agent") or "",
        )

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") in ("true", "1")

    @property
    def is_dry(self) -> bool:
        return self.query.get("dryRun") == "All"

    @property
    def manager(self) -> str:
        """The field manager; the client's own name where it says none."""
        agent = self.user_agent.split("/")[0]
        return self.query.get("fieldManager") or agent or "unknown"

    def read(self, kind: Kind) -> Body:
        """The body as an object of a kind; built-in kinds need not say what they are.

        Raises:
            Refusal: 400.
        """
        text = self.content.decode(errors="replace")
        must_be = f"the object provided is unrecognized (must be of type {kind.kind})"
        try:
            body = json.loads(text)
        except ValueError:
            why = "couldn't get version/kind; json parse error: unexpected end of JSON input"
            raise bad_request(f"{must_be}: {why} ({text[:26]})") from None
        if kind.custom and "kind" not in body:
            why = f"Object 'Kind' is missing in '{text}' ({text[:30]} ...)"
            raise bad_request(f"{must_be}: {why}")
        if body.get("kind", kind.kind) != kind.kind:
            said = f'{body["kind"]} in version "{body.get("apiVersion")}"'
            from_to = f"({kind.version}.{body['kind']}) to (core.{kind.kind})"
            why = f"cannot be handled as a {kind.kind}: converting {from_to}: unknown conversion"
            raise bad_request(f"{said} {why}")
        body["kind"], body["apiVersion"] = kind.kind, kind.api_version
        body.setdefault("metadata", {})
        return dict(body)

    def json(self) -> Any:
        """The body as it is; None without one.

        Raises:
            Refusal: 400.
        """
        try:
            return json.loads(self.content) if self.content else None
        except ValueError as error:
            raise bad_request(f"the body is no JSON: {error}") from error


@dataclass(frozen=True)
class Place:
    """What a path leads to."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    sub: str = ""

    def verb(self, asked: Asked) -> str:
        """As rights name it."""
        if asked.method == "GET":
            return "get" if self.name else "watch" if asked.is_watch else "list"
        if asked.method == "DELETE":
            return "delete" if self.name else "deletecollection"
        return {"POST": "create", "PUT": "update", "PATCH": "patch"}[asked.method]


def place_of(path: str, registry: Registry) -> Place:
    """What a path leads to.

    Raises:
        Refusal: 404 in plain text, nothing is served there.
    """
    parts = [part for part in path.split("/") if part]
    size = 2 if parts[:1] == ["api"] else 3
    base, rest = "/" + "/".join(parts[:size]), parts[size:]
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    kind = registry.find(base, rest[0]) if rest else None
    if kind is None or len(rest) > 3 or (namespace and not kind.namespaced):
        raise no_such_page()
    name, sub = (*rest[1:], "", "")[:2]
    if name and kind.namespaced and not namespace:
        raise no_such_page()
    return Place(kind, namespace, name, sub)
