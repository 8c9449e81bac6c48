"""What is asked of the books: whether metered hours and the fleet's physical hours agree, and where
they do not.

Of each pool and hour: physical = allocated + idle + cordoned + down + unread, and what was metered
against what the GPUs' readings show, which may lie apart by `bound_gpu_hours` and no further
(`docs/metering.md` derives it).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from warehouse import metering_allocations as allocations
from warehouse import metering_nodes, metering_readings
from warehouse.metering import NEWEST_HOURS, NEWEST_RUNS
from warehouse.metering_books import UNNAMED
from warehouse.store import Store

SUM_TOLERANCE_GPU_HOURS = 1e-6

_FLEET = f"""
    SELECT f.*, r.version FROM fleet_hours f JOIN ({NEWEST_RUNS}) r USING (run_id)
    WHERE f.hour_starts_at >= $since AND f.hour_starts_at < $until
        AND ($pool IS NULL OR f.pool = $pool)
"""
_BOOKS = f"""
    WITH fleet AS ({_FLEET}), metered AS (
        SELECT pool, hour_starts_at, sum(allocated_gpu_hours) AS metered_gpu_hours,
            sum(charge_usd) AS billed_usd, sum(cost_usd) AS jobs_cost_usd,
            sum(charge_usd) FILTER (pricing = 'spot') AS spot_billed_usd
        FROM ({NEWEST_HOURS}) WHERE $pool IS NULL OR pool = $pool GROUP BY ALL
    ), charged AS (
        SELECT pool, make_timestamptz(epoch_us(period_starts_at) // 3600000000 * 3600000000)
                AS hour_starts_at,
            sum(gpu_hours) AS charged_gpu_hours, sum(charge_usd) AS charged_usd FROM charges
        WHERE period_starts_at >= $since AND period_starts_at < $until
            AND ($pool IS NULL OR pool = $pool) GROUP BY ALL
    ), ledger AS (
        SELECT pool, make_timestamptz(epoch_us(period_starts_at) // 3600000000 * 3600000000)
                AS hour_starts_at,
            sum(used_gpu_hours) AS ledger_gpu_hours,
            sum(revenue_usd + spot_revenue_usd) AS ledger_usd,
            sum(spot_revenue_usd) AS ledger_spot_usd, sum(refund_usd) AS refund_usd
        FROM pool_ledgers WHERE period_starts_at >= $since AND period_starts_at < $until
            AND ($pool IS NULL OR pool = $pool) GROUP BY ALL
    )
    SELECT fleet.* EXCLUDE (run_id), coalesce(metered_gpu_hours, 0) AS metered_gpu_hours,
        coalesce(metered_gpu_hours, 0) - allocated_gpu_hours AS over_metered_gpu_hours,
        physical_gpu_hours - allocated_gpu_hours - idle_gpu_hours - cordoned_gpu_hours
            - down_gpu_hours - unread_gpu_hours AS unaccounted_gpu_hours,
        cost_usd - coalesce(jobs_cost_usd, 0) AS idle_cost_usd,
        charged_gpu_hours, charged_usd, ledger_gpu_hours, ledger_usd, ledger_spot_usd, refund_usd,
        coalesce(billed_usd, 0) - coalesce(spot_billed_usd, 0) AS billed_to_jobs_usd,
        CASE WHEN charged_usd IS NOT NULL THEN billed_to_jobs_usd - charged_usd END
            AS charge_difference_usd,
        abs(difference_gpu_hours) <= bound_gpu_hours
            AND over_metered_gpu_hours <= {SUM_TOLERANCE_GPU_HOURS} AS is_within_bound
    FROM fleet LEFT JOIN metered USING (pool, hour_starts_at)
        LEFT JOIN charged USING (pool, hour_starts_at) LEFT JOIN ledger USING (pool, hour_starts_at)
"""

_HOURS_SUMMED = (
    "physical_gpu_hours", "allocated_gpu_hours", "observed_gpu_hours", "idle_gpu_hours",
    "cordoned_gpu_hours", "down_gpu_hours", "unread_gpu_hours", "difference_gpu_hours",
    "bound_gpu_hours", "metered_gpu_hours", "over_metered_gpu_hours", "unaccounted_gpu_hours",
    "revenue_usd", "cost_usd", "idle_cost_usd", "charged_gpu_hours", "charged_usd",
    "ledger_gpu_hours", "ledger_usd", "ledger_spot_usd", "refund_usd", "billed_to_jobs_usd",
    "charge_difference_usd",
)  # fmt: skip


@dataclass(frozen=True)
class Differences:
    """One pool in one hour, taken apart."""

    hour: pl.DataFrame
    """Its row of `hours`; empty where the hour is not metered."""
    nodes: pl.DataFrame
    """A row a node: `metered_gpu_hours`, `observed_gpu_hours` (null where the readings name no
    holder), `physical_gpu_hours`, `difference_gpu_hours`, the largest first."""
    jobs: pl.DataFrame
    """A row a job: `metered_gpu_hours`, `observed_gpu_hours`, `charged_gpu_hours` and the
    differences to each, the largest first; only jobs that differ,
    and none that readings know without a name."""
    words: str
    """What is the matter, in a sentence."""


def hours(
    store: Store, *, since: datetime, until: datetime, pool: str | None = None
) -> pl.DataFrame:
    """The books of a span, a row a pool and hour, in time order: `fleet_hours` of the newest
    versions, and `metered_gpu_hours`, `over_metered_gpu_hours` (beyond what was physically there),
    `unaccounted_gpu_hours` (0 where the sum holds), `idle_cost_usd`, what the fleet's own charges
    and ledger say, the difference of money, and `is_within_bound`."""
    return store.query(
        f"SELECT * FROM ({_BOOKS}) ORDER BY hour_starts_at, pool",
        since=since,
        until=until,
        pool=pool,
    )


def days(
    store: Store, *, since: datetime, until: datetime, pool: str | None = None
) -> pl.DataFrame:
    """The books of a span, a row a pool and day, in time order: sums of `hours`, how many `hours`
    were metered and how many of them lie out of their bound, `hours_out_of_bound`."""
    sums = ", ".join(f"sum({name}) AS {name}" for name in _HOURS_SUMMED)
    return store.query(
        f"""
        SELECT make_timestamptz(epoch_us(hour_starts_at) // 86400000000 * 86400000000) AS day,
            pool, {sums},
            count(*) AS hours, count(*) FILTER (NOT is_within_bound) AS hours_out_of_bound,
            max(version) AS newest_version
        FROM ({_BOOKS}) GROUP BY ALL ORDER BY day, pool
        """,
        since=since,
        until=until,
        pool=pool,
    )


def where_it_differs(store: Store, pool: str, hour: datetime) -> Differences:
    """Which nodes and jobs of a pool make an hour's difference, worked out from the raw rows.

    Where raw readings are gone nodes are compared with the roll-ups, and no job is by readings.
    """
    until = hour + timedelta(hours=1)
    row = hours(store, since=hour, until=until, pool=pool)
    listed = allocations.prices(store, until=until)
    held = allocations.segments(store, listed, since=hour, until=until)
    pieces = allocations.by_node(allocations.costed(allocations.cut_at_hours(held), listed))
    read = metering_readings.held_by(store, since=hour, until=until).filter(pool=pool)
    rolled = metering_readings.rolled_up(store, since=hour, until=until).filter(pool=pool)
    there = metering_nodes.nodes(store, since=hour, until=until).filter(pool=pool)
    nodes = _nodes(pieces.filter(pool=pool), read, rolled, there)
    jobs = _jobs(store, pool, hour, until, read)
    return Differences(row, nodes, jobs, _words(pool, row, nodes, jobs))


def _nodes(
    pieces: pl.DataFrame, read: pl.DataFrame, rolled: pl.DataFrame, there: pl.DataFrame
) -> pl.DataFrame:
    by_events = pieces.group_by("node_id").agg(
        metered_gpu_hours=pl.col("hours").sum(), job_ids=pl.col("job_id").unique().sort()
    )
    raw = read.group_by("node_id").agg(
        observed_gpu_hours=pl.when(pl.col("tells").any()).then(
            pl.col("busy_or_held_hours").sum() - pl.col("held_hours").filter(
                pl.col("job_id").is_null() & pl.col("tenant").is_not_null()).sum())
    )  # fmt: skip
    summed = rolled.join(raw, on="node_id", how="anti").select(
        "node_id", observed_gpu_hours="held_hours"
    )
    observed = pl.concat([raw, summed], how="vertical_relaxed")
    physical = there.select("node_id", physical_gpu_hours="hours")
    return (
        physical.join(by_events, on="node_id", how="full", coalesce=True)
        .join(observed, on="node_id", how="full", coalesce=True)
        .with_columns(pl.col("metered_gpu_hours", "physical_gpu_hours").fill_null(0.0))
        .with_columns(
            difference_gpu_hours=(
                pl.col("metered_gpu_hours") - pl.col("observed_gpu_hours")
            ).fill_null(0.0)
        )
        .sort(pl.col("difference_gpu_hours").abs(), "node_id", descending=[True, False])
    )


def _jobs(
    store: Store, pool: str, hour: datetime, until: datetime, read: pl.DataFrame
) -> pl.DataFrame:
    metered = store.query(
        f"""
        SELECT job_id, any_value(tenant) AS tenant, sum(allocated_gpu_hours) AS metered_gpu_hours,
            sum(charge_usd) AS billed_usd FROM ({NEWEST_HOURS}) WHERE pool = $pool GROUP BY job_id
        """,
        since=hour,
        until=until,
        pool=pool,
    )
    charged = store.query(
        """
        SELECT job_id, any_value(tenant) AS charged_tenant, sum(gpu_hours) AS charged_gpu_hours,
            sum(charge_usd) AS charged_usd FROM charges
        WHERE pool = $pool AND period_starts_at >= $since AND period_starts_at < $until
        GROUP BY job_id
        """,
        since=hour,
        until=until,
        pool=pool,
    )
    seen = (
        read.filter(pl.col("job_id").is_not_null())
        .group_by("job_id")
        .agg(observed_gpu_hours=pl.col("held_hours").sum(), seen_tenant=pl.col("tenant").first())
    )
    both = (
        metered.join(seen, on="job_id", how="full", coalesce=True)
        .join(charged, on="job_id", how="full", coalesce=True)
        .with_columns(pl.coalesce("tenant", "seen_tenant", "charged_tenant").alias("tenant"))
        .drop("seen_tenant", "charged_tenant")
        .with_columns(pl.col("metered_gpu_hours", "billed_usd").fill_null(0.0))
    )
    observed = pl.col("observed_gpu_hours").fill_null(0.0) if not seen.is_empty() else None
    to_readings = pl.lit(0.0) if observed is None else pl.col("metered_gpu_hours") - observed
    to_charges = (
        pl.lit(0.0)
        if charged.is_empty()
        else pl.col("metered_gpu_hours") - pl.col("charged_gpu_hours").fill_null(0.0)
    )
    return (
        both.with_columns(difference_gpu_hours=to_readings, charge_difference_gpu_hours=to_charges)
        .filter(
            (pl.col("difference_gpu_hours").abs() > SUM_TOLERANCE_GPU_HOURS)
            | (pl.col("charge_difference_gpu_hours").abs() > SUM_TOLERANCE_GPU_HOURS)
        )
        .filter(~pl.col("job_id").str.starts_with(UNNAMED))
        .sort(
            pl.max_horizontal(
                pl.col("difference_gpu_hours").abs(), pl.col("charge_difference_gpu_hours").abs()
            ),
            "job_id",
            descending=[True, False],
        )
    )


def _words(pool: str, row: pl.DataFrame, nodes: pl.DataFrame, jobs: pl.DataFrame) -> str:
    if row.is_empty():
        return f"{pool} is not metered in this hour: wait until it is over, or choose another"
    books = row.row(0, named=True)
    apart = books["difference_gpu_hours"]
    if books["observed_gpu_hours"] is None:
        return f"{pool}: its GPUs were not read, so that nothing can be compared"
    how = "within" if books["is_within_bound"] else "beyond"
    said = (
        f"{pool}: {_signed(apart)} GPU-hours between metering and readings, {how} the bound of "
        f"{books['bound_gpu_hours']:.2f}"
    )
    if books["over_metered_gpu_hours"] > SUM_TOLERANCE_GPU_HOURS:
        over = books["over_metered_gpu_hours"]
        said += f"; {over:.2f} GPU-hours were metered beyond what was physically there"
    if not nodes.is_empty() and abs(nodes["difference_gpu_hours"][0]) > SUM_TOLERANCE_GPU_HOURS:
        said += f"; most on {nodes['node_id'][0]} ({_signed(nodes['difference_gpu_hours'][0])})"
    if not jobs.is_empty():
        said += f"; most of {jobs['job_id'][0]} ({_signed(jobs['difference_gpu_hours'][0])})"
    return said


def _signed(gpu_hours: float) -> str:
    """With the minus sign that people read."""
    return f"{gpu_hours:+.2f}".replace("-", "−")
