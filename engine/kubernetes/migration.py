"""Migrating a job: checkpoint, suspend, wait, move its affinity, resume, prove that it runs.

A Job's own back-off makes evicting its pods the worse way: this one has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cluster.api import Api
from engine.kubernetes.checkpoints import Checkpoint, LetGo
from engine.kubernetes.jobs import Move, Resume, Suspend, Verify, WaitSuspended
from engine.kubernetes.settings import HandsSettings
from engine.kubernetes.steps import Answer, Deed, Ran, Step


@dataclass(frozen=True)
class Migration:
    """Of one job off one node; as a deed of its own, or as a scope of a larger one."""

    api: Api
    settings: HandsSettings
    decision_id: str
    job_id: str
    node_id: str
    uid: str | None = None
    generation: int | None = None
    scope: str = ""

    @property
    def target(self) -> str:
        """The job as the target of its steps."""
        return f"job/{self.job_id}"

    def steps(self, ran: Ran) -> list[Step]:
        """As far as they can be told."""
        asked = ran.found("checkpoint", self.target)
        checkpoint = self._checkpoint()
        return [checkpoint] if asked is None else [checkpoint, *self._moving(ran, asked)]

    def _checkpoint(self) -> Step:
        hosts = (host.strip() for host in self.settings.checkpoint_hosts.split(","))
        return Checkpoint(
            self.target,
            self.settings.checkpoint_seconds,
            scope=self.scope,
            stands=bool(self.scope),
            api=self.api,
            job_id=self.job_id,
            node_id=self.node_id,
            decision_id=self.decision_id,
            uid=self.uid,
            generation=self.generation,
            hosts=frozenset(host for host in hosts if host),
        )

    def _moving(self, ran: Ran, asked: dict[str, Any]) -> list[Step]:
        waits, asking = self.settings, self.settings.request_seconds
        workload = (ran.found("suspend", self.target) or {}).get("workload")
        place: dict[str, Any] = {"scope": self.scope, "stands": bool(self.scope), "api": self.api}
        of_job: dict[str, Any] = {
            **place,
            "job_id": self.job_id,
            "decision_id": self.decision_id,
            "uid": asked["uid"],
        }
        off: dict[str, Any] = {**of_job, "node_id": self.node_id}
        return [
            Suspend(self.target, asking, **of_job),
            WaitSuspended(self.target, waits.suspend_seconds, workload=workload, **of_job),
            Move(self.target, asking, back_seconds=waits.suspend_seconds, **off),
            Resume(
                self.target,
                asking,
                back_seconds=waits.suspend_seconds,
                workload=workload,
                **of_job,
            ),
            Verify(self.target, waits.move_seconds, pods=asked["pods"], **off),
            LetGo(self.target, asking, job_id=self.job_id, decision_id=self.decision_id, **place),
        ]

    def answer(self, ran: Ran) -> Answer | None:
        """Where it runs now; None where it was not moved."""
        runs = ran.answer("verify", self.target)
        if runs is None or ran.answer("let_go", self.target) is None:
            return None
        asked = ran.answer("checkpoint", self.target) or {}
        return {
            "job_id": self.job_id,
            "from_node": self.node_id,
            "node_ids": runs["node_ids"],
            "checkpointed_at": asked.get("checkpointed_at"),
        }


@dataclass
class MigrateJob(Deed):
    """One job moved off a node."""

    migration: Migration
    tell: Step

    def steps(self, ran: Ran) -> list[Step]:
        steps = self.migration.steps(ran)
        return [*steps, self.tell] if len(steps) > 1 else steps

    def answer(self, ran: Ran) -> Answer:
        answer = self.migration.answer(ran)
        assert answer is not None
        return answer
