"""What the guards look at besides the pool: limits, modes, switches, what was done lately, what the
cluster lets us do and what in it must not be disturbed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from warehouse import controls
from warehouse.breaker import QUARANTINE, quarantines_begun
from warehouse.decisions import never_waits
from warehouse.records import Decision, Mode
from warehouse.rights import missing_rights
from warehouse.store import Store

HOUR = timedelta(hours=1)

_DEEDS = """
    SELECT d.decision_id, d.action, d.target, d.pool, e.parameters, e.result,
        min(e.happened_at) AS acted_at
    FROM executions e JOIN decisions d USING (decision_id)
    WHERE e.kind = 'do' AND e.phase = 'intended' AND e.happened_at > $since
    GROUP BY ALL
"""
_OPEN = """
    SELECT target, decision_id, action FROM decision_states
    WHERE state IN ('approved', 'carrying_out', 'undoing')
        OR (state = 'waiting' AND expires_at > $now)
"""
_UNSCALED = "SELECT pool FROM cluster_nodes EXCEPT SELECT pool FROM scale_targets"
_ANY_CLUSTER = "SELECT EXISTS (FROM cluster_nodes) OR EXISTS (FROM cluster_rights)"
"""Asked first: most consoles of a simulated fleet never see a cluster."""
_ANY_PROTECTED = """
    SELECT (SELECT count(*) FROM cluster_nodes WHERE is_do_not_disrupt)
        + (SELECT count(*) FROM cluster_pods WHERE is_do_not_disrupt)
        + (SELECT count(*) FROM cluster_jobs WHERE is_do_not_disrupt)
"""
"""Asked first: mostly there is none, and this is asked at every tick."""
_PROTECTED_NODES = """
    WITH asked AS (
        SELECT pool, node_id, is_do_not_disrupt, is_gone FROM cluster_nodes
        WHERE node_id IN (SELECT node_id FROM cluster_nodes WHERE is_do_not_disrupt)
        QUALIFY row_number() OVER (
            PARTITION BY node_id ORDER BY measured_at DESC, rowid DESC) = 1
    ), pods AS (
        SELECT node_id, is_do_not_disrupt, is_gone, phase FROM cluster_pods
        WHERE pod_id IN (SELECT pod_id FROM cluster_pods WHERE is_do_not_disrupt)
        QUALIFY row_number() OVER (
            PARTITION BY pod_id ORDER BY measured_at DESC, rowid DESC) = 1
    )
    SELECT node_id, 'the node itself' AS what FROM asked WHERE is_do_not_disrupt AND NOT is_gone
    UNION ALL
    SELECT node_id, 'a pod on it' FROM pods
    WHERE is_do_not_disrupt AND NOT is_gone AND phase IN ('Pending', 'Running')
        AND node_id IS NOT NULL
"""
_POOLS_OF_NODES = """
    SELECT node_id, pool FROM cluster_nodes WHERE list_contains($nodes::VARCHAR[], node_id)
    QUALIFY row_number() OVER (PARTITION BY node_id ORDER BY measured_at DESC, rowid DESC) = 1
"""
_PROTECTED_JOBS = """
    SELECT job_id FROM (
        SELECT job_id, is_do_not_disrupt, is_gone, state FROM cluster_jobs
        WHERE job_id IN (SELECT job_id FROM cluster_jobs WHERE is_do_not_disrupt)
        QUALIFY row_number() OVER (PARTITION BY job_id ORDER BY measured_at DESC, rowid DESC) = 1
    ) WHERE is_do_not_disrupt AND NOT is_gone AND state IN ('waiting', 'running')
"""
"""What `karpenter.sh/do-not-disrupt` stands on, as it was last seen."""


@dataclass(frozen=True)
class Deed:
    """Something that was carried out, or begun, lately."""

    decision_id: str
    target: str
    pool: str
    added_cost_usd_per_hour: float
    removed_gpus: int
    acted_at: datetime
    action: str = ""


@dataclass(frozen=True)
class Protected:
    """What says of itself that it must not be disturbed: `karpenter.sh/do-not-disrupt`."""

    nodes: dict[str, str] = field(default_factory=dict)
    """By node what says so: the node itself, or a pod on it."""
    jobs: frozenset[str] = frozenset()
    nodes_by_pool: dict[str, int] = field(default_factory=dict)
    """How many such nodes each pool has."""


@dataclass(frozen=True)
class Circumstances:
    """All that the guards look at besides the pool: read once, then pure."""

    limits: controls.Limits
    modes: dict[str, Mode]
    kill_switch: controls.KillSwitch
    breaker: controls.Breaker
    deeds: tuple[Deed, ...]
    """Of the last hour, the cool-down or the breaker's window, whichever is longest."""
    open_decisions: dict[str, str]
    """The open decision of each target that has one."""
    now: datetime
    four_eyes: dict[str, bool] = field(default_factory=dict)
    """Of each action whether two people must say yes."""
    quarantines_begun: int = 0
    """Nodes taken out of use within the breaker's window, since it was closed."""
    quarantines_open: frozenset[str] = frozenset()
    """Decisions that would take a node out of use, and are not over."""
    missing_rights: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By action the rights that it needs and the cluster does not give."""
    protected: Protected = field(default_factory=Protected)
    unscaled_pools: frozenset[str] = frozenset()
    """Pools of a cluster of which nobody said what they are scaled by."""

    @property
    def hour(self) -> list[Deed]:
        """The deeds of the last hour."""
        return [deed for deed in self.deeds if deed.acted_at > self.now - HOUR]

    def after(self, proposed: Iterable[Decision]) -> Circumstances:
        """As they are once these were proposed: what is proposed for one pool counts for the
        next."""
        waiting = [one for one in proposed if not never_waits(one)]
        ill = {one.decision_id for one in waiting if one.action == QUARANTINE}
        return replace(
            self,
            open_decisions=self.open_decisions | {one.target: one.decision_id for one in waiting},
            quarantines_open=self.quarantines_open | ill,
        )


def circumstances(store: Store, now: datetime, but_for: str | None = None) -> Circumstances:
    """What the guards look at, as it is now, but for the decision that is asked about."""
    standing = controls.standing(store)
    limits = standing.limits
    window = max(limits.cooldown_seconds, limits.breaker_window_seconds)
    since = now - max(HOUR, timedelta(seconds=window))
    deeds = store.query(_DEEDS, since=since).to_dicts()
    still_open = store.query(_OPEN, now=now).rows()
    return Circumstances(
        limits=limits,
        modes=standing.modes,
        kill_switch=standing.kill_switch,
        breaker=standing.breaker,
        deeds=tuple(_deed(row) for row in deeds if row["decision_id"] != but_for),
        open_decisions={target: decision_id for target, decision_id, _ in still_open},
        now=now,
        four_eyes=standing.four_eyes,
        quarantines_begun=(
            quarantines_begun(store, standing.breaker.closed_at, limits, now)
            if any(row["action"] == QUARANTINE for row in deeds)
            else 0
        ),
        quarantines_open=frozenset(
            one for _, one, action in still_open if action == QUARANTINE and one != but_for
        ),
        **(_of_the_cluster(store) if store.query(_ANY_CLUSTER).item() else {}),
    )


def _of_the_cluster(store: Store) -> dict[str, Any]:
    return {
        "missing_rights": _missing_rights(store),
        "protected": _protected(store),
        "unscaled_pools": frozenset(store.query(_UNSCALED)["pool"]),
    }


def _missing_rights(store: Store) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for each in missing_rights(store):
        found[each.action] = (*found.get(each.action, ()), each.right)
    return found


def _protected(store: Store) -> Protected:
    if not store.query(_ANY_PROTECTED).item():
        return Protected()
    nodes = dict(store.query(_PROTECTED_NODES).iter_rows())
    jobs = frozenset(store.query(_PROTECTED_JOBS)["job_id"])
    if not nodes:
        return Protected(jobs=jobs)
    pools = store.query(_POOLS_OF_NODES, nodes=list(nodes))["pool"].to_list()
    return Protected(nodes, jobs, {pool: pools.count(pool) for pool in pools})


def _deed(row: dict[str, Any]) -> Deed:
    """What it adds and removes was reckoned when it was begun, and kept with the intent."""
    reckoned = json.loads(row["result"])
    return Deed(
        decision_id=row["decision_id"],
        target=row["target"],
        pool=row["pool"],
        added_cost_usd_per_hour=float(reckoned.get("added_cost_usd_per_hour", 0.0)),
        removed_gpus=int(reckoned.get("removed_gpus", 0)),
        acted_at=row["acted_at"],
        action=row["action"],
    )
