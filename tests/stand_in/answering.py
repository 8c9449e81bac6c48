"""From a request to its answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.stand_in import reading, subresources, writing
from tests.stand_in.asked import Asked, Place, place_of
from tests.stand_in.faults import Faults
from tests.stand_in.objects import Body, Objects
from tests.stand_in.refusals import Refusal, forbidden, no_such_page, not_allowed, refuse

USER = "pilothouse"
VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.2",
    "compiler": "gc",
    "platform": "linux/amd64",
}
OPEN = ("/version", "/readyz", "/livez", "/healthz")
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
ANONYMOUS = "system:anonymous"


@dataclass
class Answer:
    """What goes back; `lines` is a watch's stream."""

    code: int
    content: bytes = b""
    is_json: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    lines: Iterator[bytes] | None = None


class Desk:
    """Answers requests from the objects, as far as the faults allow."""

    def __init__(self, objects: Objects, faults: Faults) -> None:
        self.objects = objects
        self.faults = faults

    def answer(self, asked: Asked, user: str | None) -> Answer:
        """The answer to a request; `user` is None without credentials."""
        try:
            return self._answer(asked, user)
        except Refusal as refusal:
            return _refused(refusal)

    def _answer(self, asked: Asked, user: str | None) -> Answer:
        if asked.path in OPEN:
            return _open(asked.path)
        place = self._place(asked, user)
        self.faults.check(asked, place)
        if place is None:
            return self._without_place(asked)
        if asked.is_watch and asked.method == "GET" and not place.name:
            reading.test_of(place, asked)  # a bad selector is refused before the stream begins
            cuts = self.faults.cuts
            lines = reading.watched(self.objects, place, asked, lambda: self.faults.cuts != cuts)
            return Answer(200, lines=lines)
        with self.objects.lock:
            return self._of_object(place, asked)

    def _place(self, asked: Asked, user: str | None) -> Place | None:
        """Where the path leads, for somebody who may go there; None for discovery and reviews.

        Raises:
            Refusal: 403, or 404 in plain text.
        """
        known = asked.path == REVIEWS or self._discovery(asked.path) is not None
        if known and user is None:
            why = f'User "{ANONYMOUS}" cannot {asked.method.lower()} path "{asked.path}"'
            raise refuse(403, "Forbidden", f"forbidden: {why}", {})
        place = None if known else place_of(asked.path, self.objects.registry)
        if place is None:
            return None
        verb = place.verb(asked)
        resource = place.kind.plural + (f"/{place.sub}" if place.sub else "")
        if user is None or self.faults.is_forbidden(verb, resource):
            who = user or ANONYMOUS
            raise forbidden(who, verb, place.kind, place.sub, place.namespace, place.name)
        return place

    def _discovery(self, path: str) -> Body | None:
        registry = self.objects.registry
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return registry.groups()
        if path.startswith("/apis/") and path.count("/") == 2:
            groups = registry.groups()["groups"]
            named = [one for one in groups if one["name"] == path.removeprefix("/apis/")]
            return {"kind": "APIGroup", "apiVersion": "v1", **named[0]} if named else None
        return registry.resources(path)

    def _without_place(self, asked: Asked) -> Answer:
        if asked.path == REVIEWS:
            return _json(201, subresources.review(asked, self.faults.is_forbidden))
        said = self._discovery(asked.path)
        if said is None:
            raise no_such_page()
        return _json(200, said)

    def _of_object(self, place: Place, asked: Asked) -> Answer:
        if asked.method == "GET" and not place.name:
            return Answer(200, reading.listed(self.objects, place, asked))
        if asked.method == "DELETE" and not place.name:
            return self._delete_all(place, asked)
        if place.sub not in ("", "status"):
            return self._of_subresource(place, asked)
        if asked.method == "POST":
            if place.name:
                raise not_allowed()
            return _json(201, writing.create(self.objects, place, asked), asked)
        if not place.name:
            raise not_allowed()
        if asked.method == "GET":
            kept = self.objects.find(place.kind, place.namespace, place.name)
            return Answer(200, kept.json if kept else json.dumps(self._missing(place)).encode())
        if asked.method == "DELETE":
            return _json(200, writing.delete(self.objects, place, asked))
        change = writing.replace if asked.method == "PUT" else writing.patch
        code, body = change(self.objects, place, asked)
        return _json(code, body, asked)

    def _missing(self, place: Place) -> Body:
        return writing.found(self.objects, place)

    def _of_subresource(self, place: Place, asked: Asked) -> Answer:
        posts: dict[tuple[str, str], Callable[[Objects, Place, Asked], Body]] = {
            ("Pod", "eviction"): subresources.evict,
            ("Pod", "binding"): subresources.bind,
        }
        post = posts.get((place.kind.kind, place.sub))
        if post and asked.method == "POST":
            return _json(201, post(self.objects, place, asked))
        if post:
            raise not_allowed()
        if place.sub == "scale" and place.kind.scale:
            return _json(200, subresources.scale(self.objects, place, asked))
        raise no_such_page()

    def _delete_all(self, place: Place, asked: Asked) -> Answer:
        test = reading.test_of(place, asked)
        gone = [body for kind, body in self.objects.walk() if kind == place.kind and test(body)]
        answer = Answer(200, reading.listed(self.objects, place, asked))
        for body in gone:
            meta = body["metadata"]
            here = Place(place.kind, meta.get("namespace", ""), meta["name"])
            writing.remove(self.objects, here, body)
        return answer


def _open(path: str) -> Answer:
    return _json(200, VERSION) if path == "/version" else Answer(200, b"ok", is_json=False)


def _json(code: int, body: Body, asked: Asked | None = None) -> Answer:
    warnings = asked.warnings if asked else []
    said = [f'299 - "{words}"' for words in (w.replace('"', '\\"') for w in warnings)]
    headers = {"Warning": ", ".join(said)} if said else {}
    return Answer(code, json.dumps(body, separators=(",", ":")).encode(), headers=headers)


def _refused(refusal: Refusal) -> Answer:
    headers = {"Retry-After": str(refusal.retry_after)} if refusal.retry_after else {}
    if isinstance(refusal.body, str):
        return Answer(refusal.code, refusal.body.encode(), False, headers)
    return Answer(refusal.code, json.dumps(refusal.body).encode(), headers=headers)
