"""Who acts, by a Lease: of several consoles on one cluster, the one whose name it bears.

As client-go does it: what counts is how long ago, by the own monotonic clock, the Lease was last
seen to change; clocks of two machines are never compared. A renewal that changes nothing would not
raise its version and so protect nothing: `renewTime` is always later than it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cluster.api import Api, Body
from cluster.errors import ClusterError, Conflict, NotFound
from engine.kubernetes.objects import meta
from warehouse.clock import Clock

RENEW_RATIO = 1 / 3
"""Of its length: how often it is renewed."""
LOST_RATIO = 2 / 3
"""Of its length: without a renewal for so long the holder stops, well before others may begin."""
FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


class KubernetesLease:
    """A Lease of coordination.k8s.io; a `Leader` of `engine/leading.py`."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        holder: str,
        seconds: float,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`holder` is this console's own name, other than any other's; `seconds` is after how
        long without a change others may take it."""
        self._api = api
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path = f"{self._folder}/{name}"
        self._name = name
        self._me = holder
        self._seconds = seconds
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._seen: Body | None = None
        self._changed_seconds = 0.0
        """When it was last seen to change, by the monotonic clock."""
        self._renewed_seconds: float | None = None
        """When we last renewed it, before asking; None while it is not ours."""
        self.trouble: str | None = None
        """Why it could not be asked for the last time, in words; None where it could."""

    def leads(self) -> bool:
        """Whether this console may act now; renews the Lease or takes a free one where due."""
        with self._lock:
            now = self._monotonic()
            if self._is_ours_for(now, RENEW_RATIO):
                return True
            try:
                self._read()
                self._try(now)
                self.trouble = None
            except ClusterError as error:  # the last renewal says how long it is still ours
                self.trouble = str(error)
            return self._is_ours_for(self._monotonic(), LOST_RATIO)

    def holder(self) -> str | None:
        """Who leads, as last seen; None where nobody does."""
        with self._lock:
            found = str(self._spec().get("holderIdentity") or "")
            return found if found and not self._is_free(self._monotonic()) else None

    def resign(self) -> None:
        """Let go of it; where it can't be said, it runs out by itself."""
        with self._lock:
            was_ours, self._renewed_seconds = self._renewed_seconds is not None, None
            if not was_ours or self._seen is None:
                return
            try:
                self._write({"holderIdentity": "", "leaseDurationSeconds": 1})
            except ClusterError:
                return

    # -- how -----------------------------------------------------------------------

    def _spec(self) -> dict[str, Any]:
        return (self._seen or {}).get("spec") or {}

    def _is_ours_for(self, now: float, ratio: float) -> bool:
        return (
            self._renewed_seconds is not None
            and now - self._renewed_seconds < self._seconds * ratio
        )

    def _is_free(self, now: float) -> bool:
        lasts = float(self._spec().get("leaseDurationSeconds") or self._seconds)
        return not self._spec().get("holderIdentity") or now - self._changed_seconds >= lasts

    def _read(self) -> None:
        """Look at it; it is made where there is none."""
        try:
            found = self._api.get(self._path)
        except NotFound:
            found = self._made()
        if self._seen is None or found["spec"] != self._spec():
            self._changed_seconds = self._monotonic()
        self._seen = found
        if self._spec().get("holderIdentity") != self._me:
            self._renewed_seconds = None

    def _made(self) -> Body:
        body = {"metadata": {"name": self._name}, "spec": {"leaseTransitions": 0}}
        try:
            return self._api.create(self._folder, body)
        except Conflict:  # another console made it just now
            return self._api.get(self._path)

    def _try(self, now: float) -> None:
        """Renew it, or take it where it is free."""
        is_ours = self._spec().get("holderIdentity") == self._me
        if not is_ours and not self._is_free(now):
            return
        at = self._instant()
        changes: dict[str, Any] = {
            "holderIdentity": self._me,
            "leaseDurationSeconds": max(round(self._seconds), 1),
            "renewTime": at,
        }
        if not is_ours:
            transitions = int(self._spec().get("leaseTransitions") or 0)
            changes |= {"acquireTime": at, "leaseTransitions": transitions + 1}
        self._write(changes)
        self._renewed_seconds = now

    def _write(self, changes: dict[str, Any]) -> None:
        """Put it in place of the very version that was read.

        Raises:
            Conflict: somebody else was faster.
        """
        assert self._seen is not None
        version = meta(self._seen)["resourceVersion"]
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "resourceVersion": version},
            "spec": {**self._spec(), **changes},
        }
        self._seen = self._api.replace(self._path, body)
        self._changed_seconds = self._monotonic()

    def _instant(self) -> str:
        """Now, but always later than what stands there."""
        now, said = self._clock.now(), self._spec().get("renewTime")
        if said:
            before = datetime.strptime(said, FORMAT).replace(tzinfo=UTC)
            now = max(now, before + timedelta(microseconds=1))
        return now.astimezone(UTC).strftime(FORMAT)
