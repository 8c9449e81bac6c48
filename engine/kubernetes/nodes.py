"""Steps on nodes: cordon, uncordon, and the proof that a node is empty."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from cluster.api import Api, Body
from cluster.errors import NotFound
from engine.kubernetes.marks import DECISION
from engine.kubernetes.objects import (
    annotations_of,
    gpu_pods_on,
    is_cordoned,
    is_do_not_disrupt,
    meta,
    name_of,
    node_path,
)
from engine.kubernetes.steps import Answer, Done, Found, Left, Refused, Stale, Step, Wait


@dataclass
class Cordon(Step):
    """No new pods on a node; marked with the decision that wants it so."""

    name: ClassVar[str] = "cordon"
    api: Api = field(repr=False, kw_only=True)
    node_id: str = field(kw_only=True)
    decision_id: str = field(kw_only=True)
    uid: str | None = field(default=None, kw_only=True)
    """The machine that was meant, where it is known."""

    def look(self) -> Found:
        node = read_node(self.api, self.node_id)
        if self.uid and meta(node)["uid"] != self.uid:
            raise Stale(f"node {self.node_id} is another machine by now")
        if is_do_not_disrupt(node):
            raise Refused("do_not_disrupt", f"node {self.node_id} is marked do-not-disrupt")
        if is_cordoned(node):
            whose = annotations_of(node).get(DECISION)
            raise Stale(
                f"node {self.node_id} is cordoned already, "
                + (f"by decision {whose}" if whose else "by somebody else")
            )
        return {"uid": meta(node)["uid"], "unschedulable": False}

    def take(self, found: Found) -> Done | Wait:
        node = read_node(self.api, self.node_id)
        if meta(node)["uid"] != found["uid"]:
            raise Stale(f"node {self.node_id} is another machine by now")
        if is_cordoned(node):
            if annotations_of(node).get(DECISION) == self.decision_id:
                return Done()
            raise Stale(f"somebody else cordoned node {self.node_id} meanwhile")
        _set_cordon(self.api, node, True, self.decision_id)
        return Done()

    def take_back(self, found: Found, answer: Answer) -> Wait | Left | None:
        return uncordon(self.api, self.node_id, self.decision_id, found.get("uid"))


@dataclass
class Uncordon(Step):
    """A node is open again to new pods, where it is a decision of ours that closed it."""

    name: ClassVar[str] = "uncordon"
    changes: ClassVar[bool] = False  # the end of a command: nothing comes after it that could fail
    api: Api = field(repr=False, kw_only=True)
    node_id: str = field(kw_only=True)
    decision_id: str | None = field(default=None, kw_only=True)
    """Whose cordon it is; any decision's of ours without it."""
    must: bool = field(default=True, kw_only=True)
    """Whether a node that is somebody else's by now is a refusal; else it is left as it is."""

    def look(self) -> Found:
        node = read_node(self.api, self.node_id)
        whose = annotations_of(node).get(DECISION)
        if self.must and (not is_cordoned(node) or not self._is_ours(whose)):
            raise Stale(f"node {self.node_id} is not cordoned by us any more: it is left as it is")
        return {"uid": meta(node)["uid"], "decision_id": whose}

    def take(self, found: Found) -> Done | Wait:
        whose = found.get("decision_id")
        if not whose or not self._is_ours(whose):
            is_open = not is_cordoned(read_node(self.api, self.node_id))
            return Done({"is_open": is_open, "why": "it is not cordoned by us"})
        left = uncordon(self.api, self.node_id, whose, found["uid"])
        return Done({"is_open": left is None, "why": left.why if left else None})

    def _is_ours(self, whose: str | None) -> bool:
        return bool(whose) and self.decision_id in (None, whose)


@dataclass
class StayCordoned(Step):
    """A node is still closed by us, after all that took its time; one that is gone does no harm.
    Where nobody can say, it is taken to be: what was moved off is no safer on an open node."""

    name: ClassVar[str] = "still_cordoned"
    changes: ClassVar[bool] = False
    api: Api = field(repr=False, kw_only=True)
    node_id: str = field(kw_only=True)
    decision_id: str = field(kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        try:
            node = self.api.get(node_path(self.node_id))
        except NotFound:
            return Done({"is_gone": True})
        whose = annotations_of(node).get(DECISION)
        if not is_cordoned(node) or whose != self.decision_id:
            if whose == self.decision_id:
                unmark_open(self.api, node)
            raise Stale(f"somebody else opened node {self.node_id} meanwhile")
        return Done()

    def at_deadline(self, found: Found, why: str) -> Done:
        return Done({"is_known": False, "why": why})


@dataclass
class ProveEmpty(Step):
    """That no pod with GPUs is on a node we cordoned: one may have come before the cordon."""

    name: ClassVar[str] = "prove_empty"
    changes: ClassVar[bool] = False
    api: Api = field(repr=False, kw_only=True)
    node_id: str = field(kw_only=True)
    decision_id: str = field(kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        node = read_node(self.api, self.node_id)
        if not is_cordoned(node) or annotations_of(node).get(DECISION) != self.decision_id:
            raise Stale(f"somebody else opened node {self.node_id} meanwhile")
        pods = gpu_pods_on(self.api, self.node_id)
        if pods:
            names = ", ".join(name_of(pod) for pod in pods[:3])
            raise Stale(f"node {self.node_id} is not empty any more: {names}")
        return Done()


def read_node(api: Api, node_id: str) -> Body:
    """A node.

    Raises:
        Refused: it is gone.
    """
    try:
        return api.get(node_path(node_id))
    except NotFound as error:
        raise Refused("target_gone", f"node {node_id} is gone") from error


def uncordon(api: Api, node_id: str, decision_id: str, uid: str | None) -> Left | None:
    """Open a node again if that decision still holds it; None where it did, or it is open."""
    try:
        node = api.get(node_path(node_id))
    except NotFound:
        return None
    if uid and meta(node)["uid"] != uid:
        return None  # another machine of the same name: ours is gone
    whose = annotations_of(node).get(DECISION)
    if whose == decision_id:
        _set_cordon(api, node, False, None)
    elif is_cordoned(node):
        return Left(f"node {node_id} is cordoned by {whose or 'somebody else'} by now")
    return None


def unmark_open(api: Api, node: Body) -> None:
    """Take our mark off a node that was read as open: whoever cordons it next, it is not us.

    Raises:
        Conflict: it has changed since it was read.
    """
    _set_cordon(api, node, False, None)


def _set_cordon(api: Api, node: Body, is_closed: bool, decision_id: str | None) -> None:
    body = {
        "metadata": {
            "resourceVersion": meta(node)["resourceVersion"],
            "annotations": {DECISION: decision_id},
        },
        "spec": {"unschedulable": True if is_closed else None},
    }
    api.patch(node_path(meta(node)["name"]), body)
