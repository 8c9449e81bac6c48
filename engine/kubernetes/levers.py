"""Levers: what a pool's nodes are scaled by. `/scale` of whatever has it, or a dynamic NodePool's
limit, which only allows nodes: Karpenter makes them when pods wait."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from cluster.api import Api
from cluster.errors import NotFound
from engine.kubernetes.marks import GPU
from engine.kubernetes.objects import meta, pool_nodes
from engine.kubernetes.steps import Answer, Done, Found, Left, Refused, Stale, Step, Wait
from warehouse.records import ScaleTarget

_NODE_POOL = re.compile(r"/apis/karpenter\.sh/v[a-z0-9]+/nodepools/[^/]+")


@dataclass(frozen=True)
class Reading:
    """A lever as it stands."""

    kind: Literal["scale", "limits"]
    wanted: int | None
    """Nodes of `/scale`, GPUs of a limit; None where a NodePool has no limit."""
    uid: str
    version: str
    in_use: int = 0
    """GPUs of a NodePool's nodes."""


def read_lever(api: Api, path: str) -> Reading:
    """A lever as it stands.

    Raises:
        Refused: it is gone.
    """
    try:
        if _NODE_POOL.fullmatch(path):
            found = api.get(path)
            if "replicas" not in found["spec"]:
                said = (found["spec"].get("limits") or {}).get(GPU)
                used = ((found.get("status") or {}).get("resources") or {}).get(GPU, 0)
                limit = None if said is None else int(said)
                where = meta(found)
                return Reading("limits", limit, where["uid"], where["resourceVersion"], int(used))
        found = api.get(f"{path}/scale")
    except NotFound as error:
        raise Refused("target_gone", f"{path} has no /scale, or is gone") from error
    wanted = int(found["spec"].get("replicas", 0))  # 0 is left out of the answer
    return Reading("scale", wanted, meta(found)["uid"], meta(found)["resourceVersion"])


def set_lever(api: Api, path: str, now: Reading, wanted: int) -> None:
    """Set it, if nobody has since it was read."""
    body = {"metadata": {"resourceVersion": now.version}}
    if now.kind == "limits":
        api.patch(path, {**body, "spec": {"limits": {GPU: str(wanted)}}})
    else:
        api.patch(f"{path}/scale", {**body, "spec": {"replicas": wanted}})


def refuse_changed(now: Reading, proposed: ScaleTarget | None, path: str) -> None:
    """That a lever stands as it did when the decision was proposed.

    Raises:
        Stale: somebody else set it since.
    """
    if proposed is None or proposed.target.strip("/") != path.strip("/"):
        return
    then = proposed.wanted_nodes if now.kind == "scale" else proposed.limit_gpus
    if proposed.uid != now.uid or proposed.lever != now.kind:
        raise Stale(f"{path} is another object by now")
    if then != now.wanted:
        raise Stale(f"somebody else set {path} from {then} to {now.wanted} since it was proposed")


@dataclass
class Scale(Step):
    """More or fewer nodes are asked for."""

    name: ClassVar[str] = "scale"
    api: Api = field(repr=False, kw_only=True)
    path: str = field(kw_only=True)
    by_nodes: int = field(kw_only=True)
    gpus_per_node: Callable[[], int] = field(default=lambda: 8, repr=False, kw_only=True)
    """Asked where the lever is a limit of GPUs."""
    proposed: ScaleTarget | None = field(default=None, kw_only=True)
    pool: str | None = field(default=None, kw_only=True)
    """Whose nodes are noted before, so that new ones are told from them."""
    pool_labels: tuple[str, ...] = field(default=(), kw_only=True)
    may_stay: bool = field(default=False, kw_only=True)
    """Whether a limit that can't be lowered, or is not there, is no refusal."""

    def look(self) -> Found:
        now = read_lever(self.api, self.path)
        refuse_changed(now, self.proposed, self.path)
        pool = self.pool
        nodes = pool_nodes(self.api, pool, self.pool_labels) if pool else []
        target = self._target(now)
        return {
            "wanted": now.wanted,
            "target": target,
            "uid": now.uid,
            "node_uids": sorted(meta(node)["uid"] for node in nodes),
        }

    def _target(self, now: Reading) -> int | None:
        if now.kind == "scale":
            return max((now.wanted or 0) + self.by_nodes, 0)
        if now.wanted is None:
            if self.may_stay:
                return None
            raise Refused(
                "no_limit",
                f"{self.path} has no limit of {GPU}: Karpenter makes nodes as pods ask for them; "
                "set spec.limits to have it scaled from here",
            )
        target = max(now.wanted + self.by_nodes * self.gpus_per_node(), now.in_use)
        if self.by_nodes < 0 and target >= now.wanted:
            if self.may_stay:
                return now.wanted
            raise Refused("in_use", f"all {now.in_use} GPUs that {self.path} allows are in use")
        return target

    def take(self, found: Found) -> Done | Wait:
        now = read_lever(self.api, self.path)
        if now.uid != found["uid"]:
            raise Stale(f"{self.path} is another object by now")
        if now.wanted != found["target"]:
            if now.wanted != found["wanted"]:
                raise Stale(f"somebody else set {self.path} to {now.wanted} meanwhile")
            set_lever(self.api, self.path, now, found["target"])
        return Done({"before": found["wanted"], "after": found["target"], "lever": now.kind})

    def take_back(self, found: Found, answer: Answer) -> Wait | Left | None:
        now = read_lever(self.api, self.path)
        if now.wanted == found["wanted"]:
            return None
        if now.wanted != found["target"] or now.uid != found["uid"]:
            return Left(f"somebody else set {self.path} to {now.wanted} meanwhile")
        set_lever(self.api, self.path, now, found["wanted"])
        return None
