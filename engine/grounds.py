"""Grounds: what a proposal rests on besides the pool's figures, in words and as evidence.

Of a node its health with each piece of evidence, of a job the work that moving it can lose, of a
pre-warming the forecast.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.actions import Candidate
from engine.actions.pre_warm import peak_ahead, usable_gpus
from engine.actions.rebalance import named_nodes
from engine.illness import failure_ratio
from engine.moving import HeldJob, held_jobs
from engine.observe import PoolObservation
from warehouse.words import counted

TOLD_PIECES = 3
"""pieces of evidence named in a reason; all are kept with the evidence"""


@dataclass(frozen=True)
class Grounds:
    """What a candidate rests on."""

    sentences: list[str] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)


def grounds(seen: PoolObservation, candidate: Candidate) -> Grounds:
    """What speaks for a candidate, and what it puts at risk; empty where nothing more is known."""
    given = candidate.parameters
    match candidate.action:
        case "pre_warm":
            return _of_forecast(seen)
        case "quarantine_node" | "repair_node":
            jobs = held_jobs(seen).get(given["node_id"], [])
            return _joined(_of_node(seen, given["node_id"]), _of_jobs(seen, jobs))
        case "migrate_job":
            here = held_jobs(seen).get(given["node_id"], [])
            moved = [job for job in here if job.job_id == given["job_id"]]
            return _joined(_of_node(seen, given["node_id"]), _of_jobs(seen, moved))
        case "rebalance":
            held = held_jobs(seen)
            return _of_jobs(seen, [j for node in named_nodes(given) for j in held.get(node, [])])
    return Grounds()


def _joined(*several: Grounds) -> Grounds:
    found = Grounds()
    for one in several:
        found.sentences.extend(one.sentences)
        found.evidence.update(one.evidence)
    return found


def _of_node(seen: PoolObservation, node_id: str) -> Grounds:
    judged = seen.facts.health.get(node_id)
    ours = seen.facts.quarantined.get(node_id)
    found = Grounds([f"It was taken out of use by decision {ours}."] if ours else [])
    if judged is None or not judged.is_suspect:
        return found
    pieces = [str(piece.get("words") or piece.get("signal")) for piece in judged.evidence]
    told = "; ".join(pieces[:TOLD_PIECES])
    health = f"{node_id} is judged ill, its health {judged.health_ratio:.2f} of 1"
    found.sentences.append(f"{health}: {told}." if told else f"{health}.")
    numbered = {f"health_evidence_{at}": piece for at, piece in enumerate(pieces, start=1)}
    ratio = round(failure_ratio(seen, node_id), 4)
    figures = {"node_health_ratio": judged.health_ratio, "node_failure_ratio": ratio}
    found.evidence.update(figures | numbered)
    return found


def _of_jobs(seen: PoolObservation, jobs: list[HeldJob]) -> Grounds:
    moving = [job for job in jobs if job.why_fixed is None]
    found = Grounds([f"{job.why_fixed}: it is not moved." for job in jobs if job.why_fixed])
    if not moving:
        return found
    now = seen.observed_at
    usd = sum(job.unsaved_usd(now) for job in moving)
    hours = sum(job.unsaved_gpu_hours(now) for job in moving)
    found.sentences.append(
        f"Moving {counted(len(moving), 'job')} puts ${usd:.0f} of work at risk: "
        f"{hours:.1f} GPU-hours since their last checkpoints."
    )
    oldest_at = min((job.saved_at for job in moving if job.saved_at), default=None)
    found.evidence.update(
        {
            "moved_jobs": len(moving),
            "unsaved_gpu_hours": round(hours, 2),
            "unsaved_work_usd": round(usd, 2),
            "oldest_checkpoint_at": oldest_at.isoformat() if oldest_at else None,
        }
    )
    return found


def _of_forecast(seen: PoolObservation) -> Grounds:
    peak = peak_ahead(seen)
    if peak is None:
        return Grounds()
    minutes = max(0.0, (peak.target_at - seen.observed_at).total_seconds() / 60)
    on = usable_gpus(seen)
    return Grounds(
        [
            f"In {minutes:.0f} min {peak.q50:.0f} GPUs are expected in use, in one case of ten "
            f"more than {peak.q90:.0f}; {on} will be on."
        ],
        {
            "forecast_q50_gpus": round(peak.q50, 1),
            "forecast_q90_gpus": round(peak.q90, 1),
            "forecast_target_at": peak.target_at.isoformat(),
            "usable_gpus": on,
        },
    )
