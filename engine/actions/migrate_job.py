"""Migrate a job: checkpoint it and move it off a node that is ill, or that it alone keeps busy.

A job that holds several nodes whole, that must not be disrupted, or that does not say that it can
be checkpointed is never proposed. The work since its last checkpoint is part of the price
(`engine/gains.py`), so that of several the one that saved its work last comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.actions import Afterwards, Candidate
from engine.hands import Actuator, CommandRefused
from engine.moving import HeldJob, held_jobs, job_on, why_not_moved
from engine.observe import PoolObservation
from engine.policies.rule import Proposal
from warehouse.limits import Limits
from warehouse.records import ActionType

MOST_OFF_SUSPECTS = 2
"""Candidates of a pool and tick: quarantine moves all jobs of a node, and is proposed beside."""
MOST_PINNING = 1
LONGEST_SECONDS = 3600
"""A moved job runs again after minutes: an hour tells."""


class MigrateJob:
    """Move one job off a node."""

    name: ActionType = "migrate_job"
    can_undo = False

    def target(self, pool: str, parameters: Mapping[str, Any]) -> str:
        return f"job/{parameters['job_id']}"

    def horizon_seconds(self, limits: Limits) -> int:
        return min(LONGEST_SECONDS, limits.horizon_seconds)

    def criterion(self, parameters: Mapping[str, Any]) -> str:
        return f"{parameters['job_id']} runs on another node than {parameters['node_id']}"

    def is_met(self, after: Afterwards) -> bool | None:
        job_id, node_id = after.parameters["job_id"], after.parameters["node_id"]
        if job_on(after.seen, job_id, node_id):
            return False
        runs = after.seen.running.filter(job_id=job_id)
        waits = after.seen.waiting.filter(job_id=job_id)
        if runs.is_empty():
            return False if waits.height else None  # it has ended: how, is not told here
        return True

    def candidates(self, seen: PoolObservation, goal: Proposal) -> list[Candidate]:
        found = [*_off_suspects(seen), *(_pinning(seen) if goal.nodes < 0 else ())]
        return [
            Candidate(
                self.name,
                f"job/{job.job_id}",
                seen.pool.pool,
                {"job_id": job.job_id, "node_id": node_id},
            )
            for job, node_id in found
        ]

    def recheck(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> str | None:
        job = job_on(seen, parameters["job_id"], parameters["node_id"])
        if job is None:
            return f"{parameters['job_id']} no longer runs on {parameters['node_id']}"
        return why_not_moved(seen, job)

    def undo_recheck(
        self, seen: PoolObservation, parameters: Mapping[str, Any], result: Mapping[str, Any]
    ) -> str | None:
        return "a job that was moved is not moved back"

    def inverse(self, seen: PoolObservation, result: Mapping[str, Any]) -> Candidate | None:
        return None

    def added_cost_usd_per_hour(
        self, seen: PoolObservation, parameters: Mapping[str, Any]
    ) -> float:
        return 0.0

    def removed_gpus(self, seen: PoolObservation, parameters: Mapping[str, Any]) -> int:
        return 0

    def command(self, pool: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        job_id, node_id = str(parameters["job_id"]), str(parameters["node_id"])
        return self.name, {"pool": pool, "job_id": job_id, "node_id": node_id}

    def execute(
        self, hands: Actuator, command_id: str, pool: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, arguments = self.command(pool, parameters)
        return hands.perform(command_id, name, arguments)

    def undo(
        self, hands: Actuator, command_id: str, pool: str, result: Mapping[str, Any]
    ) -> dict[str, Any]:
        raise CommandRefused("a job that was moved is not moved back")


def _off_suspects(seen: PoolObservation) -> list[tuple[HeldJob, str]]:
    """The jobs on suspect nodes that fit elsewhere, the worst node first."""
    if not seen.facts.suspects:
        return []
    held = held_jobs(seen)
    ill = (one.node_id for one in seen.facts.suspects)
    found = [each for node_id in ill for each in _movable(seen, held.get(node_id, []), node_id)]
    return found[:MOST_OFF_SUSPECTS]


def _pinning(seen: PoolObservation) -> list[tuple[HeldJob, str]]:
    """Jobs that alone keep a node on which more than half is free, the least to lose first."""
    sound = {
        node.node_id
        for node in seen.nodes
        if node.state == "active"
        and 0 < node.gpus_used <= node.gpu_count // 2
        and not seen.facts.is_suspect(node.node_id)
    }
    alone = [
        (jobs[0], node_id)
        for node_id, jobs in held_jobs(seen).items()
        if node_id in sound and len(jobs) == 1
    ]
    alone.sort(key=lambda each: each[0].unsaved_usd(seen.observed_at))
    fitting = (each for each in alone if why_not_moved(seen, each[0]) is None)
    return [each for each, _ in zip(fitting, range(MOST_PINNING), strict=False)]


def _movable(
    seen: PoolObservation, jobs: list[HeldJob], node_id: str
) -> Iterator[tuple[HeldJob, str]]:
    for job in sorted(jobs, key=lambda job: job.unsaved_usd(seen.observed_at)):
        if why_not_moved(seen, job) is None:
            yield job, node_id


ACTION = MigrateJob()
