"""Rebalance: nodes are emptied by migrating their jobs, in order, and released where they became
empty. The first job that can't be moved ends it; what was moved before stays moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cluster.api import Api
from engine.kubernetes.going import Chosen, Pick, Release
from engine.kubernetes.levers import Scale, read_lever
from engine.kubernetes.migration import Migration
from engine.kubernetes.nodes import Cordon, ProveEmpty, Uncordon, read_node
from engine.kubernetes.objects import is_cordoned, meta
from engine.kubernetes.pods import Survey
from engine.kubernetes.settings import HandsSettings
from engine.kubernetes.steps import Answer, Deed, Done, Found, Ran, Refused, Step, StepOver, Wait


@dataclass
class Identify(Pick):
    """The very nodes that are to be emptied, and their machines."""

    name: ClassVar[str] = "identify"
    node_ids: list[str] = field(default_factory=list, kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        lever = read_lever(self.api, self.path)
        nodes = [read_node(self.api, node_id) for node_id in self.node_ids]
        closed = [meta(node)["name"] for node in nodes if is_cordoned(node)]
        if closed:
            raise Refused("stale", f"{', '.join(closed)}: cordoned already")
        chosen = [self._chosen(node) for node in nodes]
        unknown = [each["node_id"] for each in chosen if each["machine"] is None]
        if unknown:
            raise Refused(
                "machine_unknown",
                f"{self.path} can't be told that {', '.join(unknown)} is to go",
            )
        return Done({"nodes": chosen, "lever": lever.kind})


@dataclass
class Rebalance(Deed):
    """Some nodes emptied and released."""

    api: Api
    settings: HandsSettings
    gate: Callable[[], str | None]
    decision_id: str
    identify: Identify
    scale: Scale
    tell: Step

    def steps(self, ran: Ran) -> list[Step]:
        steps: list[Step] = [self.identify, *self._surveys()]
        if any(ran.answer("survey", step.target) is None for step in self._surveys()):
            return steps
        nodes = self._nodes(ran)
        steps += [self._cordon(node) for node in nodes]
        for migration in self._migrations(ran):
            steps += migration.steps(ran)
            if migration.scope in ran.failures:
                break
            if migration.answer(ran) is None:
                return steps
        return [*steps, *self._after(nodes, ran)]

    def _after(self, nodes: list[Chosen], ran: Ran) -> list[Step]:
        """Those that are empty go; the others are open again."""
        emptied = [node for node in nodes if self._is_emptied(node, ran)]
        steps: list[Step] = []
        for node in emptied:
            steps.append(self._prove(node))
        full = [node for node in nodes if node not in emptied or _target(node) in ran.failures]
        steps += [self._uncordon(node) for node in full]
        proven = [n for n in emptied if ran.answer("prove_empty", _target(n)) is not None]
        over = [n for n in emptied if _target(n) in ran.failures]
        if len(proven) + len(over) < len(emptied) or not proven:
            return steps
        lever = (ran.answer("identify", self.identify.target) or {})["lever"]
        release = Release(
            proven, self.scale, lever, self.decision_id, self.settings.scale_seconds, self.gate
        )
        return [*steps, *release.steps(ran), self.tell]

    def _nodes(self, ran: Ran) -> list[Chosen]:
        nodes: list[Chosen] = (ran.answer("identify", self.identify.target) or {})["nodes"]
        return nodes

    def _surveys(self) -> list[Step]:
        asking = self.settings.request_seconds
        return [
            Survey(f"node/{node_id}", asking, api=self.api, node_id=node_id, must_empty=True)
            for node_id in self.identify.node_ids
        ]

    def _known(self, node: Chosen) -> dict[str, Any]:
        return {"api": self.api, "node_id": node["node_id"], "decision_id": self.decision_id}

    def _cordon(self, node: Chosen) -> Step:
        asking = self.settings.request_seconds
        return Cordon(_target(node), asking, uid=node["uid"], **self._known(node))

    def _prove(self, node: Chosen) -> Step:
        asking, target = self.settings.request_seconds, _target(node)
        return ProveEmpty(target, asking, scope=target, **self._known(node))

    def _uncordon(self, node: Chosen) -> Step:
        asking = self.settings.request_seconds
        return Uncordon(_target(node), asking, must=False, **self._known(node))

    def _migrations(self, ran: Ran) -> list[Migration]:
        """A job on several of the nodes is moved once: they are all cordoned by then."""
        found: dict[str, Migration] = {}
        for node_id in self.identify.node_ids:
            for job in self._jobs(node_id, ran):
                job_id, uid = job["job_id"], job["uid"]
                migration = Migration(
                    self.api,
                    self.settings,
                    self.decision_id,
                    job_id,
                    node_id,
                    uid=uid,
                    scope=f"job/{job_id}",
                )
                found.setdefault(job_id, migration)
        return list(found.values())

    def _jobs(self, node_id: str, ran: Ran) -> list[dict[str, str]]:
        found: list[dict[str, str]] = (ran.answer("survey", f"node/{node_id}") or {}).get(
            "jobs", []
        )
        return found

    def _is_emptied(self, node: Chosen, ran: Ran) -> bool:
        moved = {m.job_id for m in self._migrations(ran) if m.answer(ran) is not None}
        return all(job["job_id"] in moved for job in self._jobs(node["node_id"], ran))

    def answer(self, ran: Ran) -> Answer:
        moved = [answer for m in self._migrations(ran) if (answer := m.answer(ran)) is not None]
        nodes = self._nodes(ran)
        emptied = [n["node_id"] for n in nodes if self._is_emptied(n, ran)]
        released = [name for name in emptied if f"node/{name}" not in ran.failures]
        stopped = "; ".join(ran.failures.values())
        if not released:
            names = ", ".join(each["job_id"] for each in moved)
            if not names:
                raise Refused("not_emptied", f"no job could be moved: {stopped}")
            raise StepOver("not_emptied", f"no node became empty: {stopped}; moved: {names}")
        return {
            "node_ids": released,
            "moved_jobs": len(moved),
            "moved": moved,
            "stopped_by": stopped or None,
            "lever": ran.answer("scale", self.scale.target) or {},
        }


def _target(node: Chosen) -> str:
    return f"node/{node['node_id']}"
