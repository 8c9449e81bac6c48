"""The objects of the stand-in: kept once, never changed in place, with all that happened to them.

Every write makes a new object with a new version, so that readers need no copies and each object's
JSON is made once, however often it is listed.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.stand_in.kinds import Kind, Registry
from tests.stand_in.refusals import expired

Body = dict[str, Any]
Key = tuple[str, str]


class Kept:
    """One version of one object."""

    __slots__ = ("_json", "body", "kind", "version")

    def __init__(self, kind: Kind, body: Body, version: int) -> None:
        self.kind = kind
        self.body = body
        self.version = version
        self._json: bytes | None = None

    @property
    def json(self) -> bytes:
        """Whole, with kind and apiVersion."""
        if self._json is None:
            self._json = json.dumps(self.body, separators=(",", ":")).encode()
        return self._json

    @property
    def item(self) -> bytes:
        """As an item of a list: those of built-in kinds leave out what the list says."""
        if self.kind.custom:
            return self.json
        head = f'{{"kind":"{self.kind.kind}","apiVersion":"{self.kind.api_version}",'
        return b"{" + self.json[len(head) :]


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the history; a deletion has no `after`, or that of the moment it went."""

    version: int
    key: Key
    before: Kept | None
    after: Kept | None
    last: Kept | None = None
    """of a deletion, the object with the version of its going"""


class Objects:
    """All objects, their history, and the one counter of versions."""

    def __init__(self, registry: Registry, now: datetime) -> None:
        self.registry = registry
        self.now = now
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.version = 100
        self.compacted = 100
        """lists of earlier versions are gone"""
        self.forgotten = 0
        """watches from earlier versions are gone: they are remembered for longer than lists"""
        self.gone: dict[str, Body] = {}
        """Pods that are no more as they were last, by uid: how they ended is asked afterwards."""
        self._kept: dict[Kind, dict[Key, Kept]] = {kind: {} for kind in registry.kinds}
        self._history: dict[Kind, list[Change]] = {kind: [] for kind in registry.kinds}
        self._snapshots: dict[tuple[Kind, int], list[Kept]] = {}
        self.chosen: dict[tuple[Any, ...], list[Kept]] = {}
        """Lists that are being read page by page."""

    # -- reading -------------------------------------------------------------------

    def stamp(self, later_seconds: float = 0) -> str:
        """The time as objects carry it."""
        at = datetime.fromtimestamp(self.now.timestamp() + later_seconds, UTC)
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")

    def find(self, kind: Kind, namespace: str, name: str) -> Kept | None:
        return self._kept[kind].get((namespace, name))

    def all(self, kind: str) -> list[Body]:
        """All of a kind, by its name; empty where it is not served. Not to be changed."""
        if not self.registry.serves(kind):
            return []
        with self.lock:
            return [kept.body for kept in self._kept[self.registry.named(kind)].values()]

    def one(self, kind: str, name: str, namespace: str = "") -> Body | None:
        """One of a kind, or None. Not to be changed."""
        kept = self.find(self.registry.named(kind), namespace, name)
        return kept.body if kept else None

    def snapshot(self, kind: Kind, version: int) -> list[Kept]:
        """All of a kind as they stood at a version, in order.

        Raises:
            Refusal: 410, that version is compacted away.
        """
        with self.lock:
            if version < self.compacted:
                raise expired("The resourceVersion for the provided list is too old.")
            if (kind, version) not in self._snapshots:
                while len(self._snapshots) > 8:
                    del self._snapshots[next(iter(self._snapshots))]
                self._snapshots[kind, version] = self._as_of(kind, version)
            return self._snapshots[kind, version]

    def _as_of(self, kind: Kind, version: int) -> list[Kept]:
        there = dict(self._kept[kind])
        for change in reversed(self._history[kind]):
            if change.version <= version:
                break
            if change.before is None:
                there.pop(change.key, None)
            else:
                there[change.key] = change.before
        return [there[key] for key in sorted(there, key="/".join)]

    def changes(self, kind: Kind, after_version: int) -> list[Change]:
        """What happened to a kind since a version."""
        history = self._history[kind]
        start = len(history)
        while start and history[start - 1].version > after_version:
            start -= 1
        return history[start:]

    # -- writing -------------------------------------------------------------------

    def keep(self, kind: Kind, body: Mapping[str, Any]) -> Body:
        """Put an object there, new or in place of what is there; what changes nothing is no write.

        Answers it as it stands then.
        """
        with self.changed:
            meta = body["metadata"]
            key = (meta.get("namespace", "") if kind.namespaced else "", meta["name"])
            before = self._kept[kind].get(key)
            if before is not None and _same(before.body, body):
                return before.body
            self.version += 1
            whole = _whole(kind, body, self.version, before, self.stamp())
            after = Kept(kind, whole, self.version)
            self._kept[kind][key] = after
            self._history[kind].append(Change(self.version, key, before, after))
            self.changed.notify_all()
            return whole

    def drop(self, kind: Kind, namespace: str, name: str) -> Body | None:
        """Take an object away; answers it as it was last."""
        with self.changed:
            before = self._kept[kind].pop((namespace, name), None)
            if before is None:
                return None
            self.version += 1
            meta = {**before.body["metadata"], "resourceVersion": str(self.version)}
            last = Kept(kind, {**before.body, "metadata": meta}, self.version)
            key = (namespace, name)
            self._history[kind].append(Change(self.version, key, before, None, last))
            if kind.kind == "Pod":
                self.gone[meta["uid"]] = last.body
            self.changed.notify_all()
            return last.body

    def edit(
        self, kind: str, name: str, namespace: str, change: Callable[[Body], None]
    ) -> Body | None:
        """Change a copy of an object and keep it; None where it is not there."""
        with self.lock:
            found = self.one(kind, name, namespace)
            if found is None:
                return None
            copy = copied(found)
            change(copy)
            return self.keep(self.registry.named(kind), copy)

    def compact(self) -> None:
        """Forget all history: lists and watches of earlier versions are gone."""
        with self.changed:
            self.compacted = self.forgotten = self.version
            for history in self._history.values():
                history.clear()
            self._snapshots.clear()
            self.chosen.clear()
            self.changed.notify_all()

    def walk(self) -> Iterator[tuple[Kind, Body]]:
        """Every object with its kind."""
        with self.lock:
            found = [(kind, kept.body) for kind in self._kept for kept in self._kept[kind].values()]
        yield from found


def copied(body: Any) -> Any:
    """A deep copy of JSON."""
    if isinstance(body, dict):
        return {key: copied(value) for key, value in body.items()}
    return [copied(one) for one in body] if isinstance(body, list) else body


def _whole(kind: Kind, body: Mapping[str, Any], version: int, before: Kept | None, at: str) -> Body:
    """With what the server says itself, in the order in which it says it."""
    said = body["metadata"]
    if before is not None:
        born = before.body["metadata"]
        own = {"uid": born["uid"], "creationTimestamp": born["creationTimestamp"]}
    else:
        own = {
            "uid": said.get("uid") or str(uuid.uuid4()),
            "creationTimestamp": said.get("creationTimestamp") or at,
        }
    names = {key: said[key] for key in ("name", "generateName", "namespace") if key in said}
    generation = _generation(kind, body, before)
    meta = {**names, "uid": own["uid"], "resourceVersion": str(version), **generation}
    meta["creationTimestamp"] = own["creationTimestamp"]
    meta.update({key: value for key, value in said.items() if key not in meta})
    if not kind.has_generation:
        meta.pop("generation", None)
    rest = {k: v for k, v in body.items() if k not in ("kind", "apiVersion", "metadata")}
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": meta, **rest}


def _generation(kind: Kind, body: Mapping[str, Any], before: Kept | None) -> dict[str, int]:
    if not kind.has_generation:
        return {}
    if before is None:
        return {"generation": 1}
    old = before.body
    dying = "deletionTimestamp" in body["metadata"] and "deletionTimestamp" not in old["metadata"]
    changed = body.get("spec") != old.get("spec") or dying
    return {"generation": old["metadata"].get("generation", 1) + int(changed)}


_OWN = ("resourceVersion", "uid", "creationTimestamp", "generation", "managedFields")


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    for key in {*old, *new} - {"kind", "apiVersion", "metadata"}:
        if old.get(key) != new.get(key):
            return False
    mine, theirs = old["metadata"], new["metadata"]
    keys = {*mine, *theirs} - set(_OWN)
    if any((mine.get(key) or None) != (theirs.get(key) or None) for key in keys):
        return False
    return _owners(mine) == _owners(theirs) or "managedFields" not in theirs


def _owners(meta: Mapping[str, Any]) -> list[Any]:
    return [
        {key: value for key, value in one.items() if key != "time"}
        for one in meta.get("managedFields") or ()
    ]
