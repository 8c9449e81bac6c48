"""Which nodes failed in a span, and when, as far as rows show it.

A node failed between two readings where it was on in the one and, in the next, is down, or is a
lease that is gone. The instant is that at which its jobs were preempted; of an idle node of our own
that at which its repair began. An idle lease that is gone was let go, or no loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.simulator.settings import Economics
from engine.twin.realised import Job
from warehouse.store import Store

Integers = npt.NDArray[np.int64]

ON = ("active", "cordoned")
_NODES = """
    SELECT node_id, kind, state, ready_at, measured_at FROM node_states
    WHERE pool = $pool AND measured_at >= $since AND measured_at <= $until
    ORDER BY node_id, measured_at
"""


def failed_in_seconds(
    store: Store,
    pool: str,
    node_ids: Sequence[str],
    jobs: Sequence[Job],
    span: tuple[datetime, datetime],
    terms: Economics,
) -> Integers:
    """Seconds from the span's start to the first failure of each node, 0 where it had none."""
    starts_at, ends_at = span
    rows = store.query(_NODES, pool=pool, since=starts_at, until=ends_at)
    fails = np.zeros(len(node_ids), np.int64)
    for node, since, until, down in _losses(rows):
        if node in node_ids and not fails[node_ids.index(node)]:
            at = _instant(node, since, until, down, jobs, terms)
            if at is not None:
                seconds = int((at - starts_at).total_seconds())
                fails[node_ids.index(node)] = max(seconds, 1)
    return fails


def _losses(rows: pl.DataFrame) -> Iterator[tuple[str, datetime, datetime, dict[str, Any] | None]]:
    """Node, last reading on, first reading lost, and that reading; None of a lease that is gone."""
    instants = rows["measured_at"].unique().sort()
    for (node,), readings in rows.group_by("node_id", maintain_order=True):
        before: dict[str, Any] | None = None
        for reading in readings.iter_rows(named=True):
            if before and before["state"] in ON and reading["state"] == "down":
                yield str(node), before["measured_at"], reading["measured_at"], reading
            before = reading
        if before and before["kind"] == "leased" and before["state"] in ON:
            later = instants.filter(instants > before["measured_at"])
            if len(later):
                yield str(node), before["measured_at"], later[0], None


def _instant(
    node: str,
    since: datetime,
    until: datetime,
    down: dict[str, Any] | None,
    jobs: Sequence[Job],
    terms: Economics,
) -> datetime | None:
    thrown_off = [
        at
        for job in jobs
        for at, nodes in zip(job.preempted_at, job.nodes_then, strict=True)
        if since <= at <= until and node in nodes
    ]
    if thrown_off:
        return min(thrown_off)
    if down is None or down["ready_at"] is None:
        return None
    began: datetime = down["ready_at"] - timedelta(seconds=terms.repair_seconds)
    return began if since <= began <= until else None
