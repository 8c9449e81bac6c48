"""Illness: what a node that is judged ill is expected to cost, and what moving its jobs can lose.

The planning model plays an ill node as a sound one, so that this is counted once. Assumptions, each
to be held against the outcomes:

- **Failing.** A node of health h fails within the horizon with probability 1 - h: health is what
  the evidence leaves of 1, and each piece takes its weight away (`node_health`).
- **What a failure costs.** The work that each of its jobs has done since its last checkpoint, or
  half a checkpoint interval if that is more, is lost and refunded at the job's price. Their GPUs
  wait for another node to start, at the penalty for waiting. And the node is gone for longer than a
  planned repair takes: those hours at the pool's price and its present use.
- **Who is on it.** The jobs that it holds; where they are fewer than the pool's use would put
  there, as much as that: it is given jobs next.
- **Quarantine** spares all of that. **Migrating** spares it for the one job, but for the node's own
  absence. On top of a quarantine of the same node a migration spares nothing more.
- **Moving** can lose the work since the last checkpoint that is known of (all since the start where
  none is). On a node that fails with probability p anyway, 1 - p of it is charged to the move, on a
  sound one all of it. A quarantine is charged for each of its jobs, a rebalancing likewise.
- **Repair.** A node out of use earns nothing. From the end of a planned repair on it earns what the
  pool's nodes earn now, on average: at least that is its gain, as the model's own figure is that of
  one more node in the next hours, and a node lives for years.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.actions import Candidate
from engine.actions.rebalance import named_nodes
from engine.moving import HeldJob, held_jobs
from engine.observe import PoolObservation
from engine.simulator.settings import Economics
from engine.twin.sight import assumed_terms, market_price


@dataclass(frozen=True)
class Stakes:
    """What the planning model does not know of a candidate, in USD over the horizon."""

    spared_usd: float = 0.0
    """Expected loss that it spares"""
    charged_usd: float = 0.0
    """Expected loss that it risks"""
    unsaved_usd: float = 0.0
    """Work of the jobs it moves since their last checkpoints, at their prices"""
    least_usd: float | None = None
    """What it is worth at least, whatever the model says"""


NOTHING_AT_STAKE = Stakes()


def as_if_sound(seen: PoolObservation) -> PoolObservation:
    """The pool with its ill nodes taken for sound, as the planning model is to play it."""
    if not seen.facts.suspects:
        return seen
    nodes = tuple(
        replace(node, health_ratio=1.0) if seen.facts.is_suspect(node.node_id) else node
        for node in seen.nodes
    )
    return replace(seen, nodes=nodes)


def stakes(
    seen: PoolObservation, candidate: Candidate, given: Sequence[Candidate], hours: float
) -> Stakes:
    """What is at stake with a candidate over so many hours, on top of those `given`."""
    named = candidate.parameters
    match candidate.action:
        case "quarantine_node":
            return _of_quarantine(seen, named["node_id"])
        case "repair_node":
            return Stakes(least_usd=_earned_once_repaired_usd(seen, hours))
        case "migrate_job":
            is_moved = any(one.parameters.get("node_id") == named["node_id"] for one in given)
            return NOTHING_AT_STAKE if is_moved else _of_moving(seen, **named)
        case "rebalance":
            held = held_jobs(seen)
            jobs = [job for node in named_nodes(named) for job in held.get(node, ())]
            unsaved = sum(job.unsaved_usd(seen.observed_at) for job in jobs)
            return Stakes(charged_usd=unsaved, unsaved_usd=unsaved)
    return NOTHING_AT_STAKE


def failure_ratio(seen: PoolObservation, node_id: str) -> float:
    """The probability that a node fails within the horizon; 0 for one that is not judged ill."""
    if not seen.facts.is_suspect(node_id):
        return 0.0
    return 1.0 - seen.facts.health[node_id].health_ratio


# -- within ----------------------------------------------------------------------------


def _of_quarantine(seen: PoolObservation, node_id: str) -> Stakes:
    node = next((one for one in seen.nodes if one.node_id == node_id), None)
    if node is None:
        return NOTHING_AT_STAKE
    jobs, terms = held_jobs(seen).get(node_id, []), _terms(seen)
    ratio = failure_ratio(seen, node_id)
    lost = sum(_loss_usd(seen, job, terms) for job in jobs)
    known = sum(min(job.gpus, node.gpu_count) for job in jobs)
    expected = max(node.gpus_used, seen.features["utilisation_ratio"] * node.gpu_count)
    own = seen.state.price_usd_per_gpu_hour
    lost += max(0.0, expected - known) * _loss_usd_per_gpu(0.0, own, terms)
    longer = max(0, terms.repair_seconds - terms.planned_repair_seconds) / 3600
    lost += longer * expected * own
    moved = sum(job.unsaved_usd(seen.observed_at) for job in jobs if job.why_fixed is None)
    return Stakes(ratio * lost, (1.0 - ratio) * moved, moved)


def _of_moving(seen: PoolObservation, job_id: str, node_id: str) -> Stakes:
    job = next((one for one in held_jobs(seen).get(node_id, []) if one.job_id == job_id), None)
    if job is None:
        return NOTHING_AT_STAKE
    ratio, unsaved = failure_ratio(seen, node_id), job.unsaved_usd(seen.observed_at)
    spared = ratio * _loss_usd(seen, job, _terms(seen))
    return Stakes(spared, (1.0 - ratio) * unsaved, unsaved)


def _loss_usd(seen: PoolObservation, job: HeldJob, terms: Economics) -> float:
    hours = job.unsaved_gpu_hours(seen.observed_at) / max(job.gpus, 1)
    return job.gpus * _loss_usd_per_gpu(hours, job.price_usd_per_gpu_hour, terms)


def _loss_usd_per_gpu(unsaved_hours: float, price: float, terms: Economics) -> float:
    lost_hours = max(unsaved_hours, terms.checkpoint_seconds / 7200)
    late_hours = terms.owned_boot_seconds / 3600
    return lost_hours * price + late_hours * terms.sla_usd_per_gpu_hour


def _earned_once_repaired_usd(seen: PoolObservation, hours: float) -> float:
    terms = _terms(seen)
    left = max(0.0, hours - terms.planned_repair_seconds / 3600)
    used = seen.features["utilisation_ratio"] * seen.pool.gpus_per_node
    return left * used * seen.state.price_usd_per_gpu_hour


def _terms(seen: PoolObservation) -> Economics:
    return seen.terms or assumed_terms(seen.pool, market_price(seen))
