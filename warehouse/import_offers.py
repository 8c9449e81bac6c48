"""Bringing in the history of a market that somebody else recorded: `python app.py import-offers`.

Two layouts of Parquet files are understood (`docs/market.md`). What can be compared becomes
offers, what was worked out over offers becomes percentiles, and the rest is left out and counted
by reason. A row is taken once, however often its file is imported.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TextIO

import polars as pl

from warehouse.clock import WallClock
from warehouse.errors import WarehouseError
from warehouse.gpu_names import BYTES_PER_GIBIBYTE
from warehouse.import_layouts import AGGREGATE_COLUMNS, digested, named, percentiles, prices, read
from warehouse.offers import IMPORTED
from warehouse.records import MarketPercentile, Offer
from warehouse.schema import INSTANT, TABLES
from warehouse.settings import Settings
from warehouse.store import Location, Store

CHUNK_ROWS = 10_000


@dataclass
class Imported:
    """What an import did."""

    offers: int = 0
    percentiles: int = 0
    known_already: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    """Rows by the reason why they weren't taken."""

    def in_words(self) -> str:
        """Lines for whoever started it."""
        lines = [
            f"{self.offers:,} offers and {self.percentiles:,} percentiles were stored",
            f"{self.known_already:,} rows were stored before",
        ]
        ordered = sorted(self.left_out.items(), key=lambda item: -item[1])
        lines += [f"{count:,} left out: {reason}" for reason, count in ordered]
        return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """`import-offers FILE [--home FOLDER]`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python app.py import-offers",
        description="Bring in a market's history from a Parquet file; see docs/market.md.",
    )
    parser.add_argument("file", type=Path, help="Parquet file of prices or of percentiles")
    parser.add_argument("--home", type=Path, help="data folder")
    given = parser.parse_args(list(arguments))
    settings = Settings(**({"home": given.home} if given.home else {}))
    try:
        table = read(given.file)
        store = Store(Location.of(settings))
        try:
            done = import_table(store, table, WallClock().now(), progress=sys.stderr)
        finally:
            store.close()
    except WarehouseError as error:
        print(f"pilothouse: {error}", file=sys.stderr)
        return 1
    sys.stdout.write(done.in_words())
    return 0


def import_table(
    store: Store, table: pl.DataFrame, now: datetime, *, progress: TextIO | None = None
) -> Imported:
    """Store what of a table is new and can be taken; each chunk wholly or not at all."""
    done = Imported()
    is_percentiles = "per_gpu_median" in table.columns
    prepared = (percentiles if is_percentiles else prices)(named(digested(table)))
    for reason, count in (
        prepared.filter(pl.col("why_not").is_not_null())["why_not"]
        .value_counts(name="count")
        .iter_rows()
    ):
        done.left_out[reason] = count
    taken = prepared.filter(pl.col("why_not").is_null())
    for record_class, frame in _by_record(taken, now):
        fresh = _unknown(store, record_class, frame)
        done.known_already += frame.height - fresh.height
        stored = _store(store, record_class, fresh, progress)
        if record_class is Offer:
            done.offers += stored
        else:
            done.percentiles += stored
    return done


# -- storing them -----------------------------------------------------------------------


def _by_record(taken: pl.DataFrame, now: datetime) -> Iterator[tuple[type, pl.DataFrame]]:
    common: list[pl.Expr | str] = [
        pl.col("accelerator_raw").alias("gpu_model"),
        "model",
        "price_kind",
        (pl.lit(IMPORTED) + pl.col("source").fill_null("unknown")).alias("source"),
        "payload_digest",
        "measured_at",
        pl.lit(now, dtype=INSTANT).alias("stored_at"),
    ]
    if "per_gpu_median" in taken.columns:
        yield MarketPercentile, taken.select(*common, "scope", *_aggregate_columns())
        return
    is_offer = pl.col("scope") == "offer"
    yield Offer, taken.filter(is_offer).select(*common, *_offer_columns())
    gpu_count = pl.col("accelerator_count").cast(pl.Int64)
    yield (
        MarketPercentile,
        taken.filter(~is_offer).select(
            *common,
            "scope",
            "provider",
            pl.when(pl.col("scope") == "market_lowest").then(gpu_count).alias("gpu_count"),
            pl.col("usd").alias("lowest_usd_per_gpu_hour"),
        ),
    )


def _offer_columns() -> list[pl.Expr]:
    tier = pl.col("tier")
    gibibyte = BYTES_PER_GIBIBYTE
    return [
        pl.col("provider"),
        pl.coalesce("instance_type", "accelerator_raw").alias("offer_id"),
        pl.col("count").cast(pl.Int64).alias("gpu_count"),
        pl.col("usd").alias("price_usd_per_gpu_hour"),
        pl.col("whole_usd").alias("instance_price_usd_per_hour"),
        pl.lit("instance").alias("quoted_unit"),
        pl.col("region"),
        (pl.col("accelerator_memory_gb") * gibibyte).cast(pl.Int64).alias("gpu_memory_bytes"),
        pl.col("vcpus").alias("vcpu_count"),
        (pl.col("memory_gib") * gibibyte).cast(pl.Int64).alias("memory_bytes"),
        pl.when(tier.is_in(["secure", "community"])).then(tier).alias("tier"),
        pl.lit(True).alias("is_list_price"),
        pl.lit(True).alias("is_complete_search"),
    ]


def _aggregate_columns() -> list[pl.Expr]:
    names = {"min": "lowest", "max": "highest"}
    priced = [
        pl.col(column).alias(f"{names.get(name, name)}_usd_per_gpu_hour")
        for column in AGGREGATE_COLUMNS
        if (name := column.removeprefix("per_gpu_")) != column
    ]
    counts = {"total": "offers", "available": "offers_in_stock"}
    return priced + [
        pl.col(column).alias(counts.get(name, f"offers_{name}"))
        for column in AGGREGATE_COLUMNS
        if (name := column.removeprefix("stock_")) != column
    ]


def _unknown(store: Store, record_class: type, frame: pl.DataFrame) -> pl.DataFrame:
    """Those rows that weren't imported before."""
    if frame.is_empty():
        return frame
    known = store.query(
        f"SELECT DISTINCT payload_digest FROM {TABLES[record_class].name} "
        "WHERE list_contains($sources, source)",
        sources=frame["source"].unique().to_list(),
    )
    return frame.join(known, on="payload_digest", how="anti", maintain_order="left")


def _store(store: Store, record_class: type, frame: pl.DataFrame, progress: TextIO | None) -> int:
    for start in range(0, frame.height, CHUNK_ROWS):
        store.append_frame(record_class, frame.slice(start, CHUNK_ROWS))
        _show(progress, TABLES[record_class].name, min(start + CHUNK_ROWS, frame.height), frame)
    if progress and frame.height:
        progress.write("\n")
    return frame.height


def _show(progress: TextIO | None, what: str, done: int, frame: pl.DataFrame) -> None:
    if progress is None:
        return
    bar = "#" * round(30 * done / frame.height)
    progress.write(f"\r{what} [{bar:<30}] {done:,} of {frame.height:,}")
    progress.flush()
