"""The other side of the books: where every physical GPU-hour of a pool went, and how far what was
metered may lie from what the GPUs' own readings show.
"""

from __future__ import annotations

import polars as pl

_POOL = ["hour", "pool"]
_KIND = ["hour", "pool", "kind"]
_ROUNDING = 1e-9


def fleet_rows(
    rows: pl.DataFrame,
    nodes: pl.DataFrame,
    read: pl.DataFrame,
    rolled: pl.DataFrame,
    held: pl.DataFrame,
    rates: pl.DataFrame,
) -> pl.DataFrame:
    """Rows of `fleet_hours` without a `run_id`, and `metered_gpu_hours` besides.

    `rows` are metered pieces by node, `held` the uncut segments of jobs, of which a start or an end
    each widens the bound by one gap between readings.
    """
    metered = rows.group_by(_POOL).agg(
        metered=pl.col("hours").sum(),
        revenue=(pl.col("hours") * pl.col("price")).sum(),
    )
    physical = nodes.group_by(_POOL).agg(
        pl.col("hours", "in_service_hours", "cordoned_hours", "silent_hours").sum()
    )
    every = (
        physical.join(metered, on=_POOL, how="full", coalesce=True)
        .join(_observed(read, rolled), on=_POOL, how="left")
        .join(_costs(rows, nodes, read, rates), on=_POOL, how="left")
        .with_columns(
            pl.col("metered", "revenue", "hours", "in_service_hours", "cordoned_hours",
                   "silent_hours").fill_null(0.0)
        )
    )  # fmt: skip
    placed = _placed(every).join(_bounds(held, every), on=_POOL, how="left")
    observed = pl.col("observed")
    return placed.select(
        "pool",
        physical_gpu_hours="hours",
        allocated_gpu_hours="allocated",
        observed_gpu_hours=observed,
        idle_gpu_hours=pl.col("free") - pl.col("unread"),
        cordoned_gpu_hours="cordoned",
        down_gpu_hours="down",
        unread_gpu_hours="unread",
        difference_gpu_hours=(pl.col("metered") - observed).fill_null(0.0),
        bound_gpu_hours=pl.col("changes").fill_null(0.0) + pl.col("missed") + _ROUNDING,
        revenue_usd="revenue",
        cost_usd="cost",
        hour_starts_at="hour",
        metered_gpu_hours="metered",
    ).sort("hour_starts_at", "pool")


def _placed(every: pl.DataFrame) -> pl.DataFrame:
    """Every physical hour in one place: first what was metered, then what nodes were, then the
    rest, which is unread for the share of the time that nobody looked and idle else."""
    zero = pl.lit(0.0)
    missed = pl.max_horizontal(
        zero,
        pl.when(pl.col("read").is_null())
        .then("silent_hours")
        .otherwise(pl.col("in_service_hours") - pl.col("read")),
    )
    down = pl.col("hours") - pl.col("in_service_hours")
    room = pl.col("hours") - pl.col("allocated")
    return (
        every.with_columns(allocated=pl.min_horizontal("metered", "hours"), missed=missed)
        .with_columns(
            cordoned=pl.max_horizontal(zero, pl.min_horizontal("cordoned_hours", room - down))
        )
        .with_columns(down=pl.min_horizontal(down, room - pl.col("cordoned")))
        .with_columns(free=(room - pl.col("cordoned") - pl.col("down")).clip(lower_bound=0.0))
        .with_columns(
            unread=pl.col("free")
            * pl.when(pl.col("in_service_hours") > 0)
            .then((pl.col("missed") / pl.col("in_service_hours")).clip(0.0, 1.0))
            .otherwise(0.0)
        )
    )


def _observed(read: pl.DataFrame, rolled: pl.DataFrame) -> pl.DataFrame:
    """GPU-hours read and those seen held, a pool and hour; of raw readings where there are any."""
    whole = (~pl.col("is_instance")).cast(pl.Float64)
    raw = read.group_by(_POOL).agg(
        read=(pl.col("held_hours") * whole).sum(),
        observed=pl.when(pl.col("tells").any()).then(pl.col("busy_or_held_hours").sum()),
        widest=pl.col("widest_hours").max(),
    )
    of_rolled = (
        rolled.join(raw, on=_POOL, how="anti")
        .group_by(_POOL)
        .agg(
            read=pl.col("read_hours").sum(),
            observed=pl.when(pl.col("held_hours").count() > 0).then(pl.col("held_hours").sum()),
            widest=pl.col("widest_hours").max(),
        )
    )
    return pl.concat([raw, of_rolled], how="vertical_relaxed")


def _bounds(held: pl.DataFrame, every: pl.DataFrame) -> pl.DataFrame:
    """Of each pool and hour: GPUs that changed hands in it, or just before, times the widest gap.

    A reading before a start says free until the next one, a reading before an end says held: each
    moves at most the GPUs of the job times what of the gap around it lies in the hour. A gap across
    the border of an hour has a part on each side, neither longer than that hour's widest.
    """
    changes = pl.concat(
        [
            held.select("pool", "gpus", at=pl.col(name)).filter(pl.col("at").is_not_null())
            for name in ("began_at", "ended_at")
        ]
    )
    widest = every.select(*_POOL, pl.col("widest").fill_null(0.0))
    gap = pl.duration(microseconds=(pl.col("widest") * 7.2e9).cast(pl.Int64))
    near = changes.with_columns(hour=pl.col("at").dt.truncate("1h"))
    after = near.with_columns(hour=pl.col("hour").dt.offset_by("1h"))
    return (
        pl.concat([near, after])
        .join(widest, on=_POOL)
        .filter(pl.col("at") + gap >= pl.col("hour"))
        .group_by(_POOL)
        .agg(changes=(pl.col("gpus") * pl.col("widest")).sum())
    )


def _costs(
    rows: pl.DataFrame, nodes: pl.DataFrame, read: pl.DataFrame, rates: pl.DataFrame
) -> pl.DataFrame:
    """What a whole pool cost us, idle GPUs included; null where a rate is not known."""
    kinds = nodes.select("hour", "node_id", "kind").unique(["hour", "node_id"])
    power = (
        read.filter(~pl.col("is_instance"))
        .join(kinds, on=["hour", "node_id"])
        .group_by(_KIND)
        .agg(pl.col("powered_hours").sum(), pl.col("kilowatt_hours").sum())
    )
    allocated = rows.group_by(_KIND).agg(allocated=pl.col("hours").sum())
    known = (
        nodes.group_by(_KIND)
        .agg(pl.col("hours", "on_hours").sum())
        .join(allocated, on=_KIND, how="left")
        .join(power, on=_KIND, how="left")
        .with_columns(pl.col("allocated", "powered_hours", "kilowatt_hours").fill_null(0.0))
        .join(rates, on=_KIND, how="left")
    )
    on = pl.col("on_hours")
    busy = pl.min_horizontal("allocated", "on_hours")
    idle = on - busy
    unpowered = pl.when(on > 0).then((1 - pl.col("powered_hours") / on).clip(0.0, 1.0)).otherwise(0)
    drawn = pl.col("kilowatt_hours") + unpowered * (
        busy * pl.col("busy_kilowatts") + idle * pl.col("idle_kilowatts")
    )
    due = pl.when(pl.col("kind") == "leased").then("on_hours").otherwise("hours")
    cost = (
        pl.col("fixed_usd") * due
        + pl.col("idle_usd") * idle
        + pl.col("busy_usd") * busy
        + pl.col("kilowatt_hour_usd") * drawn
    )
    return (
        known.with_columns(cost=cost)
        .group_by(_POOL)
        .agg(cost=pl.when(pl.col("cost").is_not_null().all()).then(pl.col("cost").sum()))
    )
