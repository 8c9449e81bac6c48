"""Quarantine: a node is cordoned and what can be moved off it is; and the way back.

Jobs that checkpoint are migrated, one after the other; other pods are evicted as their budgets
allow. What can't be moved runs on and is named: a node that is ill harms no more by holding it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cluster.api import Api
from engine.kubernetes.migration import Migration
from engine.kubernetes.nodes import Cordon, StayCordoned, Uncordon
from engine.kubernetes.pods import Evict, Survey
from engine.kubernetes.settings import HandsSettings
from engine.kubernetes.steps import Answer, Deed, Ran, Step

ELSEWHERE = ("left_node", "target_gone")
"""Ends of a move after which the job is not on the node anyhow."""


@dataclass
class Quarantine(Deed):
    """A node out of use."""

    api: Api
    settings: HandsSettings
    gate: Callable[[], str | None]
    decision_id: str
    node_id: str
    uid: str | None
    tell: Step

    @property
    def target(self) -> str:
        """The node as the target of its steps."""
        return f"node/{self.node_id}"

    def steps(self, ran: Ran) -> list[Step]:
        asking = self.settings.request_seconds
        cordon = Cordon(
            self.target,
            asking,
            api=self.api,
            node_id=self.node_id,
            decision_id=self.decision_id,
            uid=self.uid,
        )
        steps: list[Step] = [
            cordon,
            # as long as evictions: a short outage must not open a node that is ill
            Survey(self.target, self.settings.evict_seconds, api=self.api, node_id=self.node_id),
        ]
        there = ran.answer("survey", self.target)
        if there is None:
            return steps
        for migration in self._migrations(ran):
            steps += migration.steps(ran)
            if not _is_over(migration, ran):
                return steps
        if there["evict"]:
            steps.append(
                Evict(
                    self.target,
                    self.settings.evict_seconds,
                    api=self.api,
                    pods=there["evict"],
                    gate=self.gate,
                )
            )
        stays = StayCordoned(
            self.target,
            asking,
            api=self.api,
            node_id=self.node_id,
            decision_id=self.decision_id,
        )
        return [*steps, stays, self.tell]

    def _migrations(self, ran: Ran) -> list[Migration]:
        there = ran.answer("survey", self.target) or {}
        return [
            Migration(
                self.api,
                self.settings,
                self.decision_id,
                job["job_id"],
                self.node_id,
                uid=job["uid"],
                scope=f"job/{job['job_id']}",
            )
            for job in there.get("jobs", [])
        ]

    def answer(self, ran: Ran) -> Answer:
        there = ran.answer("survey", self.target) or {}
        evicted = ran.answer("evict", self.target) or {"evicted": [], "stays": []}
        moved = [m.answer(ran) for m in self._migrations(ran)]
        not_moved = [
            {"job_id": m.job_id, "why": ran.failures[m.scope]}
            for m in self._migrations(ran)
            if m.scope in ran.failures and ran.ends[m.scope] not in ELSEWHERE
        ]
        return {
            "node_id": self.node_id,
            "node_ids": [self.node_id],
            "moved_jobs": len([answer for answer in moved if answer is not None]),
            "moved": [answer for answer in moved if answer is not None],
            "evicted": evicted["evicted"],
            "still_running": [*there.get("stays", []), *evicted["stays"], *not_moved],
        }


def _is_over(migration: Migration, ran: Ran) -> bool:
    return migration.scope in ran.failures or migration.answer(ran) is not None


@dataclass
class ReturnNode(Deed):
    """A node that we cordoned is in use again."""

    uncordon: Uncordon
    tell: Step

    def steps(self, ran: Ran) -> list[Step]:
        return [self.uncordon, self.tell]

    def answer(self, ran: Ran) -> Answer:
        return {"node_id": self.uncordon.node_id, "node_ids": [self.uncordon.node_id]}
