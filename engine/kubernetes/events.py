"""A Kubernetes Event on whatever an action was about, with the decision's id."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from cluster.api import Api, Body
from cluster.errors import ClusterError
from engine.kubernetes.objects import meta
from engine.kubernetes.steps import Done, Found, Step, Wait
from warehouse.clock import Clock

COMPONENT = "pilothouse"
LONGEST_MESSAGE = 1000
"""Characters; the API server takes 1,024."""


@dataclass
class Tell(Step):
    """The Event. It never fails a command: without the right to make one there is none."""

    name: ClassVar[str] = "tell"
    changes: ClassVar[bool] = False
    api: Api = field(repr=False, kw_only=True)
    clock: Clock = field(repr=False, kw_only=True)
    path: str = field(kw_only=True)
    """Of the object it is about."""
    reason: str = field(kw_only=True)
    message: str = field(kw_only=True)
    decision_id: str = field(kw_only=True)

    def take(self, found: Found) -> Done | Wait:
        why = tell(
            self.api, self.path, self.reason, self.message, self.decision_id, self.clock.now()
        )
        return Done({"why_not": why} if why else {})


def tell(
    api: Api, path: str, reason: str, message: str, decision_id: str, now: datetime
) -> str | None:
    """Leave an Event, once for each decision and reason; why not, where it could not be had."""
    try:
        about = api.get(path)
        namespace = meta(about).get("namespace") or "default"
        body = _event(about, path, reason, message, decision_id, now)
        api.create(f"/api/v1/namespaces/{namespace}/events", body)
    except ClusterError as error:
        if getattr(error, "exists_already", False):
            return None
        return str(error)
    return None


def _event(
    about: Body, path: str, reason: str, message: str, decision_id: str, now: datetime
) -> dict[str, Any]:
    said = meta(about)
    namespace = said.get("namespace")
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    name = f"{said['name']}.{decision_id}.{reason}".lower()
    return {
        "metadata": {
            "name": name[:253].strip(".-"),
            "namespace": namespace or "default",
            "annotations": {"pilothouse.dev/decision": decision_id},
        },
        "involvedObject": {
            "apiVersion": about.get("apiVersion"),
            "kind": about.get("kind"),
            "name": said["name"],
            "uid": said["uid"],
            **({"namespace": namespace} if namespace else {}),
        },
        "reason": reason,
        "message": f"{message} (decision {decision_id})"[:LONGEST_MESSAGE],
        "type": "Normal",
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
