"""What the kinds of export hold: FOCUS by the hour, and plain usage by the day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from warehouse import focus
from warehouse.focus import MONEY, FileColumn, Names

ExportKind = Literal["focus", "usage"]
KINDS: tuple[ExportKind, ...] = ("focus", "usage")

_TYPE_WORDS = {
    pl.String: "text",
    pl.Float64: "double",
    pl.Int64: "bigint",
    pl.Boolean: "boolean",
    pl.Date: "date",
    pl.Datetime: "timestamp, UTC",
}


@dataclass(frozen=True)
class Kind:
    """A kind of export: its columns, how metered hours become its rows, what is summed."""

    name: ExportKind
    columns: tuple[FileColumn, ...]
    rows: Callable[[pl.DataFrame, Names], pl.DataFrame]
    """From the metered hours of whole days."""
    billed: str
    """The column of what is billed, USD."""
    quantity: str
    """The column of what it is billed for, GPU-hours."""
    sums: tuple[str, ...]
    """The columns whose sums go into the manifest."""
    spec_version: str | None = None

    @property
    def schema(self) -> pl.Schema:
        """The file's columns and types, in order."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def type_words(self, column: FileColumn) -> str:
        """A column's type, as manifests and docs/exports.md name it."""
        dtype = column.dtype
        if isinstance(dtype, pl.Decimal):
            return f"decimal({dtype.precision},{dtype.scale})"
        return _TYPE_WORDS[dtype.base_type()]


USAGE_COLUMNS = tuple(
    FileColumn(*each)
    for each in (
        ("day", pl.Date(), "the day, of UTC"),
        ("tenant", pl.String(), "who pays"),
        ("user_id", pl.String(), "who of the tenant's people, by id; empty where not known"),
        ("job_id", pl.String(), "the job"),
        ("pool", pl.String(), "where it ran"),
        ("gpu_model", pl.String(), "the pool's GPU model; empty where not known"),
        ("region", pl.String(), "the pool's region; empty where not known"),
        ("sharing", pl.String(), "how its GPUs are given out: whole, mig, time_sliced or mps"),
        ("terms", pl.String(), "standard, committed or spot"),
        ("hours_running", pl.Int64(), "hours of the day in which it held GPUs"),
        ("allocated_gpu_hours", MONEY, "GPU-hours held; four quarters for an hour make one"),
        ("used_gpu_hours", MONEY, "of those, the ones in which the GPU worked; empty: unmeasured"),
        ("measured_ratio", pl.Float64(), "share of the hours held that was measured, 0 to 1"),
        ("used_ratio", pl.Float64(), "used over held and measured, 0 to 1"),
        ("energy_kilowatt_hours", MONEY, "energy its GPUs drew; empty where not measured"),
        ("list_price_usd_per_gpu_hour", pl.Float64(), "mean list price over the hours held"),
        ("price_usd_per_gpu_hour", MONEY, "the price agreed; 0 where none is known"),
        ("price_is_known", pl.Boolean(), "false: no price was known, so nothing is charged"),
        ("list_cost_usd", MONEY, "hours held at the list price"),
        ("charge_usd", MONEY, "hours held at the price agreed: what is billed"),
    )
)
_BY = (
    "day", "tenant", "user_id", "job_id", "pool", "gpu_model", "region", "sharing", "pricing",
    "ContractedUnitPrice", "x_PriceIsKnown",
)  # fmt: skip


def usage_rows(hours: pl.DataFrame, _: Names) -> pl.DataFrame:
    """What each job had of each pool on each day at one price, summed from the same hourly amounts
    as the FOCUS rows: so the two exports of a period bill the same to the last digit."""
    held = pl.col("allocated_gpu_hours")
    daily = (
        focus.priced(hours)
        .with_columns(
            pl.col("hour_starts_at").dt.date().alias("day"),
            (held * pl.col("measured_ratio")).alias("measured"),
        )
        .group_by(_BY)
        .agg(
            pl.col("hour_starts_at").n_unique().cast(pl.Int64).alias("hours_running"),
            pl.col("PricingQuantity").sum().alias("allocated_gpu_hours"),
            _sum_where_known("x_UsedGpuHours").alias("used_gpu_hours"),
            _sum_where_known("x_EnergyKilowattHours").alias("energy_kilowatt_hours"),
            pl.col("measured").sum(),
            pl.col("ListCost").sum().alias("list_cost_usd"),
            pl.col("BilledCost").sum().alias("charge_usd"),
        )
    )
    return daily.select(_usage_columns()).sort("day", "tenant", "job_id", "pool", "terms")


def _sum_where_known(name: str) -> pl.Expr:
    """None where no hour of it was measured, never 0."""
    known = pl.col(name).drop_nulls()
    return pl.when(known.len() > 0).then(known.sum())


def _usage_columns() -> list[pl.Expr]:
    held = pl.col("allocated_gpu_hours").cast(pl.Float64)
    measured = pl.col("measured")
    made = {
        "terms": pl.col("pricing"),
        "price_usd_per_gpu_hour": pl.col("ContractedUnitPrice"),
        "price_is_known": pl.col("x_PriceIsKnown"),
        "measured_ratio": pl.when(held > 0).then((measured / held).clip(0.0, 1.0)),
        "used_ratio": pl.when(measured > 0).then(
            pl.col("used_gpu_hours").cast(pl.Float64) / measured
        ),
        "list_price_usd_per_gpu_hour": pl.when(held > 0).then(
            pl.col("list_cost_usd").cast(pl.Float64) / held
        ),
    }
    return [
        made.get(column.name, pl.col(column.name)).cast(column.dtype).alias(column.name)
        for column in USAGE_COLUMNS
    ]


FOCUS = Kind(
    name="focus",
    columns=focus.COLUMNS,
    rows=focus.focus_rows,
    billed="BilledCost",
    quantity="PricingQuantity",
    sums=(
        "BilledCost", "EffectiveCost", "ContractedCost", "ListCost",
        "PricingQuantity", "ConsumedQuantity", "x_UsedGpuHours",
    ),
    spec_version=focus.SPEC_VERSION,
)  # fmt: skip
USAGE = Kind(
    name="usage",
    columns=USAGE_COLUMNS,
    rows=usage_rows,
    billed="charge_usd",
    quantity="allocated_gpu_hours",
    sums=("charge_usd", "list_cost_usd", "allocated_gpu_hours", "used_gpu_hours"),
)
KIND_OF: dict[ExportKind, Kind] = {"focus": FOCUS, "usage": USAGE}
