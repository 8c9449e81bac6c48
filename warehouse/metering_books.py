"""The books of whole hours: what each job had of each pool, and where every physical GPU-hour went.

Two frames are made of a span: rows of `metered_hours` and of `fleet_hours`. What the events of jobs
tell is believed to the microsecond; readings say how hard the GPUs worked, who held those that no
event speaks of, and where an end was never told. `docs/metering.md` derives the bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from warehouse import metering_allocations as allocations
from warehouse import metering_nodes, metering_readings, unit_costs
from warehouse.fleet_books import fleet_rows
from warehouse.metering_used import AT_NODE, MEASURES, TERMS, by_terms, known_sum
from warehouse.schema import INSTANT
from warehouse.store import Store

LOST_AFTER = timedelta(minutes=10)
"""A job whose end was not told and that readings of its nodes do not show for so long has ended."""
SPOT_TENANT = "spot"
"""Whom the simulated fleet's readings name on GPUs that it sells from hour to hour."""
UNKNOWN_TENANT = "unknown"
UNNAMED = "unnamed/"
"""What the `job_id` of a holder begins with of whom readings tell the tenant and no job."""


@dataclass(frozen=True)
class Books:
    """What one span came to."""

    hours: pl.DataFrame
    """Rows of `metered_hours`, without a `run_id`."""
    fleet: pl.DataFrame
    """Rows of `fleet_hours`, without one; `metered_gpu_hours` besides."""
    has_readings: pl.DataFrame
    """`hour` and `pool` for which raw readings were there, all of them."""
    endless: list[str]
    """Jobs whose end is not told: where readings are gone, nothing can show that they ended."""


def books(store: Store, *, since: datetime, until: datetime) -> Books:
    """Meter the whole hours of a span; writes nothing."""
    listed = allocations.prices(store, until=until)
    held = allocations.segments(store, listed, since=since - metering_readings.GAP, until=until)
    read = metering_readings.held_by(store, since=since, until=until)
    rolled = metering_readings.rolled_up(store, since=since, until=until)
    nodes = metering_nodes.nodes(store, since=since, until=until)
    if not read.is_empty():
        unlisted = metering_nodes.unlisted(store, nodes, since=since, until=until)
        nodes = pl.concat([nodes, unlisted], how="vertical_relaxed")
    cut = allocations.cut_at_hours(held).filter(pl.col("hour") >= since)
    cut = without_lost(cut, read)
    rows = by_terms(allocations.by_node(allocations.costed(cut, listed)), read, rolled)
    rows = pl.concat([rows, _only_read(rows, read, listed)], how="diagonal_relaxed")
    rows = _spot_priced(store, rows, since, until)
    rates = unit_costs.rates(store, _hours_of(since, until))
    rows = _at_cost(rows, nodes, rates)
    models = _models(store)
    fleet = fleet_rows(rows, nodes, read, rolled, held, rates)
    return Books(
        hours=_summed(rows).join(models, on="pool", how="left"),
        fleet=fleet.join(models.drop("region"), on="pool", how="left"),
        has_readings=_complete(read, rolled),
        endless=held.filter(pl.col("ended_at").is_null())["job_id"].unique().to_list(),
    )


def _hours_of(since: datetime, until: datetime) -> pl.Series:
    last = until - timedelta(hours=1)
    return pl.datetime_range(since, last, "1h", eager=True).cast(INSTANT).alias("hour")


def _models(store: Store) -> pl.DataFrame:
    return store.query(
        """
        SELECT pool, gpu_model, region FROM pools QUALIFY row_number() OVER (
            PARTITION BY pool ORDER BY recorded_at DESC, rowid DESC) = 1
        """
    )


def _complete(read: pl.DataFrame, rolled: pl.DataFrame) -> pl.DataFrame:
    """Pool-hours whose raw rows are all there: as many as the roll-ups counted."""
    counted = rolled.group_by("hour", "pool").agg(rolled=pl.col("readings").sum())
    return (
        read.group_by("hour", "pool")
        .agg(pl.col("readings").sum())
        .join(counted, on=["hour", "pool"], how="left")
        .filter(pl.col("readings") >= pl.col("rolled").fill_null(0))
        .select("hour", "pool")
    )


# -- ends that nobody told ---------------------------------------------------------------


def without_lost(cut: pl.DataFrame, read: pl.DataFrame) -> pl.DataFrame:
    """Pieces of jobs whose end was never told, cut off where the readings show them no more.

    Only where the readings of the pool know at least half of its jobs by name in that hour: a
    source that names holders otherwise, or not at all, contradicts nobody.
    """
    if cut.is_empty() or read.is_empty():
        return cut
    seen = read.filter(pl.col("job_id").is_not_null()).group_by("hour", "job_id").agg(
        pl.col("held_until").max()
    )  # fmt: skip
    told = read.filter("tells").group_by(AT_NODE).agg(pl.col("last_at").max())
    of_jobs = (
        cut.with_row_index("piece")
        .with_columns(node_id=pl.col("node_ids").str.json_decode(pl.List(pl.String)))
        .explode("node_id", empty_as_null=True)
        .join(told, on=AT_NODE)
        .group_by("piece", "hour", "job_id", "pool", "starts_at", "ended_at")
        .agg(pl.col("last_at").max())
        .join(seen, on=["hour", "job_id"], how="left")
    )
    known = of_jobs.group_by("hour", "pool").agg(
        is_by_name=pl.col("held_until").is_not_null().mean() >= 0.5
    )
    gone_at = pl.coalesce(pl.max_horizontal("held_until", "starts_at"), "starts_at")
    lost = (
        of_jobs.join(known.filter("is_by_name"), on=["hour", "pool"])
        .with_columns(gone_at=gone_at)
        .filter(
            pl.col("ended_at").is_null() & (pl.col("last_at") - pl.col("gone_at") >= LOST_AFTER)
        )
        .select("piece", "gone_at")
    )
    return (
        cut.with_row_index("piece")
        .join(lost, on="piece", how="left")
        .with_columns(ends_at=pl.min_horizontal("ends_at", "gone_at"))
        .filter(pl.col("ends_at") > pl.col("starts_at"))
        .drop("piece", "gone_at")
    )


# -- whom only readings know -------------------------------------------------------------


def _only_read(rows: pl.DataFrame, read: pl.DataFrame, listed: pl.DataFrame) -> pl.DataFrame:
    """Rows of holders of whom no event tells in the hour, seen at two instants or more.

    No GPU is metered twice: on each node they get at most what events leave of what was held.
    """
    told = rows.group_by(AT_NODE).agg(allocated=pl.col("hours").sum())
    observed = read.group_by(AT_NODE).agg(observed=pl.col("busy_or_held_hours").sum())
    found = (
        read.filter(pl.col("job_id").is_not_null() | pl.col("tenant").is_not_null())
        .join(rows.select("hour", "job_id").unique(), on=["hour", "job_id"], how="anti")
        .filter(pl.col("last_at").max().over("hour", "job_id", "tenant", "pool")
                > pl.col("first_at").min().over("hour", "job_id", "tenant", "pool"))
        .join(told, on=AT_NODE, how="left")
        .join(observed, on=AT_NODE, how="left")
    )  # fmt: skip
    room = (pl.col("observed") - pl.col("allocated").fill_null(0.0)).clip(lower_bound=0.0)
    part = pl.min_horizontal(1.0, room / pl.col("held_hours").sum().over(AT_NODE))
    tenant = pl.coalesce("tenant", pl.lit(UNKNOWN_TENANT))
    made = found.with_columns(
        job_id=pl.coalesce("job_id", pl.lit(UNNAMED) + tenant),
        tenant=tenant,
        pricing=pl.when(tenant == SPOT_TENANT).then(pl.lit("spot")).otherwise(pl.lit("standard")),
        hours=pl.col("held_hours") * part,
        used=pl.col("used_hours") * part,
        measured=pl.col("measured_hours") * part,
        powered=pl.col("powered_hours") * part,
        kilowatt_hours=pl.col("kilowatt_hours") * part,
    ).filter(pl.col("hours") > 1e-9)
    return (
        made.sort("hour")
        .join_asof(
            listed, left_on="hour", right_on="from_at", by="pool", check_sortedness=False
        )
        .with_columns(
            price=pl.when(pl.col("pricing") != "spot").then("list_price"),
            list_cost=pl.col("hours") * pl.col("list_price"),
        )
        .select(*[name for name in TERMS if name != "user_id"], "node_id", "hours", "list_cost",
                *MEASURES)
    )  # fmt: skip


def _spot_priced(
    store: Store, rows: pl.DataFrame, since: datetime, until: datetime
) -> pl.DataFrame:
    """What is sold from hour to hour has no list price: it is billed as the fleet's ledger says."""
    earned = store.query(
        """
        SELECT pool,
            make_timestamptz(epoch_us(period_starts_at) // 3600000000 * 3600000000) AS hour,
            sum(spot_revenue_usd)::DOUBLE AS earned FROM pool_ledgers
        WHERE period_starts_at >= $since AND period_starts_at < $until AND spot_revenue_usd > 0
        GROUP BY ALL
        """,
        since=since,
        until=until,
    )
    of_spot = pl.col("tenant") == SPOT_TENANT
    sold = pl.col("hours").filter(of_spot).sum().over("hour", "pool")
    return (
        rows.join(earned, on=["hour", "pool"], how="left")
        .with_columns(
            price=pl.when(of_spot & pl.col("price").is_null())
            .then(pl.col("earned") / sold)
            .otherwise("price")
        )
        .drop("earned")
    )


# -- what it cost us ---------------------------------------------------------------------


def _at_cost(rows: pl.DataFrame, nodes: pl.DataFrame, rates: pl.DataFrame) -> pl.DataFrame:
    kinds = nodes.select("hour", "node_id", "kind").unique(AT_NODE)
    hours, powered = pl.col("hours"), pl.col("powered").fill_null(0.0)
    energy = pl.col("kilowatt_hours").fill_null(0.0) + (hours - powered).clip(
        lower_bound=0.0
    ) * pl.col("busy_kilowatts")
    return (
        rows.join(kinds, on=AT_NODE, how="left")
        .with_columns(pl.col("kind").fill_null("owned"))
        .join(rates, on=["hour", "pool", "kind"], how="left")
        .with_columns(
            cost=hours * (pl.col("fixed_usd") + pl.col("busy_usd"))
            + energy * pl.col("kilowatt_hour_usd")
        )
        .select(*TERMS, "node_id", "kind", "hours", "list_cost", *MEASURES, "cost")
    )


def _summed(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows by node as rows of `metered_hours`."""
    hours = pl.col("hours")
    whole_cost = pl.when(pl.col("cost").is_not_null().all()).then(pl.col("cost").sum())
    made = rows.group_by(TERMS).agg(
        hours.sum(), known_sum("list_cost"), known_sum("used"), pl.col("measured").sum(),
        known_sum("kilowatt_hours"), whole_cost.alias("cost"),
    )  # fmt: skip
    return made.select(
        "job_id", "tenant", "user_id", "pool", "sharing", "pricing",
        allocated_gpu_hours=hours,
        used_gpu_hours=pl.when(pl.col("measured") > 0).then(pl.min_horizontal("used", "hours")),
        measured_ratio=(pl.col("measured") / hours).clip(0.0, 1.0),
        energy_kilowatt_hours="kilowatt_hours",
        list_price_usd_per_gpu_hour=pl.col("list_cost") / hours,
        price_usd_per_gpu_hour="price",
        list_cost_usd=pl.col("list_cost").fill_null(0.0),
        charge_usd=(hours * pl.col("price")).fill_null(0.0),
        cost_usd="cost",
        hour_starts_at="hour",
    ).sort("hour_starts_at", "tenant", "job_id", "pool", "pricing", "sharing")  # fmt: skip
