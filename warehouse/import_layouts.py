"""The layouts of files that `import-offers` understands, and what becomes of each of their rows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl

from warehouse.errors import WarehouseError
from warehouse.gpu_names import BYTES_PER_GIBIBYTE, model_of
from warehouse.schema import INSTANT

LEAST_USD, MOST_USD = 0.005, 100.0
"""A price of one GPU outside is of another unit."""

PRICE_COLUMNS: dict[str, pl.DataType] = {
    "date": pl.Date(),
    "provider": pl.String(),
    "instance_type": pl.String(),
    "accelerator_name": pl.String(),
    "accelerator_count": pl.Float64(),
    "vcpus": pl.Float64(),
    "memory_gib": pl.Float64(),
    "price_usd_hour": pl.Float64(),
    "spot_price_usd_hour": pl.Float64(),
    "region": pl.String(),
    "ts_utc": INSTANT,
    "accelerator_raw": pl.String(),
    "accelerator_memory_gb": pl.Float64(),
    "price_scope": pl.String(),
    "tier": pl.String(),
    "source": pl.String(),
}
AGGREGATE_COLUMNS: dict[str, pl.DataType] = {
    "ts_utc": INSTANT,
    "accelerator_raw": pl.String(),
    "accelerator_name": pl.String(),
    "accelerator_memory_gb": pl.Float64(),
    **{
        f"per_gpu_{name}": pl.Float64()
        for name in ("min", "p10", "p25", "median", "p75", "p90", "max", "mean")
    },
    **{f"stock_{name}": pl.Int64() for name in ("total", "available", "low", "medium", "high")},
    "source": pl.String(),
}

ON_DEMAND_TIERS = ("on_demand", "list_price", "secure", "community")
SCOPES = {
    "instance": "offer",
    "instance_cheapest_in_market": "market_lowest",
    "per_gpu_min_over_offers": "provider_lowest",
}
"""What becomes of a price by its scope; they are never mixed."""


class NotUnderstood(WarehouseError):
    """The file isn't one that can be imported; the sentence says what is wrong with it."""


def read(file: Path) -> pl.DataFrame:
    """The rows of a file, with columns of the types that its layout wants.

    Raises:
        NotUnderstood: there is no such file, or it isn't of a layout that is known.
    """
    try:
        table = pl.read_parquet(file)
    except OSError as error:
        why = error.strerror or "no such file"
        raise NotUnderstood(f"{file} can't be read ({why}): name a Parquet file") from error
    except pl.exceptions.PolarsError as error:
        why = str(error).splitlines()[0]
        raise NotUnderstood(f"{file} isn't a Parquet file ({why})") from error
    columns = AGGREGATE_COLUMNS if "per_gpu_median" in table.columns else PRICE_COLUMNS
    if missing := sorted(columns.keys() - set(table.columns)):
        raise NotUnderstood(
            f"{file} lacks the column {', '.join(missing)}: docs/market.md says which layouts "
            "can be imported"
        )
    try:
        return table.select(pl.col(name).cast(dtype) for name, dtype in columns.items())
    except pl.exceptions.PolarsError as error:
        why = str(error).splitlines()[0]
        raise NotUnderstood(f"{file} has a column of another type ({why})") from error


def digested(table: pl.DataFrame) -> pl.DataFrame:
    """With a digest of each row, by which it is known again; the same row twice is one."""
    text = pl.concat_str(
        [pl.col(name).cast(pl.String).fill_null("\x00") for name in table.columns], separator="\x1f"
    )
    digests = [hashlib.sha256(row.encode()).hexdigest() for row in table.select(text).to_series()]
    rows = table.with_columns(pl.Series("payload_digest", digests, dtype=pl.String))
    return rows.unique("payload_digest", keep="first", maintain_order=True)


def named(rows: pl.DataFrame) -> pl.DataFrame:
    """With our name of each GPU, by either of the source's; unknown where they mean two."""
    keys = ["accelerator_raw", "accelerator_name", "accelerator_memory_gb"]
    names = rows.select(keys).unique()
    models = [_model(*row) for row in names.iter_rows()]
    found = names.with_columns(pl.Series("model", models, dtype=pl.String))
    return rows.join(found, on=keys, how="left", nulls_equal=True, maintain_order="left")


def _model(raw: str | None, name: str | None, gigabytes: float | None) -> str | None:
    memory_bytes = gigabytes * BYTES_PER_GIBIBYTE if gigabytes else None
    found = {model_of(text, memory_bytes=memory_bytes) for text in (raw, name) if text} - {None}
    return found.pop() if len(found) == 1 else None


def percentiles(rows: pl.DataFrame) -> pl.DataFrame:
    """What becomes of each row of percentiles; `why_not` says why one is left out."""
    columns = [name for name in rows.columns if name.startswith("per_gpu_")]
    return rows.with_columns(
        pl.lit("market").alias("scope"),
        pl.lit("mixed").alias("price_kind"),
        pl.col("ts_utc").alias("measured_at"),
        _first_reason(
            (pl.col("ts_utc").is_null(), "no instant"),
            (pl.col("model").is_null(), "the GPU's name isn't known for certain"),
            (
                ~pl.all_horizontal(
                    pl.col(name).is_between(LEAST_USD, MOST_USD) for name in columns
                ),
                "a price that is none",
            ),
        ),
    )


def prices(rows: pl.DataFrame) -> pl.DataFrame:
    """What becomes of each price, by its scope; `why_not` says why one is left out."""
    scope = pl.col("price_scope").replace_strict(SCOPES, default=None, return_dtype=pl.String)
    is_mixed = pl.col("price_scope") == "per_gpu_min_over_offers"
    is_spot = pl.col("tier") == "spot"
    whole = pl.when(is_spot).then("spot_price_usd_hour").otherwise("price_usd_hour")
    count = pl.when(is_mixed).then(1.0).otherwise(pl.col("accelerator_count"))
    kind = (
        pl.when(is_mixed)
        .then(pl.lit("mixed"))
        .when(is_spot)
        .then(pl.lit("spot"))
        .when(pl.col("tier").is_in(ON_DEMAND_TIERS))
        .then(pl.lit("on_demand"))
        .otherwise(None)
    )
    told = rows.with_columns(
        scope.alias("scope"),
        whole.alias("whole_usd"),
        count.alias("count"),
        kind.alias("price_kind"),
        pl.coalesce("ts_utc", pl.col("date").cast(INSTANT)).alias("measured_at"),
    ).with_columns((pl.col("whole_usd") / pl.col("count")).alias("usd"))
    return told.with_columns(
        _first_reason(
            (
                pl.col("price_scope") == "instance_unknown_gpu_count",
                "the price of an instance whose number of GPUs is lost",
            ),
            (pl.col("scope").is_null(), "a price_scope that isn't known"),
            (pl.col("measured_at").is_null() | pl.col("provider").is_null(), "no date or provider"),
            (
                pl.col("price_kind").is_null(),
                "a tier that is neither on demand nor spot for certain",
            ),
            (
                pl.col("count").is_null() | (pl.col("count") < 1) | (pl.col("count") % 1 != 0),
                "no whole number of GPUs",
            ),
            (pl.col("model").is_null(), "the GPU's name isn't known for certain"),
            (~pl.col("usd").is_between(LEAST_USD, MOST_USD), "a price that is none"),
            (pl.col("usd").is_null(), "no price"),
        )
    )


def _first_reason(*reasons: tuple[pl.Expr, str]) -> pl.Expr:
    return pl.coalesce(
        pl.when(is_so).then(pl.lit(why)).otherwise(pl.lit(None, dtype=pl.String))
        for is_so, why in reasons
    ).alias("why_not")
