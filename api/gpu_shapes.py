"""How a node's GPUs look as JSON, with their MIG instances and all who hold a part of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from api.shapes import Shape


class HolderShape(Shape):
    """Who holds a GPU, an instance, or a part of either."""

    gpu_id: str
    """What is held: the UUID of a GPU, or of a MIG instance."""
    job_id: str | None
    """The job; null where the holder belongs to no job known."""
    tenant: str | None
    """Its tenant."""
    namespace: str | None
    """The pod's namespace."""
    pod: str | None
    """The pod."""
    container: str | None
    """The container in it."""
    sharing: str
    """How the GPU is given out: whole, mig, time_sliced or mps."""
    share_ratio: float
    """Part of the physical GPU, 0 to 1."""
    measured_at: datetime
    """When it was seen."""


class InstanceShape(Shape):
    """A MIG instance as last read. What nobody tells is null."""

    gpu_id: str
    """The instance's UUID."""
    mig_profile: str | None
    """Its profile, for example `1g.10gb`."""
    utilisation_ratio: float | None
    """Share of time in which its engine was active, where a profiler tells; NVML does not."""
    memory_used_bytes: int | None
    """Its memory in use."""
    memory_total_bytes: int | None
    """Its memory."""
    process_count: int | None
    """Compute processes on it."""
    measured_at: datetime
    """When it was read."""


class NodeGpuShape(Shape):
    """A whole GPU of a node, its instances and its holders."""

    gpu_id: str
    """The GPU's UUID."""
    slot: int
    """Its index in the node, from 0."""
    gpu_model: str | None
    """Product name as the driver says it."""
    sharing: str | None
    """How it is given out: whole, mig, time_sliced or mps; null where nobody tells."""
    utilisation_ratio: float | None
    """Share of the last interval in which a kernel ran: the GPU's, whoever shares it."""
    memory_used_bytes: int | None
    """Device memory in use."""
    memory_total_bytes: int | None
    """Device memory present."""
    power_watts: float | None
    """Power drawn."""
    power_limit_watts: float | None
    """Power cap in force."""
    temperature_celsius: float | None
    """Core temperature."""
    job_id: str | None
    """The job that holds it; null too where several do."""
    source: str
    """The collector that read it."""
    measured_at: datetime
    """When it was read."""
    instances: list[InstanceShape]
    """Its MIG instances; none where it isn't cut up."""
    holders: list[HolderShape]
    """All who hold it, one of its instances, or a part."""


def node_gpus(
    samples: pl.DataFrame, instances: pl.DataFrame, holders: pl.DataFrame
) -> list[dict[str, Any]]:
    """The newest sample of each whole GPU, with what is cut from it and who holds it."""
    whole = samples.filter(pl.col("parent_gpu_id").is_null()).sort("measured_at")
    cut, held = instances.to_dicts(), holders.to_dicts()
    answer = []
    for gpu in whole.unique("gpu_id", keep="last").sort("slot", "gpu_id").to_dicts():
        own = [each for each in cut if each["parent_gpu_id"] == gpu["gpu_id"]]
        parts = {gpu["gpu_id"], *(each["gpu_id"] for each in own)}
        has = [each for each in held if each["gpu_id"] in parts]
        answer.append({**gpu, "instances": own, "holders": has})
    return answer
