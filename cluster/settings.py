"""What a person says about a cluster: how to reach it, and what its pools cost and are scaled by.

Prices and costs are nowhere in Kubernetes, so they stand in a TOML file (`docs/kubernetes.md`):

    [pools.h100-us-east]
    scale = "apis/karpenter.sh/v1/nodepools/h100-us-east"
    placeholder = "apis/apps/v1/namespaces/pilothouse/deployments/h100-placeholder"
    owned_idle_usd_per_gpu_hour = 0.25
    price_usd_per_gpu_hour = 2.60
"""

from __future__ import annotations

import re
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cluster.errors import NotConfigured

POOL_LABELS = (
    "pilothouse.dev/pool",
    "karpenter.sh/nodepool",
    "cluster.x-k8s.io/pool-name",
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "kubernetes.azure.com/agentpool",
)
"""Labels of a node that name its pool, the first that is there. Without any a pool is a GPU product
in a region."""
_OBJECT_PATH = re.compile(
    r"/?apis/(?P<group>[a-z0-9.-]+)/(?P<version>v[a-z0-9]+)"
    r"(?:/namespaces/(?P<namespace>[a-z0-9-]+))?/(?P<plural>[a-z]+)/(?P<name>[a-z0-9.-]+)"
)


class PoolTerms(BaseModel):
    """What a person says of one pool."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    scale: str | None = None
    """Path of the object whose nodes these are: anything with `/scale`, or a dynamic NodePool.
    Without it the pool is not scaled."""
    placeholder: str | None = None
    """Path of a Deployment of low-priority pods, one a node, that pre-warming scales; without it
    pre-warming scales the nodes themselves."""
    gpu_model: str | None = None
    """Its GPU as people say it; `nvidia.com/gpu.product` without it."""
    gpus_per_node: int | None = Field(None, ge=1, le=64)
    """GPUs in each node; as the nodes say without it."""
    owned_nodes: int | None = Field(None, ge=0)
    """Nodes that are ours, running or not; those that are not spot without it."""
    leased_nodes_limit: int = Field(0, ge=0)
    """Most nodes that may be had on top."""
    owned_idle_usd_per_gpu_hour: float = Field(0.0, ge=0)
    """Cost of an owned GPU that is switched on."""
    owned_busy_usd_per_gpu_hour: float = Field(0.0, ge=0)
    """Added cost of an owned GPU while it works."""
    leased_usd_per_gpu_hour: float = Field(0.0, ge=0)
    """Cost of a leased GPU, busy or not."""
    price_usd_per_gpu_hour: float | None = Field(None, gt=0)
    """The price at the start, while nobody has set another."""

    @field_validator("scale", "placeholder")
    @classmethod
    def _is_a_path(cls, path: str | None) -> str | None:
        if path is not None and not _OBJECT_PATH.fullmatch(path):
            raise ValueError(
                "an object's path is apis/GROUP/VERSION[/namespaces/NAMESPACE]/PLURAL/NAME, "
                "for example apis/karpenter.sh/v1/nodepools/h100"
            )
        return path if path is None or path.startswith("/") else f"/{path}"


class ClusterSettings(BaseModel):
    """How a cluster is reached and read; each field is `PILOTHOUSE_KUBERNETES_<field>`."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    kubeconfig: Path | None = None
    """A kubeconfig file. Without it, and without `in_cluster`, no cluster is read."""
    context: str | None = None
    """The kubeconfig's context; its current one without it."""
    in_cluster: bool = False
    """Whether the console runs in the cluster, by its pod's service account."""
    namespace: str = "pilothouse"
    """Namespace of the console's own Lease."""
    pools_file: Path | None = None
    """TOML file with what the pools cost and are scaled by; see `docs/kubernetes.md`."""
    pool_labels: str = ",".join(POOL_LABELS)
    """Labels that name a node's pool, separated by commas, the first that is there."""

    @property
    def is_given(self) -> bool:
        """Whether there is a cluster to read."""
        return self.in_cluster or self.kubeconfig is not None

    @cached_property
    def pools(self) -> dict[str, PoolTerms]:
        """What the pools file says, by pool; empty without one.

        Raises:
            NotConfigured: the file can't be read; the sentence says where.
        """
        return {} if self.pools_file is None else read_pools(self.pools_file)

    @property
    def pool_label_names(self) -> tuple[str, ...]:
        """The labels, in the order in which they are looked for."""
        return tuple(name.strip() for name in self.pool_labels.split(",") if name.strip())


def read_pools(path: Path) -> dict[str, PoolTerms]:
    """The pools of a TOML file.

    Raises:
        NotConfigured: it can't be read; the sentence says where.
    """
    try:
        said: dict[str, Any] = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise NotConfigured(f"{path} can't be read: {error}") from error
    strange = sorted(set(said) - {"pools"})
    if strange or not isinstance(said.get("pools", {}), dict):
        raise NotConfigured(f"{path}: {(*strange, 'pools')[0]}: it holds tables [pools.NAME] only")
    found: dict[str, PoolTerms] = {}
    for name, terms in said.get("pools", {}).items():
        try:
            found[name] = PoolTerms.model_validate(terms)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(["pools", name, *map(str, first["loc"])])
            raise NotConfigured(f"{path}: {where}: {first['msg']}") from error
    return found
