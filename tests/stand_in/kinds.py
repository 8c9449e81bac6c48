"""The kinds that the stand-in serves, by their path, and what discovery says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


@dataclass(frozen=True)
class Kind:
    """One kind of object."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    custom: bool = False
    """A custom resource: no strategic merge, unknown fields pruned."""
    has_status: bool = True
    has_generation: bool = True
    scale: str | None = None
    """Path of the replicas in the status, where it has `/scale`."""
    needs_version: bool = False
    """Whether a PUT must say which version it replaces."""
    fields: tuple[str, ...] = ("metadata.name",)
    """What a field selector may ask for."""
    known: tuple[str, ...] = ()
    """Fields of a custom resource's spec; others are pruned."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As errors name it: `jobs.batch`, `nodes`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def base(self) -> str:
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str, name: str = "") -> str:
        """An object's path, or that of all of a namespace."""
        middle = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{self.base}{middle}/{self.plural}" + (f"/{name}" if name else "")


POD_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)
EVENT_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "reason",
    "reportingComponent",
    "source",
    "type",
)
NAMED = ("metadata.name", "metadata.namespace")
BUILT_IN = (
    Kind(
        "",
        "v1",
        "nodes",
        "Node",
        False,
        has_generation=False,
        fields=("metadata.name", "spec.unschedulable"),
    ),
    Kind("", "v1", "pods", "Pod", fields=POD_FIELDS),
    Kind(
        "",
        "v1",
        "namespaces",
        "Namespace",
        False,
        has_generation=False,
        fields=("metadata.name", "status.phase"),
    ),
    Kind("", "v1", "configmaps", "ConfigMap", has_status=False, has_generation=False, fields=NAMED),
    Kind("", "v1", "events", "Event", has_status=False, has_generation=False, fields=EVENT_FIELDS),
    Kind("batch", "v1", "jobs", "Job", fields=(*NAMED, "status.successful")),
    Kind("apps", "v1", "deployments", "Deployment", scale="status.replicas", fields=NAMED),
    Kind("apps", "v1", "statefulsets", "StatefulSet", scale="status.replicas", fields=NAMED),
    Kind(
        "policy",
        "v1",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        needs_version=True,
        fields=NAMED,
    ),
    Kind(
        "coordination.k8s.io",
        "v1",
        "leases",
        "Lease",
        has_status=False,
        has_generation=False,
        needs_version=True,
        fields=NAMED,
    ),
)


def _custom(group: str, version: str, plural: str, kind: str, known: str, **more: Any) -> Kind:
    return Kind(
        group,
        version,
        plural,
        kind,
        custom=True,
        needs_version=True,
        known=tuple(known.split()),
        **{"fields": NAMED, **more},
    )


KARPENTER = (
    _custom(
        "karpenter.sh",
        "v1",
        "nodepools",
        "NodePool",
        "disruption limits replicas template weight",
        namespaced=False,
        scale="status.nodes",
    ),
    _custom(
        "karpenter.sh",
        "v1",
        "nodeclaims",
        "NodeClaim",
        "expireAfter nodeClassRef requirements resources startupTaints taints "
        "terminationGracePeriod",
        namespaced=False,
    ),
)
CLUSTER_API = (
    _custom(
        "cluster.x-k8s.io",
        "v1beta2",
        "machinedeployments",
        "MachineDeployment",
        "clusterName deletion machineNaming paused remediation replicas rollout selector template",
        scale="status.replicas",
    ),
    _custom(
        "cluster.x-k8s.io",
        "v1beta2",
        "machines",
        "Machine",
        "bootstrap clusterName deletion failureDomain infrastructureRef "
        "minReadySeconds providerID readinessGates taints version",
    ),
)


def kueue(version: str) -> tuple[Kind, ...]:
    """Kueue's kinds as of one version."""
    group = "kueue.x-k8s.io"
    workload = "active maximumExecutionTimeSeconds podSets priority priorityClassName"
    return (
        _custom(
            group,
            version,
            "workloads",
            "Workload",
            f"{workload} priorityClassRef priorityClassSource queueName",
        ),
        _custom(
            group,
            version,
            "localqueues",
            "LocalQueue",
            "clusterQueue fairSharing stopPolicy",
        ),
    )


class Registry:
    """The kinds of one cluster."""

    def __init__(self, kinds: tuple[Kind, ...]) -> None:
        self.kinds = kinds
        self._by_path = {(kind.base, kind.plural): kind for kind in kinds}
        self._by_name = {kind.kind: kind for kind in kinds}

    def find(self, base: str, plural: str) -> Kind | None:
        return self._by_path.get((base, plural))

    def named(self, kind: str) -> Kind:
        """A kind by its name."""
        return self._by_name[kind]

    def serves(self, kind: str) -> bool:
        return kind in self._by_name

    def groups(self) -> dict[str, Any]:
        """What `/apis` answers."""
        served: dict[str, str] = {"authorization.k8s.io": "v1"}
        served.update({kind.group: kind.version for kind in self.kinds if kind.group})
        groups = []
        for name, version in served.items():
            one = {"groupVersion": f"{name}/{version}", "version": version}
            groups.append({"name": name, "versions": [one], "preferredVersion": one})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def resources(self, base: str) -> dict[str, Any] | None:
        """What a group's version answers; None where it is not served."""
        kinds = [kind for kind in self.kinds if kind.base == base]
        if not kinds:
            return None
        listed = []
        for kind in kinds:
            listed.append(_resource(kind, kind.plural, VERBS, kind.kind))
            if kind.has_status:
                listed.append(_resource(kind, f"{kind.plural}/status", VERBS[3:], kind.kind))
            if kind.scale:
                listed.append(_resource(kind, f"{kind.plural}/scale", VERBS[3:], "Scale"))
            if kind.kind == "Pod":
                listed.append(_resource(kind, "pods/eviction", ["create"], "Eviction"))
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": kinds[0].api_version,
            "resources": listed,
        }


def _resource(kind: Kind, name: str, verbs: list[str], shown: str) -> dict[str, Any]:
    whole = "/" not in name
    allowed = verbs if whole else [v for v in verbs if v in ("get", "patch", "update", "create")]
    return {
        "name": name,
        "singularName": kind.kind.lower() if whole else "",
        "namespaced": kind.namespaced,
        "kind": shown,
        "verbs": allowed,
    }
