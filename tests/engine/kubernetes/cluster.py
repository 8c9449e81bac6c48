"""A cluster with hands on it: commands are asked again at every tick until they end."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cluster.api import Api
from engine.hands import CommandFailed, CommandRefused, CommandUnderWay
from engine.kubernetes.hands import KubernetesHands
from engine.kubernetes.marks import DECISION, SUSPENDED
from engine.kubernetes.settings import HandsSettings
from tests.stand_in import StandIn
from warehouse.records import ExecutionStep
from warehouse.store import Store

POOL = "h100-us-east"
LONGEST_TICKS = 400
_numbers = itertools.count(1)


def new_id() -> str:
    """A decision's id that no other test has."""
    return f"decision-{next(_numbers)}"


@dataclass
class ClusterClock:
    """The console's clock, in step with the cluster's."""

    stand_in: StandIn

    def now(self) -> datetime:
        return self.stand_in.now


@dataclass
class Gate:
    """The kill switch and the lease, as the hands see them."""

    why: str | None = None

    def __call__(self) -> str | None:
        return self.why


@dataclass
class Handled:
    """A cluster, a warehouse and the hands between them."""

    stand_in: StandIn
    store: Store
    folder: Path
    settings: HandsSettings = field(default_factory=HandsSettings)
    gate: Gate = field(default_factory=Gate)
    wrap: Callable[[Api], Any] = field(default=lambda api: api)

    def __post_init__(self) -> None:
        self.clock = ClusterClock(self.stand_in)
        self.api = self.stand_in.api(self.folder)
        self.start()

    def start(self) -> None:
        """Hands that remember nothing, as after a restart."""
        self.hands = KubernetesHands(
            self.store,
            self.wrap(self.api),
            self.clock,
            self.settings,
            self.gate,
            folder=self.folder / "repairs",
        )

    def carry_out(
        self, command_id: str, command: str, seconds: float = 1.0, **arguments: Any
    ) -> dict[str, Any]:
        """What a command answers in the end."""
        for _ in range(LONGEST_TICKS):
            try:
                return self.hands.perform(command_id, command, arguments)
            except CommandUnderWay:
                self.stand_in.settle(3, seconds)  # asking costs more than a tick
        raise AssertionError(f"{command} did not end: {self.tale(command_id)}")

    def ending(
        self, command_id: str, command: str, seconds: float = 1.0, **arguments: Any
    ) -> CommandRefused | CommandFailed:
        """How a command ends that does not succeed."""
        try:
            answer = self.carry_out(command_id, command, seconds, **arguments)
        except (CommandRefused, CommandFailed) as error:
            return error
        raise AssertionError(f"{command} succeeded: {answer}")

    def begin(self, command_id: str, command: str, **arguments: Any) -> str:
        """Ask once; what it waits for."""
        try:
            answer = self.hands.perform(command_id, command, arguments)
        except CommandUnderWay as waiting:
            return str(waiting)
        raise AssertionError(f"{command} did not wait: {answer}")

    def rows(self, command_id: str) -> list[ExecutionStep]:
        decision_id = command_id.partition(":")[0]
        sql = "SELECT * FROM execution_steps WHERE decision_id = $id ORDER BY happened_at, rowid"
        return self.store.rows(ExecutionStep, sql, id=decision_id)

    def tale(self, command_id: str) -> list[str]:
        """The rows of a command in short: `cordon node/a: done`."""
        return [f"{row.step} {row.target}: {row.phase}" for row in self.rows(command_id)]

    def writes(self) -> list[str]:
        """What changed the cluster, call by call."""
        asked = [(method, path.partition("?")[0]) for method, path, _ in self.stand_in.requests]
        return [
            f"{method} {path}"
            for method, path in asked
            if method != "GET" and not path.endswith("/events")
        ]

    def held(self) -> dict[str, str]:
        """What is cordoned, suspended or marked by us, and by which decision."""
        found: dict[str, str] = {}
        for kind, place in (("Node", "node/"), ("Job", "job/default/"), ("Workload", "workload/")):
            for body in self.stand_in.all(kind):
                notes = body["metadata"].get("annotations") or {}
                whose = notes.get(DECISION) or notes.get(SUSPENDED)
                if whose:
                    found[place + body["metadata"]["name"]] = whose
        return found

    def unaccounted(self) -> list[str]:
        """What we hold without a row that says why. It must always be empty."""
        return [
            target
            for target, decision_id in self.held().items()
            if not any(
                row.target == target and row.phase in ("intended", "done", "left", "waiting")
                for row in self.rows(decision_id)
            )
        ]

    def placed(self, job: str, on: str, *others: str, **more: Any) -> None:
        """A job that runs on one node, before the others are there."""
        self.stand_in.add_node(on, pool=POOL)
        self.stand_in.add_job(job, **more)
        self.stand_in.settle(4)
        assert self.nodes_of_job(job) == {on}
        for other in others:
            self.stand_in.add_node(other, pool=POOL)
        self.stand_in.settle(1)

    def job(self, name: str) -> dict[str, Any]:
        return self.stand_in.get(f"/apis/batch/v1/namespaces/default/jobs/{name}")

    def node(self, name: str) -> dict[str, Any]:
        return self.stand_in.get(f"/api/v1/nodes/{name}")

    def nodes_of_job(self, name: str) -> set[str]:
        return {
            pod["spec"].get("nodeName", "")
            for pod in self.stand_in.all("Pod")
            if any(o["name"] == name for o in pod["metadata"].get("ownerReferences", ()))
            and "deletionTimestamp" not in pod["metadata"]
        }
