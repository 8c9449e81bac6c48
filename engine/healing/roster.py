"""The roster: every node that was seen lately, as it is now, and since when evidence counts.

What was seen of a node before it was repaired, or came back from being down, or was another
machine of the same name, says nothing of it any more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from engine.healing.weights import WEIGHTS, Weights
from warehouse.store import Store

SEEN_WINDOW = timedelta(hours=24)
"""A node that was not read for so long is no more."""
GONE_AFTER = timedelta(minutes=15)
"""A lease that was not read for so long, while its pool was, was handed back."""

OVERLAP = timedelta(minutes=15)
"""What of the past each round reads again: a collector may store what it read some time ago."""

_READ = """
    SELECT node_id, arg_max(pool, measured_at) AS pool, arg_max(kind, measured_at) AS kind,
        arg_max(state, epoch_us(measured_at)::HUGEINT * 1000000000000 + rowid) AS state,
        arg_max(source, measured_at) AS source,
        max(measured_at) AS read_at,
        max(measured_at) FILTER (state NOT IN ('active', 'cordoned')) AS away_at
    FROM node_states WHERE measured_at > $since AND measured_at <= $now GROUP BY node_id
"""
"""Of readings of one instant the one that was written last counts: instant and row as one number,
since DuckDB compares pairs ten times as slowly."""
_TOLD = """
    WITH cluster AS (
        SELECT node_id, pool, is_ready, is_unschedulable, is_gone, conditions, created_at
        FROM cluster_nodes WHERE measured_at <= $now
        QUALIFY row_number() OVER (PARTITION BY node_id ORDER BY measured_at DESC, rowid DESC) = 1
    ), repaired AS (
        SELECT d.parameters ->> 'node_id' AS node_id, max(e.happened_at) AS repaired_at
        FROM executions e JOIN decisions d USING (decision_id)
        WHERE d.action = 'repair_node' AND e.kind = 'do' AND e.phase = 'succeeded'
            AND e.happened_at > $since AND e.happened_at <= $now
        GROUP BY 1
    )
    SELECT node_id, cluster.pool, is_ready, is_unschedulable, is_gone, conditions, created_at,
        repaired_at, cluster.node_id IS NOT NULL AS is_in_cluster
    FROM cluster FULL JOIN repaired USING (node_id)
"""

Row = dict[str, Any]


@dataclass(frozen=True)
class Node:
    """A node as last seen."""

    node_id: str
    pool: str | None
    kind: str | None
    state: str | None
    """As it was last read; None where only the cluster tells of it"""
    read_at: datetime | None
    pool_read_at: datetime | None
    """When its pool was last read by the same source"""
    is_ready: bool | None
    """As Kubernetes says; None outside it"""
    is_unschedulable: bool | None
    conditions: tuple[Mapping[str, Any], ...]
    created_at: datetime | None
    counts_from_at: datetime | None
    """Evidence from before this doesn't count; None where all does"""
    is_gone: bool
    """Deleted, switched off, or handed back"""

    @property
    def is_in_use(self) -> bool:
        """Whether jobs may be given to it."""
        if self.is_gone or self.is_unschedulable or self.is_ready is False:
            return False
        return self.state == "active" if self.state is not None else bool(self.is_ready)

    @property
    def silence(self) -> timedelta:
        """For how long it was not read while its pool was."""
        if self.read_at is None or self.pool_read_at is None:
            return timedelta(0)
        return self.pool_read_at - self.read_at


@dataclass
class Readings:
    """The newest reading of each node, of which a round reads only what came since the last."""

    _by_node: dict[str, Row] = field(default_factory=dict)
    _read_to: datetime | None = None

    def newest(self, store: Store, now: datetime, window: timedelta) -> dict[str, Row]:
        """A row a node that was read within the window, by its name."""
        since = now - window
        if self._read_to is None or self._read_to > now:
            self._by_node = {}
        else:
            since = max(since, self._read_to - OVERLAP)
        for row in store.query(_READ, since=since, now=now).iter_rows(named=True):
            known = self._by_node.get(row["node_id"])
            self._by_node[row["node_id"]] = _later(known, row) if known else row
        self._read_to = now
        self._by_node = {n: r for n, r in self._by_node.items() if r["read_at"] > now - window}
        return self._by_node


def _later(known: Row, row: Row) -> Row:
    newest = row if row["read_at"] >= known["read_at"] else known
    away = [each["away_at"] for each in (known, row) if each["away_at"] is not None]
    return {**newest, "away_at": max(away, default=None)}


def roster(
    store: Store, now: datetime, weights: Weights = WEIGHTS, readings: Readings | None = None
) -> dict[str, Node]:
    """Every node that was seen lately, by its name."""
    window = max(SEEN_WINDOW, weights.event_window)
    read = (readings or Readings()).newest(store, now, window)
    told = {
        row["node_id"]: row
        for row in store.query(_TOLD, since=now - window, now=now).iter_rows(named=True)
    }
    newest: dict[tuple[str, str], datetime] = {}
    for row in read.values():
        group = row["pool"], row["source"]
        newest[group] = max(newest.get(group, row["read_at"]), row["read_at"])
    return {
        name: _node(name, read.get(name), told.get(name, {}), newest)
        for name in sorted(read.keys() | told.keys())
        if name in read or (told[name]["is_in_cluster"] and not told[name]["is_gone"])
    }


def _node(
    name: str, read: Row | None, told: Row, newest: Mapping[tuple[str, str], datetime]
) -> Node:
    seen = read or {}
    read_at = seen.get("read_at")
    pool_read_at = newest[seen["pool"], seen["source"]] if seen else None
    is_unseen = read_at and pool_read_at and pool_read_at - read_at >= GONE_AFTER
    is_off = seen.get("state") == "off"
    return Node(
        node_id=name,
        pool=seen.get("pool") or told.get("pool"),
        kind=seen.get("kind"),
        state=seen.get("state"),
        read_at=read_at,
        pool_read_at=pool_read_at,
        is_ready=told.get("is_ready"),
        is_unschedulable=told.get("is_unschedulable"),
        conditions=tuple(json.loads(told.get("conditions") or "[]")),
        created_at=told.get("created_at"),
        counts_from_at=_counts_from(seen, told),
        is_gone=bool(told.get("is_gone") or is_off or (seen.get("kind") == "leased" and is_unseen)),
    )


def _counts_from(seen: Row, told: Row) -> datetime | None:
    """A node of a cluster that was not ready may be down and up again without being mended, so
    that there only a repair or a new machine is a new beginning."""
    beginnings = [told.get("repaired_at"), told.get("created_at")]
    if not told.get("is_in_cluster") and seen.get("state") in ("active", "cordoned"):
        beginnings.append(seen.get("away_at"))
    return max((each for each in beginnings if each is not None), default=None)
