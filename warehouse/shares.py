"""What is asked of GPUs that are cut up or shared: their MIG instances, and who holds which part.

Each source has a clock of its own, so newest is reckoned source by source and never by ours. An
instance or a holder that the newest reading of its GPU no longer tells is gone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction

import polars as pl

from warehouse import rollups
from warehouse.store import Store

READING_WINDOW = timedelta(minutes=15)
"""A GPU that was not read for this long before its source's newest reading is gone."""
LEAST_PART = 64
"""Shares are parts of no more than so many: 7 slices, each taken by 8 in turn, make 56."""


def instances(store: Store, node_id: str, *, since: datetime) -> pl.DataFrame:
    """A row a MIG instance of a node's GPUs as last read since an instant, by GPU and profile.

    NVML tells no utilisation of an instance; DCGM tells `engine_active_ratio` where it profiles.
    """
    return store.query(
        """
        WITH mine AS (
            SELECT coalesce(parent_gpu_id, gpu_id) AS device_id, * FROM gpu_samples
            WHERE node_id = $node_id AND measured_at >= $since
        ), newest AS (
            SELECT device_id, arg_max(source, measured_at) AS source,
                max(measured_at) AS measured_at
            FROM mine GROUP BY device_id
        )
        SELECT gpu_id, parent_gpu_id, slot, gpu_model, mig_profile,
            coalesce(engine_active_ratio, utilisation_ratio) AS utilisation_ratio,
            memory_used_bytes, memory_total_bytes, process_count, job_id, tenant, source,
            measured_at
        FROM mine JOIN newest USING (device_id, source, measured_at)
        WHERE parent_gpu_id IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY gpu_id ORDER BY stored_at DESC) = 1
        ORDER BY slot, mig_profile DESC, gpu_id
        """,
        node_id=node_id,
        since=since,
    )


def holders(store: Store, node_id: str, *, since: datetime) -> pl.DataFrame:
    """A row a holder of a node's GPUs and instances as last read since an instant.

    `gpu_id` is what it holds, an instance where that is one. Of two sources that tell of a GPU the
    one that told last is heard.
    """
    return store.query(
        """
        WITH mine AS (
            SELECT gpu_id, coalesce(parent_gpu_id, gpu_id) AS device_id, source, measured_at
            FROM gpu_samples WHERE node_id = $node_id AND measured_at >= $since
        ), newest AS (
            SELECT device_id, source, max(measured_at) AS read_at FROM mine
            GROUP BY device_id, source
        ), read AS (
            SELECT DISTINCT gpu_id, source, read_at FROM mine JOIN newest USING (device_id, source)
        )
        SELECT s.gpu_id, s.job_id, s.tenant, s.namespace, s.pod, s.container, s.sharing,
            s.share_ratio, s.source, s.measured_at
        FROM gpu_shares s LEFT JOIN read USING (gpu_id, source)
        WHERE s.node_id = $node_id AND s.measured_at >= $since
            AND (read_at IS NULL OR s.measured_at >= read_at)
        QUALIFY dense_rank() OVER (
            PARTITION BY s.gpu_id ORDER BY s.measured_at DESC, s.source
        ) = 1
        ORDER BY s.gpu_id, s.namespace, s.pod, s.container, s.job_id
        """,
        node_id=node_id,
        since=since,
    )


def shared_gpus(store: Store) -> pl.DataFrame:
    """A row a GPU of the fleet that is cut up or shared now: how, and by how many.

    `instance_count` are its MIG instances, `holder_count` those who hold a part of it,
    `held_ratio` the part of it that is held; `jobs` and `tenants` are theirs.
    """
    clocks = rollups.source_clocks(store)
    span = {
        "sources": list(clocks),
        "newest": list(clocks.values()),
        "window": READING_WINDOW.total_seconds(),
        "oldest": min(clocks.values(), default=_EPOCH) - READING_WINDOW,
    }
    # Most fleets share nothing, and of those that do most GPUs are whole: the rest is asked of few.
    devices = store.query(_CANDIDATES, **span)["device_id"].to_list()
    return store.query(_SHARED_NOW, **span, devices=devices)


_CLOCK = """
    clock AS (
        SELECT unnest($sources::VARCHAR[]) AS source, unnest($newest::TIMESTAMPTZ[]) AS newest_at
    )
"""
_IN_WINDOW = """
    measured_at > $oldest AND measured_at > newest_at - to_seconds($window)
    AND measured_at <= newest_at
"""
_CANDIDATES = f"""
    WITH {_CLOCK}
    SELECT DISTINCT coalesce(parent_gpu_id, gpu_id) AS device_id
    FROM gpu_samples JOIN clock USING (source)
    WHERE {_IN_WINDOW}
        AND (parent_gpu_id IS NOT NULL OR sharing IN ('mig', 'time_sliced', 'mps'))
"""
_SHARED_NOW = f"""
    WITH {_CLOCK}, sample AS (
        SELECT coalesce(parent_gpu_id, gpu_id) AS device_id, gpu_id, parent_gpu_id, node_id, slot,
            sharing, source, measured_at
        FROM gpu_samples JOIN clock USING (source)
        WHERE {_IN_WINDOW} AND list_contains($devices::VARCHAR[], coalesce(parent_gpu_id, gpu_id))
    ), newest AS (
        SELECT device_id, arg_max(source, measured_at) AS source, max(measured_at) AS measured_at
        FROM sample GROUP BY device_id
    ), device AS (
        SELECT device_id, source, measured_at, any_value(node_id) AS node_id,
            any_value(slot) AS slot,
            coalesce(any_value(sharing) FILTER (parent_gpu_id IS NULL),
                any_value(sharing)) AS sharing,
            count(DISTINCT gpu_id) FILTER (parent_gpu_id IS NOT NULL) AS instance_count,
            list(DISTINCT gpu_id) AS parts
        FROM sample JOIN newest USING (device_id, source, measured_at)
        GROUP BY device_id, source, measured_at
    ), part AS (
        SELECT device_id, measured_at, unnest(parts) AS gpu_id FROM device
    ), share AS (
        SELECT gpu_id, share_ratio, job_id, tenant, source, measured_at
        FROM gpu_shares JOIN clock USING (source) WHERE {_IN_WINDOW}
    ), held AS (
        SELECT device_id, count(*) AS holder_count, sum(share_ratio) AS held_ratio,
            list(DISTINCT job_id ORDER BY job_id) FILTER (job_id IS NOT NULL) AS jobs,
            list(DISTINCT tenant ORDER BY tenant) FILTER (tenant IS NOT NULL) AS tenants
        FROM (
            SELECT device_id, share_ratio, job_id, tenant FROM share JOIN part USING (gpu_id)
            WHERE share.measured_at >= part.measured_at
            QUALIFY dense_rank() OVER (
                PARTITION BY gpu_id ORDER BY share.measured_at DESC, source
            ) = 1
        ) GROUP BY device_id
    )
    SELECT device_id AS gpu_id, node_id, slot,
        coalesce(sharing, 'mig') AS sharing, instance_count,
        coalesce(holder_count, 0) AS holder_count, least(coalesce(held_ratio, 0), 1) AS held_ratio,
        coalesce(jobs, []) AS jobs, coalesce(tenants, []) AS tenants, measured_at
    FROM device LEFT JOIN held USING (device_id)
    WHERE instance_count > 0 OR sharing IN ('mig', 'time_sliced', 'mps')
    ORDER BY node_id, slot
"""
_EPOCH = datetime.fromisoformat("1970-01-02T00:00:00+00:00")


def part_words(share_ratio: float | None) -> str | None:
    """A share as people say it: `1/4`, `3/7`, `1` for a whole GPU; None where it is not told."""
    if share_ratio is None:
        return None
    part = Fraction(share_ratio).limit_denominator(LEAST_PART)
    return str(part) if part else f"{share_ratio:.3f}"


def replica_count(share_ratios: list[float]) -> int | None:
    """Into how many equal parts a shared GPU is given out; None where nobody holds one."""
    smallest = min(share_ratios, default=0.0)
    return round(1 / smallest) if smallest > 0 else None
