"""The control plane: all controllers in their order."""

from __future__ import annotations

from tests.stand_in.controllers import (
    budgets,
    collecting,
    karpenter,
    machines,
    queueing,
    replicas,
    scheduling,
)
from tests.stand_in.controllers.jobs import Jobs
from tests.stand_in.controllers.kubelets import Kubelets
from tests.stand_in.controllers.nodes import Nodes
from tests.stand_in.faults import Faults
from tests.stand_in.objects import Objects


class Plane:
    """Runs each controller once a tick."""

    def __init__(self, objects: Objects, faults: Faults, kubelets: bool) -> None:
        self.dead: set[str] = set()
        self._objects = objects
        self._jobs = Jobs(objects)
        self._nodes = Nodes(objects, self.dead)
        self._kubelets = Kubelets(objects, faults, self.dead) if kubelets else None

    def tick(self) -> None:
        """One pass of each."""
        if self._kubelets:
            self._kubelets.tick()
        self._nodes.tick()
        collecting.tick(self._objects)
        queueing.tick(self._objects)
        self._jobs.tick()
        replicas.tick(self._objects)
        karpenter.tick(self._objects)
        machines.tick(self._objects)
        scheduling.tick(self._objects)
        budgets.tick(self._objects)
