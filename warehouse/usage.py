"""What people and programs do with the console: counted in memory, stored each minute, asked here.

What jobs do is in `job_events` and asked in `warehouse/behaviour.py`; this is the rest: API calls,
sign-ins, page views, downloads, SQL questions. A row is a count in a minute and bears a tenant's
and a user's id and nothing else of a person: no address, no e-mail, no browser, nothing typed.
Several rows may tell of one minute; they add up.

`note` is for whoever serves somebody: the door of the API leaves a `Tally` in `current_tally`, as
it leaves who asks in `current_person`, and outside of a request nothing is counted. A graceful stop
stores what is counted; a kill loses at most what was counted since the last minute's `flush`.
"""

from __future__ import annotations

import logging
import threading
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Literal, get_args

import polars as pl

from warehouse.clock import Clock
from warehouse.people import current_person
from warehouse.records import UsageEvent
from warehouse.schema import INSTANT
from warehouse.store import Store

UsageKind = Literal[
    "api_call", "sign_in", "sign_in_failed", "page_view", "download", "sql_question"
]
USAGE_KINDS: tuple[UsageKind, ...] = get_args(UsageKind)
"""Every kind, in the order they are listed."""

FLUSH_SECONDS = 60.0
"""How often what was counted is stored: what a kill loses at most."""
KEYS_MAX = 50_000
"""Most different things counted between two flushes; what is new beyond them is left out."""

Key = tuple[str | None, str | None, UsageKind, str | None, datetime]
"""Tenant, user, kind, subject, minute."""

log = logging.getLogger(__name__)


class Tally:
    """Counts by tenant, user, kind, subject and minute until they are stored.

    `wall` is the machine's clock: what people do with the console bears no simulated time.
    """

    def __init__(self, wall: Clock) -> None:
        self._wall = wall
        self._lock = threading.Lock()
        self._counts: dict[Key, int] = {}
        self._left_out = 0

    def add(
        self, kind: UsageKind, subject: str | None, *, tenant: str | None, user_id: str | None
    ) -> None:
        """Count one more; takes microseconds and keeps the minute alone."""
        minute = self._wall.now().replace(second=0, microsecond=0)
        key = (tenant, user_id, kind, subject, minute)
        with self._lock:
            known = self._counts.get(key)
            if known is None and len(self._counts) >= KEYS_MAX:
                self._left_out += 1
                return
            self._counts[key] = (known or 0) + 1

    def flush(self, store: Store) -> int:
        """Store what was counted since the last time; returns how many rows.

        Raises:
            WarehouseError: it could not be stored; the counts are kept for the next time.
        """
        with self._lock:
            taken, self._counts = self._counts, {}
            left_out, self._left_out = self._left_out, 0
        if left_out:
            log.warning("%d acts were not counted: more than %d kinds", left_out, KEYS_MAX)
        if not taken:
            return 0
        try:
            return store.append_frame(UsageEvent, _frame(taken))
        except Exception:
            self._take_back(taken)
            raise

    def _take_back(self, taken: dict[Key, int]) -> None:
        with self._lock:
            for key, number in self._counts.items():
                taken[key] = taken.get(key, 0) + number
            self._counts = taken


current_tally: ContextVar[Tally | None] = ContextVar("current_tally", default=None)
"""Where what is asked for now is counted; set at the door, None outside of a request."""


def note(
    kind: UsageKind,
    subject: str | None,
    *,
    user_id: str | None = None,
    tenant: str | None = None,
) -> None:
    """Count what whoever asks does; never fails, and counts nothing outside of a request.

    `subject` is a route's template, a page's path or a file's kind, never what somebody typed.
    `user_id` and `tenant` are for a sign-in, at which nobody asks yet.
    """
    tally = current_tally.get()
    if tally is None:
        return
    person = current_person.get()
    try:
        tally.add(
            kind,
            subject,
            tenant=person.tenant if person else tenant,
            user_id=person.name if person else user_id,
        )
    except Exception:  # counting is worth no failed request
        log.exception("an act was not counted")


def _frame(counts: dict[Key, int]) -> pl.DataFrame:
    schema: dict[str, Any] = {
        "tenant": pl.String,
        "user_id": pl.String,
        "kind": pl.String,
        "subject": pl.String,
        "happened_at": INSTANT,
    }
    frame = pl.DataFrame(list(counts), schema=schema, orient="row")
    return frame.with_columns(count=pl.Series(list(counts.values()), dtype=pl.Int64))


# -- questions -------------------------------------------------------------------------

_SPAN = "happened_at >= $since AND happened_at < $until"
_OF_TENANT = "($tenant IS NULL OR tenant = $tenant)"


def usage_by_tenant(store: Store, *, since: datetime, until: datetime) -> pl.DataFrame:
    """How often each tenant's people did what: a row a tenant and kind, with the last minute of it.

    Rows of nobody's tenant, such as operators', have no `tenant`.
    """
    return store.query(
        f"""
        SELECT tenant, kind, sum("count")::BIGINT AS "count",
            count(DISTINCT user_id) AS user_count, max(happened_at) AS last_at
        FROM usage_events WHERE {_SPAN} GROUP BY ALL ORDER BY tenant NULLS LAST, kind
        """,
        since=since,
        until=until,
    )


def usage_by_day(
    store: Store, *, since: datetime, until: datetime, tenant: str | None = None
) -> pl.DataFrame:
    """How often what was done, a row a day (of UTC) and kind; of all, or of one tenant."""
    return store.query(
        f"""
        SELECT date_trunc('day', happened_at) AS day_at, kind, sum("count")::BIGINT AS "count"
        FROM usage_events WHERE {_SPAN} AND {_OF_TENANT} GROUP BY ALL ORDER BY 1, 2
        """,
        since=since,
        until=until,
        tenant=tenant,
    )


def usage_by_subject(
    store: Store,
    *,
    since: datetime,
    until: datetime,
    tenant: str | None = None,
    kind: UsageKind | None = None,
    limit: int = 20,
) -> pl.DataFrame:
    """What was used most: kind, subject and count, the most used first."""
    return store.query(
        f"""
        SELECT kind, subject, sum("count")::BIGINT AS "count" FROM usage_events
        WHERE {_SPAN} AND {_OF_TENANT} AND ($kind IS NULL OR kind = $kind)
        GROUP BY ALL ORDER BY 3 DESC, 1, 2 LIMIT $limit
        """,
        since=since,
        until=until,
        tenant=tenant,
        kind=kind,
        limit=limit,
    )
