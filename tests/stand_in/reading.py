"""Lists and watches: pages, selectors, versions that are gone, and what came since."""

from __future__ import annotations

import base64
import bisect
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.stand_in.asked import Asked, Place
from tests.stand_in.kinds import Kind
from tests.stand_in.objects import Change, Kept, Objects
from tests.stand_in.refusals import bad_request, expired, status
from tests.stand_in.selectors import Test, field_test, label_test
from tests.stand_in.tables import table

BOOKMARK_SECONDS = 3.0
"""A watch shorter than this ends without a bookmark."""


def test_of(place: Place, asked: Asked) -> Test:
    """Whether an object is among those asked for.

    Raises:
        Refusal: 400.
    """
    labels = label_test(asked.query.get("labelSelector", ""))
    fields = field_test(asked.query.get("fieldSelector", ""), place.kind)
    everything = not asked.query.get("labelSelector") and not asked.query.get("fieldSelector")
    namespace = place.namespace

    def test(body: Any) -> bool:
        meta = body["metadata"]
        if namespace and meta.get("namespace") != namespace:
            return False
        return everything or (labels(meta.get("labels") or {}) and fields(body))

    return test


def listed(objects: Objects, place: Place, asked: Asked) -> bytes:
    """A list, or a page of one, as JSON."""
    version, start = _from(asked, objects)
    limit = int(asked.query.get("limit") or 0)
    chosen = _chosen(objects, place, asked, version)
    begin = bisect.bisect_left(chosen, start, key=_key) if start else 0
    page = chosen[begin : begin + limit] if limit else chosen[begin:]
    meta: dict[str, Any] = {"resourceVersion": str(version)}
    if begin + len(page) < len(chosen):
        meta["continue"] = _token(version, page[-1])
        meta["remainingItemCount"] = len(chosen) - len(page) - begin
    if "as=Table" in asked.accept:
        return json.dumps(table(place.kind, meta, page, objects.now)).encode()
    return _page(place.kind, meta, page)


def _chosen(objects: Objects, place: Place, asked: Asked, version: int) -> list[Kept]:
    """What the list is of; kept a while, for its other pages."""
    selectors = (asked.query.get("labelSelector"), asked.query.get("fieldSelector"))
    test = test_of(place, asked)
    snapshot = objects.snapshot(place.kind, version)
    if not place.namespace and not any(selectors):
        return snapshot
    key = (place.kind, version, place.namespace, *selectors)
    if key not in objects.chosen:
        while len(objects.chosen) > 8:
            objects.chosen.pop(next(iter(objects.chosen)), None)
        objects.chosen[key] = [kept for kept in snapshot if test(kept.body)]
    return objects.chosen[key]


def _page(kind: Kind, meta: dict[str, Any], page: list[Kept]) -> bytes:
    head = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta}
    opened = json.dumps(head, separators=(",", ":"))[:-1].encode()
    return opened + b',"items":[' + b",".join(kept.item for kept in page) + b"]}"


def _from(asked: Asked, objects: Objects) -> tuple[int, str]:
    """The version that is listed, and where the page begins.

    Raises:
        Refusal: 400 or 410.
    """
    token = asked.query.get("continue")
    if token:
        return _read_token(token, objects)
    version = int(asked.query.get("resourceVersion") or 0)
    if version and asked.query.get("resourceVersionMatch") == "Exact":
        return version, ""
    return objects.version, ""


def _key(kept: Kept) -> str:
    meta = kept.body["metadata"]
    return f"/{meta['namespace']}/{meta['name']}" if "namespace" in meta else f"/{meta['name']}"


def _token(version: int, last: Kept) -> str:
    said = {"v": "meta.k8s.io/v1", "rv": version, "start": f"{_key(last)}\0"}
    return base64.urlsafe_b64encode(json.dumps(said, separators=(",", ":")).encode()).decode()


def _read_token(token: str, objects: Objects) -> tuple[int, str]:
    try:
        said = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        version, start = int(said["rv"]), str(said["start"])
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error
    if version < objects.compacted:
        raise expired(
            "The provided continue parameter is too old to display a consistent list result. You "
            "can start a new list without the continue parameter."
        )
    return version, start


def watched(
    objects: Objects, place: Place, asked: Asked, is_cut: Callable[[], bool]
) -> Iterator[bytes]:
    """The events of a watch, each a line, until its time is up or it is cut."""
    kind, test = place.kind, test_of(place, asked)
    seconds = float(asked.query.get("timeoutSeconds") or 1800)
    ends = time.monotonic() + seconds
    marks = asked.query.get("allowWatchBookmarks") == "true"
    with objects.lock:
        version, first = _opening(objects, kind, test, asked)
    yield from first
    if version < 0:
        return
    while True:
        with objects.changed:
            if version < objects.forgotten:
                yield _error(version, objects)
                return
            news = objects.changes(kind, version)
            newest = max(version, objects.version)
            if not news and not is_cut() and time.monotonic() < ends:
                version = newest
                objects.changed.wait(ends - time.monotonic())
                continue
        yield from (line for change in news if (line := _event(kind, change, test)))
        version = newest
        if is_cut():
            return
        if time.monotonic() >= ends:
            if marks and seconds >= BOOKMARK_SECONDS:
                yield bookmark(kind, version)
            return


def _opening(objects: Objects, kind: Kind, test: Test, asked: Asked) -> tuple[int, list[bytes]]:
    """The version from which a watch goes on, and its first events; -1 ends it."""
    version = int(asked.query.get("resourceVersion") or 0)
    initial = asked.query.get("sendInitialEvents") == "true"
    if version and not initial:
        if version < objects.forgotten:
            return -1, [_error(version, objects)]
        return version, []
    there = [kept for kept in objects.snapshot(kind, objects.version) if test(kept.body)]
    lines = [_line("ADDED", kept) for kept in there]
    if initial:
        lines.append(bookmark(kind, objects.version, {"k8s.io/initial-events-end": "true"}))
    return objects.version, lines


def _event(kind: Kind, change: Change, test: Test) -> bytes | None:
    """One change as those see it who watch by a selector."""
    was = change.before is not None and test(change.before.body)
    if change.after is None:
        return _line("DELETED", change.last) if was and change.last else None
    if test(change.after.body):
        return _line("MODIFIED" if was else "ADDED", change.after)
    if not was or change.before is None:
        return None
    before = change.before.body
    meta = {**before["metadata"], "resourceVersion": str(change.version)}
    return _line("DELETED", Kept(kind, {**before, "metadata": meta}, change.version))


def _line(what: str, kept: Kept) -> bytes:
    return b'{"type":"' + what.encode() + b'","object":' + kept.json + b"}\n"


def bookmark(kind: Kind, version: int, annotations: dict[str, str] | None = None) -> bytes:
    """A word on how far a watch has come."""
    meta: dict[str, Any] = {"resourceVersion": str(version)}
    if annotations:
        meta["annotations"] = annotations
    body = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": meta}
    return json.dumps({"type": "BOOKMARK", "object": body}).encode() + b"\n"


def _error(version: int, objects: Objects) -> bytes:
    message = f"too old resource version: {version} ({objects.forgotten})"
    said = status(410, "Expired", message)
    return json.dumps({"type": "ERROR", "object": said}).encode() + b"\n"
