"""One kind of object, listed once in pages and watched on: its tuples, and what changed in them.

What was read stays when the API server goes away: the next pass watches on from the last version.
A version that is compacted away is listed anew, and what differs counts as changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cluster.api import Api
from cluster.errors import ClusterError, Expired, Unavailable, Unreachable
from collectors.kubernetes_objects import Nonsense, Object, name_of, part
from collectors.kubernetes_reading import Read

MOST_LISTS = 3
"""Times that a list is begun anew, which expired while it was read."""
MOST_CUTS = 2
"""Times in a pass that a watch is taken up again, which was cut."""


@dataclass(frozen=True)
class Kind:
    """A kind of object: where its objects are and what is kept of each."""

    name: str
    """Its plural, as rights name it: `pods`."""
    path: str
    """Of the list over all namespaces."""
    read: Read
    """An object's tuple, whose `key` names it; None where it isn't kept."""
    slim: Callable[[Any], Any] = lambda seen: seen
    """What is held of a tuple after it was told; enough to tell whether it changed."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of an object since changes were last taken."""

    before: Any
    """Its tuple then; None where it was not there."""
    after: Any
    """Its last tuple."""
    is_gone: bool
    """Whether it was deleted."""


class Follower:
    """Follows one kind. Of one thread at a time."""

    def __init__(self, kind: Kind, api: Api, page_size: int) -> None:
        self.kind = kind
        self.objects: dict[str, Any] = {}
        self.oddities: dict[str, str] = {}
        """What can't be read, by its name, and why."""
        self._api = api
        self._page_size = page_size
        self._version: str | None = None
        self._changes: dict[str, Change] = {}
        self._failures = 0

    @property
    def is_complete(self) -> bool:
        """Whether all of it was listed."""
        return self._version is not None

    def follow(self, seconds: float) -> None:
        """List what is there, or watch what came since, for `seconds`.

        Raises:
            ClusterError: what was read until then is kept.
        """
        if self._version is None:
            self._list()
            return
        try:
            self._watch(seconds)
        except Expired:
            self._list()

    def move(self, kind: Kind) -> None:
        """Follow it at another path from now on, if that is another."""
        if kind.path != self.kind.path:
            self._version = None
        self.kind = kind

    def empty(self) -> None:
        """The kind is served no more: so all of its objects are gone."""
        for key, last in list(self.objects.items()):
            self._drop(key, last)
        self._version = None

    def take_changes(self) -> dict[str, Change]:
        """What changed since this was last asked, by key."""
        taken, self._changes = self._changes, {}
        return taken

    # -- listing -------------------------------------------------------------------

    def _list(self) -> None:
        self._version = None
        for attempt in range(MOST_LISTS):
            try:
                self._version = self._listed()
                self._failures = 0
                return
            except Expired:
                if attempt == MOST_LISTS - 1:
                    raise

    def _listed(self) -> str:
        """Read all pages, each let go when it is read; the version of the whole."""
        listed: set[str] = set()
        version = ""
        self.oddities.clear()
        for page in self._api.pages(self.kind.path, self._page_size):
            version = version or str(part(page, "metadata").get("resourceVersion"))
            for found in page.get("items") or ():
                if (seen := self._read(found)) is not None:
                    self._put(seen)
                    listed.add(seen.key)
        for key in self.objects.keys() - listed - self.oddities.keys():
            self._drop(key, self.objects[key])
        return version

    # -- watching ------------------------------------------------------------------

    def _watch(self, seconds: float) -> None:
        cuts = 0
        while True:
            try:
                self._watch_once(seconds)
                self._failures = 0
                return
            except (Unreachable, ValueError) as error:  # a line that breaks off is a cut, too
                cuts += 1
                if cuts >= MOST_CUTS:
                    raise _as_cut(error, self.kind.path) from error
            except Unavailable:
                # A watch that fails time and again may have no way on from its version.
                self._failures += 1
                if self._failures > 2:
                    self._version = None
                raise

    def _watch_once(self, seconds: float) -> None:
        assert self._version is not None
        for kind, found in self._api.watch(self.kind.path, self._version, seconds):
            if kind != "BOOKMARK":
                self._apply(kind, found)
            self._version = str(part(found, "metadata").get("resourceVersion") or self._version)

    def _apply(self, kind: str, found: Object) -> None:
        seen = self._read(found)
        if seen is None:
            key = _key(found)
            if key in self.objects and key not in self.oddities:  # it was changed into what isn't
                self._drop(key, self.objects[key])  # kept; of what can't be read the last stays
        elif kind == "DELETED":
            self._drop(seen.key, seen)
        else:
            self._put(seen)

    # -- the tuples ----------------------------------------------------------------

    def _read(self, found: Any) -> Any:
        try:
            if not isinstance(found, dict):
                raise Nonsense("it is no object")
            seen = self.kind.read(found)
        except Nonsense as nonsense:
            self.oddities[_key(found) or "?"] = str(nonsense)
            return None
        if self.oddities:
            self.oddities.pop(_key(found), None)
        return seen

    def _put(self, seen: Any) -> None:
        known, held = self.objects.get(seen.key), self.kind.slim(seen)
        if known == held:
            return
        self.objects[seen.key] = held
        self._changes[seen.key] = Change(self._before(seen.key, known), seen, False)

    def _drop(self, key: str, last: Any) -> None:
        known = self.objects.pop(key, None)
        self.oddities.pop(key, None)
        self._changes[key] = Change(self._before(key, known), last, True)

    def _before(self, key: str, known: Any) -> Any:
        earlier = self._changes.get(key)
        return earlier.before if earlier else known


def _key(found: Any) -> str:
    """The name of what may be anything."""
    try:
        return name_of(part(found, "metadata"))
    except (Nonsense, AttributeError):
        return ""


def _as_cut(error: Exception, path: str) -> ClusterError:
    if isinstance(error, ClusterError):
        return error
    return Unreachable(f"the watch on {path} broke off within a line")
