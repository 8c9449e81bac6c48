"""Who held what by the events of jobs: exact to the microsecond, cut at hours and price changes.

A job holds its GPUs from `started` or `migrated` to its next event of another kind. A checkpoint
says only that it runs: it begins the time where nothing was told before, and ends none. Prices are
those locked for the job, else those of the list when it was submitted: see `docs/metering.md`.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from warehouse.schema import INSTANT
from warehouse.store import Store

HOUR_MICROSECONDS = 3_600_000_000

RANKS = {"submitted": 0, "preempted": 1, "started": 2, "checkpointed": 3, "migrated": 4}
"""The natural order of two events of one instant, as `jobs.py` has it; an end comes last."""
LAST_RANK = 5
HOLDING = ("started", "migrated", "checkpointed")

_EVENTS = """
    WITH past AS (
        SELECT job_id, count(*) FILTER (event = 'checkpointed') AS checkpoints,
            arg_max(event, epoch_us(happened_at) * 10 + CASE event WHEN 'submitted' THEN 0
                WHEN 'preempted' THEN 1 WHEN 'started' THEN 2 WHEN 'migrated' THEN 4 ELSE 5 END
            ) FILTER (event <> 'checkpointed') AS last_event
        FROM job_events WHERE happened_at < $since GROUP BY job_id
        HAVING last_event IN ('started', 'migrated')
            OR (coalesce(last_event, 'submitted') = 'submitted' AND checkpoints > 0)
    ), told AS (
        SELECT DISTINCT job_id FROM job_events WHERE happened_at >= $since AND happened_at <= $until
        UNION SELECT job_id FROM past
    )
    SELECT job_id, tenant, pool, event, gpu_count, node_ids,
        price_usd_per_gpu_hour::DOUBLE AS price, user_id, share_ratio::DOUBLE AS share, pricing,
        happened_at
    FROM job_events SEMI JOIN told USING (job_id) WHERE happened_at <= $until
"""
"""Every event of the jobs that may hold something in the span."""

_PRICES = """
    SELECT pool, price_usd_per_gpu_hour::DOUBLE AS list_price, in_force_from_at AS from_at
    FROM price_list WHERE in_force_from_at < $until
    QUALIFY row_number() OVER (PARTITION BY pool, in_force_from_at ORDER BY rowid DESC) = 1
    ORDER BY from_at
"""


def prices(store: Store, *, until: datetime) -> pl.DataFrame:
    """The price list up to an instant: `pool`, `list_price`, `from_at`, in time order."""
    return store.query(_PRICES, until=until)


def segments(
    store: Store, listed: pl.DataFrame, *, since: datetime, until: datetime
) -> pl.DataFrame:
    """The times for which jobs held GPUs in a span, each under one set of terms.

    `starts_at` and `ends_at` are cut to the span; `began_at` and `ended_at` are not, the latter
    null where no end is known. `gpus` counts shares as such. `price` is the one agreed, null where
    none is known.
    """
    events = _in_order(store.query(_EVENTS, since=since, until=until))
    held = events.filter(
        pl.col("event").is_in(HOLDING)
        & (pl.col("ended_at").is_null() | (pl.col("ended_at") > pl.col("happened_at")))
    ).with_columns(
        gpus=pl.col("gpu_count") * pl.col("share").fill_null(1.0),
        began_at=pl.col("happened_at"),
        starts_at=pl.max_horizontal(pl.col("happened_at"), pl.lit(since)),
        ends_at=pl.min_horizontal(pl.col("ended_at").fill_null(until), pl.lit(until)),
    )
    return _priced(held.filter(pl.col("ends_at") > pl.col("starts_at")), listed).select(
        "job_id", "tenant", "user_id", "pool", "pricing", "share", "node_ids", "gpus", "price",
        "began_at", "ended_at", "starts_at", "ends_at",
    )  # fmt: skip


def _in_order(events: pl.DataFrame) -> pl.DataFrame:
    """Each event once, in its order, with what was told before it carried on."""
    rank = pl.col("event").replace_strict(RANKS, default=LAST_RANK, return_dtype=pl.Int64)
    told = pl.when(pl.col("event") != "checkpointed").then("event")
    submitted = pl.col("event") == "submitted"
    ordered = (
        events.unique(subset=["job_id", "event", "happened_at", "pool", "node_ids"])
        .sort("job_id", "happened_at", rank, "pool", "node_ids")
        .with_columns(
            pl.col("price").forward_fill().backward_fill().over("job_id"),
            pl.col("user_id", "pricing", "share").forward_fill().over("job_id"),
            before=told.shift(1).forward_fill().over("job_id"),
        )
        .filter(
            (pl.col("event") != "checkpointed")
            | (pl.col("before").fill_null("submitted") == "submitted")
        )
    )
    return ordered.with_columns(
        pl.col("happened_at").shift(-1).over("job_id").alias("ended_at"),
        _carried(pl.col("happened_at"), submitted).alias("asked_at"),
        _carried(pl.col("pool"), submitted).alias("asked_pool"),
    ).with_columns(pl.col("pricing").fill_null("standard"))


def _carried(value: pl.Expr, submitted: pl.Expr) -> pl.Expr:
    """Its value at the latest submission, else at the job's first event."""
    return pl.coalesce(
        pl.when(submitted).then(value).forward_fill().over("job_id"),
        value.first().over("job_id"),
    )


def _priced(held: pl.DataFrame, listed: pl.DataFrame) -> pl.DataFrame:
    """A job for which no price was locked pays the list's of when it was submitted."""
    found = held.sort("asked_at").join_asof(
        listed.rename({"pool": "asked_pool", "list_price": "asked_price"}),
        left_on="asked_at",
        right_on="from_at",
        by="asked_pool",
        check_sortedness=False,
    )
    return found.with_columns(pl.coalesce("price", "asked_price").alias("price"))


def cut_at_hours(held: pl.DataFrame) -> pl.DataFrame:
    """Segments cut at whole hours: a row each, with its `hour`."""
    return (
        held.with_columns(
            hour=pl.datetime_ranges(
                pl.col("starts_at").dt.truncate("1h"), pl.col("ends_at"), "1h", closed="left"
            )
        )
        .explode("hour", empty_as_null=False)
        .with_columns(
            pl.col("hour").cast(INSTANT),
            starts_at=pl.max_horizontal("starts_at", "hour"),
            ends_at=pl.min_horizontal("ends_at", pl.col("hour").dt.offset_by("1h")),
        )
        .filter(pl.col("ends_at") > pl.col("starts_at"))
    )


def costed(cut: pl.DataFrame, listed: pl.DataFrame) -> pl.DataFrame:
    """With `hours` (GPU-hours) and `list_cost` (USD at the list's prices while it lasted)."""
    numbered = cut.with_row_index("piece")
    return (
        numbered.with_columns(
            hours=_hours(pl.col("ends_at") - pl.col("starts_at")) * pl.col("gpus")
        )
        .join(_list_cost(numbered, listed), on="piece", how="left")
        .drop("piece")
    )


def _list_cost(cut: pl.DataFrame, listed: pl.DataFrame) -> pl.DataFrame:
    """Of each piece the cost at the list's prices while it lasted; none where none was in force."""
    if cut.is_empty():
        return pl.DataFrame(schema={"piece": pl.UInt32, "list_cost": pl.Float64})
    in_force = (
        listed.sort("pool", "from_at")
        .with_columns(to_at=pl.col("from_at").shift(-1).over("pool"))
        .filter(
            (pl.col("to_at").is_null() | (pl.col("to_at") > cut["starts_at"].min()))
            & (pl.col("from_at") < cut["ends_at"].max())
        )
    )
    spans = cut.join(in_force, on="pool").with_columns(
        start=pl.max_horizontal("starts_at", "from_at"),
        end=pl.min_horizontal("ends_at", pl.col("to_at").fill_null(pl.col("ends_at"))),
    )
    return (
        spans.filter(pl.col("end") > pl.col("start"))
        .with_columns(
            cost=_hours(pl.col("end") - pl.col("start")) * pl.col("gpus") * pl.col("list_price")
        )
        .group_by("piece")
        .agg(list_cost=pl.col("cost").sum())
    )


def _hours(span: pl.Expr) -> pl.Expr:
    return span.dt.total_microseconds() / HOUR_MICROSECONDS


def by_node(cut: pl.DataFrame) -> pl.DataFrame:
    """Pieces by node: a job's hours spread evenly over the nodes it holds, `node_id` null where the
    event named none."""
    named = cut.with_columns(node_id=pl.col("node_ids").str.json_decode(pl.List(pl.String)))
    count = pl.col("node_id").list.len().clip(lower_bound=1)
    return (
        named.with_columns(
            hours=pl.col("hours") / count,
            list_cost=pl.col("list_cost") / count,
            node_id=pl.when(pl.col("node_id").list.len() > 0).then("node_id"),
        )
        .explode("node_id", empty_as_null=True)
        .drop("node_ids")
    )
