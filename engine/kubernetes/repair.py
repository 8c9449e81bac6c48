"""Repair: a node that is cordoned and empty is replaced, or mended by the operator's command, and
is in use again once it is Ready with its GPUs. There is no undoing it.

A Machine of Cluster API is deleted rather than annotated with `remediate-machine`: that annotation
is read by a MachineHealthCheck alone, and without one nothing would happen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from cluster.api import Api, Body
from cluster.errors import NotFound
from engine.kubernetes import machines, process
from engine.kubernetes.nodes import Uncordon, read_node
from engine.kubernetes.objects import (
    allocatable_gpus,
    gpu_pods_on,
    is_cordoned,
    is_do_not_disrupt,
    is_ready,
    is_terminating,
    meta,
    name_of,
    node_path,
    pool_nodes,
    pool_of,
)
from engine.kubernetes.settings import HandsSettings
from engine.kubernetes.steps import (
    Answer,
    Deed,
    Done,
    Found,
    Left,
    Ran,
    Refused,
    Step,
    StepOver,
    Wait,
)


@dataclass
class Examine(Step):
    """The node is cordoned and holds no job; and how it can be mended."""

    name: ClassVar[str] = "examine"
    changes: ClassVar[bool] = False
    api: Api = field(repr=False, kw_only=True)
    settings: HandsSettings = field(repr=False, kw_only=True)
    node_id: str = field(kw_only=True)
    uid: str | None = field(default=None, kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        node = read_node(self.api, self.node_id)
        self._refuse(node)
        machine = machines.machine_of(self.api, node)
        words = self.settings.repair_words(self.node_id)
        if machine is not None and not (machine.kind == "machine" and not machine.is_replaced):
            way: dict[str, Any] = {
                "way": "replace",
                "path": machine.path,
                "machine_uid": machine.uid,
                "is_replaced": machine.is_replaced,
            }
        elif words:
            way = {"way": "command"}
        else:
            raise Refused(
                "no_way",
                f"no machine API replaces {self.node_id}: give a repair command in "
                "PILOTHOUSE_KUBERNETES_REPAIR_COMMAND",
            )
        labels = self.settings.pool_label_names
        pool = pool_of(node, labels)
        uids = sorted(meta(each)["uid"] for each in pool_nodes(self.api, pool, labels))
        return Done({**way, "uid": meta(node)["uid"], "pool": pool, "node_uids": uids})

    def _refuse(self, node: Body) -> None:
        if self.uid and meta(node)["uid"] != self.uid:
            raise Refused("stale", f"node {self.node_id} is another machine by now")
        if not is_cordoned(node):
            raise Refused("stale", f"node {self.node_id} is not cordoned: quarantine it first")
        if is_do_not_disrupt(node):
            raise Refused("do_not_disrupt", f"node {self.node_id} is marked do-not-disrupt")
        pods = gpu_pods_on(self.api, self.node_id)
        # of a node that is lost, pods that are on their way out never get there
        holding = [pod for pod in pods if is_ready(node) or not is_terminating(pod)]
        if holding:
            raise Refused(
                "not_empty", f"{name_of(holding[0])} still runs on {self.node_id}: move it first"
            )


@dataclass
class Replace(Step):
    """Its machine is deleted, so that another takes its place."""

    name: ClassVar[str] = "replace"
    api: Api = field(repr=False, kw_only=True)
    path: str = field(kw_only=True)
    uid: str = field(kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        machines.delete(self.api, self.path, self.uid)
        return Done()

    def take_back(self, found: Found, answer: Answer) -> Wait | Left | None:
        return Left("a machine that is being replaced can't be held")


@dataclass
class RunCommand(Step):
    """The operator's command mends it."""

    name: ClassVar[str] = "run_command"
    words: list[str] = field(kw_only=True)
    folder: Path = field(repr=False, kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        ending = process.ended(self.folder)
        if ending is None:
            process.start(self.folder, self.words, self.seconds)
            return Wait(f"{self.words[0]} runs")
        if ending["returncode"] != 0:
            said = str(ending["output"]).strip().splitlines()[-1:] or ["nothing"]
            code = ending["returncode"]
            how = "took too long" if code is None else f"ended with {code}"
            raise StepOver("command_failed", f"{self.words[0]} {how}; it said: {said[0]}")
        return Done(ending)

    def take_back(self, found: Found, answer: Answer) -> Wait | Left | None:
        return Left("what the repair command did can't be taken back")


@dataclass
class WaitSound(Step):
    """The node, or the one in its place, is Ready with its GPUs."""

    name: ClassVar[str] = "wait_sound"
    changes: ClassVar[bool] = False
    api: Api = field(repr=False, kw_only=True)
    settings: HandsSettings = field(repr=False, kw_only=True)
    node_id: str = field(kw_only=True)
    examined: Answer = field(repr=False, kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        if self.examined["way"] == "command":
            node = read_node(self.api, self.node_id)
            return (
                Done({"node_id": self.node_id}) if _is_sound(node) else Wait("it is not sound yet")
            )
        if self._is_there():
            return Wait("its machine is still there")
        if not self.examined["is_replaced"]:
            return Done({"node_id": None})  # Karpenter makes another when pods ask for one
        return self._successor() or Wait("the node in its place is not ready yet")

    def _is_there(self) -> bool:
        try:
            node = self.api.get(node_path(self.node_id))
        except NotFound:
            return False
        return bool(meta(node)["uid"] == self.examined["uid"])

    def _successor(self) -> Done | None:
        pool, labels = self.examined["pool"], self.settings.pool_label_names
        for node in pool_nodes(self.api, pool, labels):
            if meta(node)["uid"] not in self.examined["node_uids"] and _is_sound(node):
                return Done({"node_id": meta(node)["name"]})
        return None


def _is_sound(node: Body) -> bool:
    return is_ready(node) and allocatable_gpus(node) > 0


@dataclass
class Repair(Deed):
    """A node mended."""

    api: Api
    settings: HandsSettings
    gate: Callable[[], str | None]
    decision_id: str
    node_id: str
    uid: str | None
    folder: Path
    tell: Callable[[str], Step]
    """The Event, given the path of what it is about."""

    @property
    def target(self) -> str:
        """The node as the target of its steps."""
        return f"node/{self.node_id}"

    def steps(self, ran: Ran) -> list[Step]:
        asking, longest = self.settings.request_seconds, self.settings.repair_seconds
        known: dict[str, Any] = {"api": self.api, "node_id": self.node_id}
        steps: list[Step] = [
            Examine(self.target, asking, settings=self.settings, uid=self.uid, **known)
        ]
        examined = ran.answer("examine", self.target)
        if examined is None:
            return steps
        if examined["way"] == "replace":
            path, uid = examined["path"], examined["machine_uid"]
            steps.append(Replace(self.target, asking, api=self.api, path=path, uid=uid))
        else:
            words = self.settings.repair_words(self.node_id)
            steps.append(RunCommand(self.target, longest, words=words, folder=self._folder()))
        steps.append(
            WaitSound(self.target, longest, settings=self.settings, examined=examined, **known)
        )
        sound = ran.answer("wait_sound", self.target)
        if sound is None:
            return steps
        if examined["way"] == "command":
            steps.append(Uncordon(self.target, asking, must=False, **known))
        about = sound["node_id"]
        return [*steps, self.tell(node_path(about))] if about else steps

    def _folder(self) -> Path:
        return self.folder / hashlib.sha256(self.decision_id.encode()).hexdigest()[:16]

    def answer(self, ran: Ran) -> Answer:
        examined = ran.answer("examine", self.target) or {}
        sound = ran.answer("wait_sound", self.target) or {}
        opened = ran.answer("uncordon", self.target)
        return {
            "node_id": self.node_id,
            "node_ids": [sound["node_id"]] if sound.get("node_id") else [],
            "way": examined.get("way"),
            "replaced_by": sound.get("node_id") if examined.get("way") == "replace" else None,
            "is_open": True if opened is None else opened["is_open"],
        }
