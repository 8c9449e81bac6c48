"""Which of the Market page's tables can be taken home, and the evidence as flat rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from warehouse.price_evidence import PoolPrice

FILES = ("prices", "history", "imported", "availability", "pools", "recommendations", "alarms",
         "names", "sources")  # fmt: skip
"""What can be downloaded."""


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
