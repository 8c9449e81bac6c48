"""Moving: which jobs may be moved off a node, whether they fit elsewhere, and what a move can lose.

A moved job goes on from its last checkpoint. It is asked for a fresh one first, and one that does
not answer is not moved; so the work since the last one that is known of is what a move can lose at
most, and that much is its price. Where no checkpoint is known it is all work since its start.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.observe import PoolObservation
from engine.simulator.settings import Economics
from warehouse.records import NodeReading

MOST_MISSES = 4


@dataclass(frozen=True)
class HeldJob:
    """A job that runs, on the nodes that it holds."""

    job_id: str
    gpus: int
    node_ids: tuple[str, ...]
    price_usd_per_gpu_hour: float
    saved_at: datetime | None
    """Its newest checkpoint, or its start where none is known"""
    why_fixed: str | None
    """Why it can't be moved, where that is known; None where nothing speaks against it"""

    def unsaved_gpu_hours(self, now: datetime) -> float:
        """Work since its last checkpoint, in GPU-hours."""
        hours = (now - self.saved_at).total_seconds() / 3600 if self.saved_at else 0.0
        return max(hours, 0.0) * self.gpus

    def unsaved_usd(self, now: datetime) -> float:
        """That work at its price."""
        return self.unsaved_gpu_hours(now) * self.price_usd_per_gpu_hour


Held = Mapping[str, list[HeldJob]]


def held_jobs(seen: PoolObservation) -> Held:
    """The known jobs that run, by node; a gang stands under each of its nodes."""
    found: dict[str, list[HeldJob]] = defaultdict(list)
    for row in seen.running.iter_rows(named=True):
        node_ids = tuple(json.loads(row["node_ids"] or "[]"))
        known = seen.facts.jobs.get(row["job_id"])
        own = seen.state.price_usd_per_gpu_hour
        saved = [row.get("saved_at") or row["started_at"], known and known.checkpointed_at]
        job = HeldJob(
            job_id=row["job_id"],
            gpus=int(row["gpu_count"]),
            node_ids=node_ids,
            price_usd_per_gpu_hour=own if row["price"] is None else float(row["price"]),
            saved_at=max((at for at in saved if at is not None), default=None),
            why_fixed=_why_fixed(seen, row["job_id"], node_ids),
        )
        for node_id in node_ids:
            found[node_id].append(job)
    return found


def _why_fixed(seen: PoolObservation, job_id: str, node_ids: Sequence[str]) -> str | None:
    known = seen.facts.jobs.get(job_id)
    if known is not None and known.is_do_not_disrupt:
        return f"{job_id} must not be disrupted"
    if known is not None and not known.checkpoints:
        return f"{job_id} does not say that it can be checkpointed"
    kept = seen.facts.kept_nodes.intersection(node_ids)
    if kept:
        return f"{min(kept)} must not be disrupted"
    if len(node_ids) > 1:
        return f"{job_id} holds {len(node_ids)} nodes whole"
    return None


def job_on(seen: PoolObservation, job_id: str, node_id: str) -> HeldJob | None:
    """The job, where it is known to run on the node."""
    here = held_jobs(seen).get(node_id, [])
    return next((job for job in here if job.job_id == job_id), None)


def why_not_moved(seen: PoolObservation, job: HeldJob) -> str | None:
    """Why one job can't be moved, in words; None where it can."""
    return job.why_fixed or _why_no_room([job], _others(seen, job.node_ids))


def why_not_emptied(
    seen: PoolObservation, node_ids: Collection[str], held: Held | None = None
) -> str | None:
    """Why the jobs of these nodes can't all be moved to the others, in words; None where they can.

    `held` is what `held_jobs` answers, where it was asked already.
    """
    held, by_id = held or held_jobs(seen), {node.node_id: node for node in seen.nodes}
    moving: list[HeldJob] = []
    for node_id in node_ids:
        node = by_id.get(node_id)
        if node is None or node.state not in ("active", "cordoned"):
            return f"{node_id} is not on"
        here = held.get(node_id, [])
        fixed = next((job.why_fixed for job in here if job.why_fixed), None)
        if fixed:
            return fixed
        if sum(job.gpus for job in here) < node.gpus_used:
            return f"not every job on {node_id} is known"
        moving += here
    return _why_no_room(moving, _others(seen, node_ids))


def _others(seen: PoolObservation, node_ids: Collection[str]) -> list[int]:
    """Free GPUs of each node that could take a job, sound and not one of these."""
    return [
        node.gpu_count - node.gpus_used
        for node in seen.nodes
        if node.state == "active"
        and node.node_id not in node_ids
        and not seen.facts.is_suspect(node.node_id)
    ]


def _why_no_room(moving: Sequence[HeldJob], free: list[int]) -> str | None:
    """Best fit, the largest first, as the fleet places jobs."""
    for job in sorted(moving, key=lambda job: -job.gpus):
        fitting = [at for at, left in enumerate(free) if left >= job.gpus]
        if not fitting:
            return f"no other node has room for {job.job_id}"
        free[min(fitting, key=lambda at: free[at])] -= job.gpus
    return None


def emptied_in_order(seen: PoolObservation, most: int) -> list[str]:
    """Up to `most` nodes that hold jobs and can be emptied together, in the order of emptying.

    Leases come first, as they cost many times an own node's power, but for those within their
    minimum bill; then the least used. After a few that can't be emptied fuller ones are not tried.
    """
    held, chosen = held_jobs(seen), list[str]()
    for kind in ("leased", "owned"):
        misses = 0
        sparse = (node for node in seen.nodes if node.kind == kind and _is_sparse(seen, node))
        for node in sorted(sparse, key=lambda node: (node.gpus_used, node.node_id)):
            if len(chosen) == most:
                return chosen
            if why_not_emptied(seen, [*chosen, node.node_id], held) is None:
                chosen.append(node.node_id)
                continue
            misses += 1
            if misses == MOST_MISSES:
                break
    return chosen


def _is_sparse(seen: PoolObservation, node: NodeReading) -> bool:
    if node.state != "active" or not 0 < node.gpus_used < node.gpu_count:
        return False
    bill = (seen.terms or Economics()).minimum_bill_seconds
    started_at = node.lease_started_at
    return not started_at or (seen.observed_at - started_at).total_seconds() >= bill
