"""How many GPUs were delivered, and how many of them are sound, promised and busy.

    delivered   in nodes that are here, on or off; not those still on their way
    healthy     of those, in nodes that are active and nothing speaks against
    reserved    of those delivered, held by a job
    in use      of those reserved, a kernel ran in the last reading

All as last read, a node by the newest row that its source told.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from warehouse import fleet, healing
from warehouse.store import Store

By = Literal["node", "pool"]
NODES_MAX = 100_000

FIGURES = ("gpus_delivered", "gpus_healthy", "gpus_reserved", "gpus_in_use")


def capacity(store: Store, by: By = "pool", *, pool: str | None = None) -> pl.DataFrame:
    """A row a pool or node, in order: `pool`, of nodes `node_id`, the four `FIGURES`, and
    `measured_at`, the oldest reading that it rests on.

    `gpus_in_use` is null where no GPU of it was read.
    """
    nodes = fleet.nodes(store, pool=pool, limit=NODES_MAX).rows
    ill = [each.node_id for each in healing.suspects(store)]
    is_here = pl.col("state") != "provisioning"
    is_sound = (pl.col("state") == "active") & ~pl.col("node_id").is_in(ill)
    each_node = nodes.join(_busy(store), on="node_id", how="left").select(
        "pool",
        "node_id",
        pl.when(is_here).then("gpu_count").otherwise(0).alias("gpus_delivered"),
        pl.when(is_sound).then("gpu_count").otherwise(0).alias("gpus_healthy"),
        pl.col("gpus_used").alias("gpus_reserved"),
        # The two may be of different instants, and a null is no 0.
        pl.when(pl.col("gpus_busy").is_not_null())
        .then(pl.min_horizontal("gpus_busy", "gpus_used"))
        .alias("gpus_in_use"),
        "measured_at",
    )
    if by == "node":
        return each_node.sort("pool", "node_id", nulls_last=True)
    in_use = pl.col("gpus_in_use")
    return (
        each_node.group_by("pool")
        .agg(
            pl.sum("gpus_delivered", "gpus_healthy", "gpus_reserved"),
            pl.when(in_use.is_not_null().any()).then(in_use.sum()).alias("gpus_in_use"),
            pl.min("measured_at"),
        )
        .sort("pool", nulls_last=True)
    )


def _busy(store: Store) -> pl.DataFrame:
    """By node, the GPUs that a job holds and on which a kernel ran."""
    is_busy = pl.col("job_id").is_not_null() & (pl.col("utilisation_ratio") > 0)
    return fleet.gpu_map(store).group_by("node_id").agg(is_busy.sum().alias("gpus_busy"))
