"""How hard the GPUs of jobs worked and what they drew: allocated pieces joined with readings."""

from __future__ import annotations

import polars as pl

TERMS = ("hour", "job_id", "tenant", "user_id", "pool", "sharing", "pricing", "price")
MEASURES = ("used", "measured", "powered", "kilowatt_hours")
AT_NODE = ["hour", "node_id"]
OF_JOB = ["hour", "node_id", "job_id"]


def by_terms(pieces: pl.DataFrame, read: pl.DataFrame, rolled: pl.DataFrame) -> pl.DataFrame:
    """Pieces by terms and node, with what was measured of them."""
    named = read.filter(pl.col("job_id").is_not_null())
    kinds = named.group_by("hour", "job_id").agg(seen_sharing=pl.col("sharing").max())
    rows = (
        pieces.join(kinds, on=["hour", "job_id"], how="left")
        .with_columns(
            sharing=pl.coalesce(
                "seen_sharing",
                pl.when(pl.col("share").fill_null(1.0) < 1).then(pl.lit("time_sliced")),
                pl.lit("whole"),
            )
        )
        .group_by(*TERMS, "node_id")
        .agg(pl.col("hours").sum(), known_sum("list_cost"))
    )
    of_job = named.group_by(OF_JOB).agg(
        held=pl.col("held_hours").sum(), u=known_sum("used_hours"), m=known_sum("measured_hours"),
        p=known_sum("powered_hours"), k=known_sum("kilowatt_hours"),
    )  # fmt: skip
    hours, total = pl.col("hours"), pl.col("hours").sum().over(OF_JOB)
    part = pl.min_horizontal(1.0, total / pl.col("held")) * hours / total
    rate = _node_rates(rows, read, rolled)
    return (
        rows.join(of_job, on=OF_JOB, how="left")
        .join(rate, on=AT_NODE, how="left")
        .with_columns(
            used=pl.coalesce(pl.col("u") * part, hours * pl.col("used_rate")),
            measured=pl.coalesce(pl.col("m") * part, hours * pl.col("measured_rate")),
            powered=pl.coalesce(pl.col("p") * part, hours * pl.col("powered_rate")),
            kilowatt_hours=pl.coalesce(pl.col("k") * part, hours * pl.col("kilowatts")),
        )
        .select(*TERMS, "node_id", "hours", "list_cost", *MEASURES)
    )


def _node_rates(rows: pl.DataFrame, read: pl.DataFrame, rolled: pl.DataFrame) -> pl.DataFrame:
    """What an allocated GPU-hour of a node was used and drew, where its readings name no holder:
    the node's sums over what was held of it."""
    held = rows.group_by(AT_NODE).agg(allocated=pl.col("hours").sum())
    of_node = (
        read.filter(~pl.col("is_instance"))
        .group_by(AT_NODE)
        .agg(
            all_hours=pl.col("held_hours").sum(),
            u=known_sum("used_hours"), m=known_sum("measured_hours"), p=known_sum("powered_hours"),
            k=known_sum("kilowatt_hours"),
            is_named=(pl.col("job_id").is_not_null() | pl.col("tenant").is_not_null()).any(),
        )
        .filter(~pl.col("is_named"))
        .join(held, on=AT_NODE)
    )  # fmt: skip
    unnamed = of_node.select(
        *AT_NODE,
        used_rate=pl.min_horizontal(1.0, pl.col("u") / pl.col("allocated")),
        measured_rate=pl.col("m") / pl.col("all_hours"),
        powered_rate=pl.col("p") / pl.col("all_hours"),
        kilowatts=pl.col("k") / pl.col("all_hours"),
    )
    summed = rolled.join(read.select(AT_NODE).unique(), on=AT_NODE, how="anti").filter(
        pl.col("held_hours") > 0
    )
    of_rolled = summed.select(
        *AT_NODE,
        used_rate=pl.min_horizontal(1.0, pl.col("used_hours") / pl.col("held_hours")),
        measured_rate=pl.when(pl.col("used_hours").is_not_null()).then(1.0),
        powered_rate=pl.when(pl.col("held_kilowatt_hours").is_not_null()).then(1.0),
        kilowatts=pl.col("held_kilowatt_hours") / pl.col("held_hours"),
    )
    return pl.concat([unnamed, of_rolled], how="vertical_relaxed").unique(AT_NODE, keep="first")


def known_sum(name: str) -> pl.Expr:
    """The sum of what is known; null where nothing is."""
    return pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name)
