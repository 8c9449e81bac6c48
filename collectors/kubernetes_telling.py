"""From what a cluster's objects are, and were, to the rows that are told of them.

A row of a `cluster_…` table is told when something of its object changed; the fleet's own tables,
so that pages and engine treat a cluster as they treat any fleet, at every pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from cluster.settings import ClusterSettings
from collectors.base import Note
from collectors.kubernetes_cache import Change
from collectors.kubernetes_fleet import (
    Machines,
    NodeStanding,
    Places,
    PriceOf,
    gone_reading,
    node_reading,
    pool_state,
    pools_of,
    stand,
)
from collectors.kubernetes_jobs import Standing
from collectors.kubernetes_machines import ClaimSeen, NodeSeen
from collectors.kubernetes_reports import Reports
from collectors.kubernetes_rows import (
    budget_row,
    claim_row,
    node_row,
    pod_row,
    told_of_node,
    workload_row,
)
from collectors.kubernetes_sight import Sight
from collectors.kubernetes_work import Work
from warehouse.last_told import LastTold
from warehouse.records import Pool, ScaleTarget

TOLD_ANEW = timedelta(hours=6)
"""After so long every row is told again, so that one that was lost on its way comes home."""


@dataclass
class _Told:
    """What was told last."""

    nodes: dict[str, tuple[NodeSeen, str | None]] = field(default_factory=dict)
    kinds: dict[str, Any] = field(default_factory=dict)
    """Node by node whether it was owned or leased."""
    pools: dict[str, Pool] = field(default_factory=dict)
    scale: dict[str, ScaleTarget] = field(default_factory=dict)


class Teller:
    """Tells a cluster's rows, pass after pass."""

    def __init__(
        self,
        settings: ClusterSettings,
        price_of: Callable[[str], float | None],
        market_of: Callable[[Pool], float | None] = lambda pool: None,
    ) -> None:
        self._terms = settings.pools
        self._market_of = market_of
        self._price_of: PriceOf = lambda pool: price_of(pool) or self._price_said(pool)
        self._work = Work(self._price_of)
        self._reports = Reports()
        self._told = _Told()
        self._earlier: LastTold | None = None
        self._full_at: datetime | None = None
        self._has_counted = False
        placeholders = (terms.placeholder for terms in settings.pools.values() if terms.placeholder)
        self._placeholders = frozenset(map(_job_of_path, placeholders))

    def remember(self, last: LastTold) -> None:
        """Take up where an earlier console left off, before anything is told."""
        self._earlier = last
        self._has_counted = last.is_of_a_cluster
        self._told.pools = {pool.pool: pool for pool in last.pools}
        self._told.scale = {target.pool: target for target in last.scale_targets}
        self._reports.remember(last.event_times, list(last.nodes))
        standings = [Standing(**job) for job in last.standings]
        self._work.remember(standings, last.jobs)

    def rows(self, sight: Sight) -> Iterator[Any]:
        """All that is to be told of a pass."""
        now = sight.now
        is_full = self._full_at is None or now - self._full_at >= TOLD_ANEW
        yield from self._nodes(sight, is_full)
        for change in sight.changed("pods", is_full).values():
            if is_full or change.is_gone or _is_news(change):
                yield pod_row(change.after, change.is_gone, now)
        yield from self._jobs(sight, is_full)
        yield from self._reports.events(sight)
        yield from self._budgets_and_workloads(sight, is_full)
        yield from self._scaling(sight)
        if not sight.blind & {"nodes", "pods"}:
            yield from self._fleet(sight)
        if self._earlier is not None:
            yield from self._gone_meanwhile(self._earlier, sight)
            self._earlier = None
        self._full_at = now if is_full else self._full_at

    # -- the cluster's tables ------------------------------------------------------

    def _nodes(self, sight: Sight, is_full: bool) -> Iterator[Any]:
        claims = _claims(sight)
        of_node = {claim.node_id: claim.key for claim in claims if claim.kind == "node_claim"}
        machines = {claim.node_id: claim.key for claim in claims if claim.kind == "machine"}
        changes = dict(sight.changed("nodes", is_full))
        for each in (*sight.changed("nodeclaims").values(), *sight.changed("machines").values()):
            if (node := sight.of("nodes").get(each.after.node_id)) is not None:
                changes.setdefault(node.key, Change(node, node, False))
        for key, change in changes.items():
            node = change.after
            if node.machine is None and key in machines:
                node = node._replace(machine=machines[key])
            news = (told_of_node(node), of_node.get(key))
            if is_full or change.is_gone or self._told.nodes.get(key) != news:
                yield node_row(node, of_node.get(key), change.is_gone, sight.now)
            told = self._told.nodes.get(key)
            yield from self._reports.conditions(change.after, told and told[0], sight.now)
            if change.is_gone:
                self._told.nodes.pop(key, None)
                yield gone_reading(node, self._told.kinds.pop(key, "owned"), sight.now)
            else:
                self._told.nodes[key] = news

    def _jobs(self, sight: Sight, is_full: bool) -> Iterator[Any]:
        pods = {
            key: change
            for key, change in sight.changed("pods").items()
            if change.after.job_id not in self._placeholders
        }
        subjects = {w.subject: w.key for w in sight.of("workloads").values() if w.subject}
        jobs = dict(sight.changed("jobs"))
        for each in sight.changed("workloads").values():
            if (job := sight.of("jobs").get(each.after.subject)) is not None:
                jobs.setdefault(job.key, Change(job, job, False))
        names = {*self._terms, *self._told.pools}
        yield from self._work.told(
            sight.objects.get("jobs"),
            sight.of("pods"),
            (jobs, pods),
            Places(sight.of("nodes"), names),
            subjects.get,
            sight.now,
            is_full=is_full,
        )

    def _budgets_and_workloads(self, sight: Sight, is_full: bool) -> Iterator[Any]:
        for kind, row in (
            ("poddisruptionbudgets", budget_row),
            ("workloads", workload_row),
            ("nodeclaims", claim_row),
        ):
            for change in sight.changed(kind, is_full).values():
                yield row(change.after, change.is_gone, sight.now)

    def _scaling(self, sight: Sight) -> Iterator[ScaleTarget]:
        for target in sight.scale_targets:
            told = self._told.scale.get(target.pool)
            if told is None or replace(told, measured_at=sight.now) != target:
                self._told.scale[target.pool] = target
                yield target

    # -- the fleet's tables --------------------------------------------------------

    def _fleet(self, sight: Sight) -> Iterator[Any]:
        now, claims = sight.now, _claims(sight)
        machines = Machines(sight.of("nodes"), claims, sight.of("pods").values(), self._terms)
        standings = stand(machines, self._placeholders, now)
        pools, unknown = pools_of(standings, self._terms, self._told.pools, now)
        for name, pool in pools.items():
            told = self._told.pools.get(name)
            if told is None or replace(told, recorded_at=now) != pool:
                self._told.pools[name] = pool
                yield pool
        self._told.kinds = {each.node.key: each.kind for each in standings}
        yield from (node_reading(each, now) for each in standings)
        yield from self._pool_states(pools, standings, claims, now)
        if unknown:
            yield Note(
                f"nothing is known of the GPUs of {', '.join(unknown)}, where no node is: give "
                "`gpu_model` and `gpus_per_node` in the pools file"
            )

    def _pool_states(
        self,
        pools: Mapping[str, Pool],
        standings: Iterable[NodeStanding],
        claims: Iterable[ClaimSeen],
        now: datetime,
    ) -> Iterator[Any]:
        nodes: dict[str, list[NodeStanding]] = {name: [] for name in pools}
        jobs: dict[str, list[Standing]] = {name: [] for name in pools}
        for node in standings:
            nodes.setdefault(node.node.pool, []).append(node)
        for job in self._work.standings.values():
            jobs.setdefault(job.pool, []).append(job)
        counts = self._work.take_counts()
        if not self._has_counted:  # what was there at the first sight came before it
            counts.clear()
            self._has_counted = True
        coming = [self._pool_of_group(c.group) for c in claims if not c.node_id and c.is_active]
        unpriced = []
        for name, pool in pools.items():
            price = self._price_of(name)
            if price is None:
                unpriced.append(name)
            come = coming.count(name)
            read = pool_state(pool, nodes[name], jobs[name], come, counts, price or 0.0, now)
            yield replace(read, market_usd_per_gpu_hour=self._market_of(pool))
        if unpriced:
            yield Note(
                f"no price is known of {', '.join(unpriced)}, so 0 stands in its place: give "
                "`price_usd_per_gpu_hour` in the pools file, or set a price"
            )

    def _price_said(self, pool: str) -> float | None:
        terms = self._terms.get(pool)
        return terms.price_usd_per_gpu_hour if terms else None

    def _pool_of_group(self, group: str | None) -> str | None:
        """The pool of a NodePool's or MachineDeployment's name."""
        for name, terms in self._terms.items():
            if terms.scale is not None and terms.scale.rsplit("/", 1)[-1] == group:
                return name
        return group

    # -- after a restart -----------------------------------------------------------

    def _gone_meanwhile(self, last: LastTold, sight: Sight) -> Iterator[Any]:
        """What an earlier console told of, and is there no more."""
        told = (
            ("nodes", last.nodes, "node_id"),
            ("pods", last.pods, "pod_id"),
            ("jobs", last.jobs, "job_id"),
            ("poddisruptionbudgets", last.budgets, "budget_id"),
            ("workloads", [w for w in last.workloads if w.kind == "workload"], "workload_id"),
            ("nodeclaims", [w for w in last.workloads if w.kind == "node_claim"], "workload_id"),
        )
        for kind, rows, key in told:
            if kind in sight.blind or kind == "jobs":  # jobs are told by their standings
                continue
            for row in rows:
                if getattr(row, key) not in sight.of(kind):
                    yield replace(row, is_gone=True, measured_at=sight.now)


def _claims(sight: Sight) -> list[ClaimSeen]:
    return [*sight.of("nodeclaims").values(), *sight.of("machines").values()]


def _is_news(change: Change) -> bool:
    """Whether a pod's row says anything new: its row has not all that is kept of it."""
    if change.before is None:
        return True
    kept = {"started_at": None, "checkpointed_at": None, "disruption": None, "wants": ()}
    return bool(change.before._replace(**kept) != change.after._replace(**kept))


def _job_of_path(path: str) -> str:
    """`namespace/name` of an object's path."""
    parts = path.strip("/").split("/")
    return f"{parts[parts.index('namespaces') + 1]}/{parts[-1]}" if "namespaces" in parts else ""
