"""The disruption controller: how many pods of each budget may be disturbed just now."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from tests.stand_in.controllers.parts import set_condition
from tests.stand_in.objects import Body, Objects
from tests.stand_in.selectors import matches
from tests.stand_in.subresources import is_ready


def tick(objects: Objects) -> None:
    """One pass over all budgets."""
    budgets = objects.all("PodDisruptionBudget")
    if not budgets:
        return
    pods: dict[str, list[Body]] = defaultdict(list)
    for pod in objects.all("Pod"):
        pods[pod["metadata"]["namespace"]].append(pod)
    for budget in budgets:
        sync(objects, budget, pods[budget["metadata"]["namespace"]])


def sync(objects: Objects, budget: Body, pods: list[Body]) -> None:
    """Count one budget's pods anew."""
    meta, spec = budget["metadata"], budget["spec"]
    mine = [
        pod
        for pod in pods
        if matches(spec.get("selector"), pod["metadata"].get("labels") or {})
        and pod["status"]["phase"] not in ("Succeeded", "Failed")
    ]
    healthy = sum(is_ready(pod) and "deletionTimestamp" not in pod["metadata"] for pod in mine)
    wanted = _wanted(spec, len(mine))
    refused = _can_not_be_counted(spec, mine)
    allowed = 0 if refused else max(healthy - wanted, 0)

    def change(body: Body) -> None:
        body["status"] = {
            **body.get("status", {}),
            "observedGeneration": meta["generation"],
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": wanted,
            "expectedPods": len(mine),
        }
        reason = "SufficientPods" if allowed else "InsufficientPods"
        reason = "SyncFailed" if refused else reason
        at = objects.stamp()
        said = ("DisruptionAllowed", "True" if allowed else "False", reason, "", at)
        set_condition(body, *said, observedGeneration=meta["generation"])

    objects.edit("PodDisruptionBudget", meta["name"], meta["namespace"], change)


def _can_not_be_counted(spec: dict[str, Any], pods: list[Body]) -> bool:
    """Of a Job's pods only a plain `minAvailable` can be kept: a Job has no `/scale`."""
    is_plain = isinstance(spec.get("minAvailable"), int)
    owners = [one for pod in pods for one in pod["metadata"].get("ownerReferences") or ()]
    return not is_plain and any(one["kind"] == "Job" for one in owners)


def _wanted(spec: dict[str, Any], expected: int) -> int:
    """Pods that must stay healthy."""
    if "maxUnavailable" in spec:
        return max(expected - _share(spec["maxUnavailable"], expected), 0)
    return _share(spec.get("minAvailable", 1), expected)


def _share(said: int | str, of: int) -> int:
    if isinstance(said, str) and said.endswith("%"):
        return math.ceil(int(said[:-1]) * of / 100)
    return int(said)
