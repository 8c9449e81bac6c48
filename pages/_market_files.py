"""The Market page's tables as files: CSV for spreadsheets, Parquet for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from io import BytesIO
from typing import Any

import polars as pl
from dash import dcc

from warehouse.price_evidence import PoolPrice

FILES = ("prices", "history", "imported", "availability", "pools", "recommendations", "alarms",
         "names", "sources")  # fmt: skip
"""What can be downloaded."""
_FORMULA = r"^[=+\-@\t\r]"
"""How a cell begins that a spreadsheet would run; names come from strangers."""


def file_of(frame: pl.DataFrame, what: str, file_format: str, now: datetime) -> dict[str, Any]:
    """A frame as what `dcc.Download` takes; instants are UTC."""
    name = f"market-{what}-{now:%Y%m%d-%H%M}.{file_format}"
    sent: dict[str, Any]
    if file_format == "parquet":
        buffer = BytesIO()
        frame.write_parquet(buffer)
        sent = dcc.send_bytes(buffer.getvalue(), name)
    else:
        sent = dcc.send_string(_csv(frame), name)
    return sent


def _csv(frame: pl.DataFrame) -> str:
    text = pl.col(pl.String)
    harmless = frame.with_columns(
        pl.when(text.str.contains(_FORMULA)).then("'" + text).otherwise(text).name.keep()
    )
    return harmless.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%.3fZ")


def pools_frame(pools: Sequence[PoolPrice]) -> pl.DataFrame:
    """The evidence of every pool, a flat row each."""
    return pl.DataFrame([_flat(each) for each in pools], infer_schema_length=None)


def _flat(pool: PoolPrice) -> dict[str, Any]:
    row = asdict(pool)
    market, elasticity = row.pop("market") or {}, row.pop("elasticity") or {}
    row["models"] = json.dumps(row["models"])
    row |= {f"market_{key}": value for key, value in market.items() if key != "models"}
    row |= {
        f"elasticity_{key}" if key != "elasticity" else key: value
        for key, value in elasticity.items()
        if key != "pool"
    }
    return row
