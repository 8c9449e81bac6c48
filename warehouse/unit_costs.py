"""What a pool's GPUs cost us: set by people, kept for ever, the newest in force holds.

Owned GPUs cost (purchase - residual) / (years x 8,760) an hour whatever they do, their hosting, and
their energy times the overhead of the hall times the price of electricity. Leased ones cost the
rent while they are on. Where nothing is set, the rates in `pools` stand in, and it is said.

    UnitCostError
    └── InvalidUnitCost    a figure is missing, of the other kind, or out of bounds
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta

import polars as pl

from warehouse import audit
from warehouse.audit import AuditVia
from warehouse.errors import WarehouseError
from warehouse.records import NodeKind, UnitCost
from warehouse.store import Store

HOURS_PER_YEAR = 8760
KINDS: tuple[NodeKind, ...] = ("owned", "leased")

BOUNDS: dict[str, tuple[float, float]] = {
    "purchase_usd_per_gpu": (0.0, 1_000_000.0),
    "residual_usd_per_gpu": (0.0, 1_000_000.0),
    "depreciation_years": (0.25, 15.0),
    "hosting_usd_per_gpu_hour": (0.0, 20.0),
    "power_usd_per_kilowatt_hour": (0.0, 5.0),
    "power_overhead_ratio": (1.0, 3.0),
    "idle_watts_per_gpu": (0.0, 5_000.0),
    "busy_watts_per_gpu": (0.0, 5_000.0),
    "rent_usd_per_gpu_hour": (0.0, 100.0),
}
"""Least and most of each figure; beyond them a unit was mistaken."""
OF_LEASED = frozenset({"rent_usd_per_gpu_hour"})
EARLIEST = timedelta(days=2)
"""A cost may come into force so long ago at most: the hours since are metered anew."""

_IN_FORCE = """
    SELECT * FROM unit_costs WHERE in_force_from_at <= $at
        AND ($pool IS NULL OR pool = $pool) AND ($kind IS NULL OR kind = $kind)
    QUALIFY row_number() OVER (
        PARTITION BY pool, kind ORDER BY in_force_from_at DESC, rowid DESC) = 1
    ORDER BY pool, kind
"""


class UnitCostError(WarehouseError):
    """A unit cost can't be set; the sentence says what to do."""


class InvalidUnitCost(UnitCostError):
    """A figure is missing, of the other kind, or out of bounds."""


def in_force(store: Store, pool: str, kind: NodeKind, at: datetime) -> UnitCost | None:
    """What a pool's nodes of a kind cost at an instant; None where nobody has set it."""
    found = store.rows(UnitCost, _IN_FORCE, pool=pool, kind=kind, at=at)
    return found[0] if found else None


def all_in_force(store: Store, at: datetime) -> list[UnitCost]:
    """Every unit cost in force at an instant, by pool and kind."""
    return store.rows(UnitCost, _IN_FORCE, pool=None, kind=None, at=at)


def history(store: Store, *, pool: str | None = None) -> list[UnitCost]:
    """Every unit cost that was ever set, the newest first."""
    return store.rows(
        UnitCost,
        """
        SELECT * FROM unit_costs WHERE $pool IS NULL OR pool = $pool
        ORDER BY in_force_from_at DESC, pool, kind, rowid DESC
        """,
        pool=pool,
    )


def set_unit_cost(store: Store, cost: UnitCost, *, now: datetime, via: AuditVia) -> None:
    """Put a unit cost in force, with who set it on record.

    Raises:
        InvalidUnitCost: no such pool, a figure out of bounds, one of the other kind, one that is
            needed and missing, or an instant too long ago.
    """
    _refuse_invalid(store, cost, now)
    figures = {name: value for name, value in asdict(cost).items() if value is not None}
    detail = figures | {"in_force_from_at": cost.in_force_from_at.isoformat()}
    with store.transaction():
        store.append([cost])
        target = f"{cost.pool}/{cost.kind}"
        audit.record(store, cost.set_by, "unit_cost.set", target, via=via, at=now, detail=detail)


def _refuse_invalid(store: Store, cost: UnitCost, now: datetime) -> None:
    given = {name for name in BOUNDS if getattr(cost, name) is not None}
    odd = given - OF_LEASED if cost.kind == "leased" else given & OF_LEASED
    if odd:
        raise InvalidUnitCost(
            f"{', '.join(sorted(odd))} is none of {cost.kind} nodes: leave it out"
        )
    for name in sorted(given):
        low, high = BOUNDS[name]
        if not low <= getattr(cost, name) <= high:
            raise InvalidUnitCost(
                f"{name} is {getattr(cost, name):g}, and must lie between {low:g} and {high:g}"
            )
    _refuse_incomplete(cost)
    if cost.in_force_from_at < now - EARLIEST:
        raise InvalidUnitCost(
            f"a unit cost can come into force at most {EARLIEST.days} days ago: hours that are "
            "older stay as they were metered"
        )
    if store.query("SELECT 1 FROM pools WHERE pool = $pool LIMIT 1", pool=cost.pool).is_empty():
        raise InvalidUnitCost(f"there is no pool {cost.pool}: use one that the Fleet page shows")


def _refuse_incomplete(cost: UnitCost) -> None:
    if cost.kind == "leased":
        if cost.rent_usd_per_gpu_hour is None:
            raise InvalidUnitCost("leased nodes need rent_usd_per_gpu_hour")
        return
    if (cost.purchase_usd_per_gpu is None) != (cost.depreciation_years is None):
        raise InvalidUnitCost("purchase_usd_per_gpu and depreciation_years go together")
    if (cost.residual_usd_per_gpu or 0.0) > (cost.purchase_usd_per_gpu or 0.0):
        raise InvalidUnitCost("residual_usd_per_gpu can't be more than purchase_usd_per_gpu")
    watts = (cost.idle_watts_per_gpu, cost.busy_watts_per_gpu)
    if cost.power_usd_per_kilowatt_hour is not None and None in watts:
        raise InvalidUnitCost(
            "with power_usd_per_kilowatt_hour give idle_watts_per_gpu and busy_watts_per_gpu: they "
            "hold where nothing is measured"
        )
    if all(getattr(cost, name) is None for name in BOUNDS):
        raise InvalidUnitCost("nothing is set: give at least one figure")


# -- rates, for the metering ------------------------------------------------------------


def rates(store: Store, hours: pl.Series) -> pl.DataFrame:
    """What a GPU-hour costs, a row an hour, pool and kind, as of the hour's start.

    `fixed_usd` is due for each GPU-hour that is there (leased: that is on), `idle_usd` for each on
    and idle, `busy_usd` for each held, `kilowatt_hour_usd` for each kilowatt-hour, `idle_kilowatts`
    and `busy_kilowatts` where power was not measured. `is_stand_in` says that it is of `pools`.
    """
    span = {"until": hours.max()}
    pools = store.query(
        """
        SELECT pool, owned_idle_usd_per_gpu_hour::DOUBLE AS idle,
            owned_busy_usd_per_gpu_hour::DOUBLE AS busy, leased_usd_per_gpu_hour::DOUBLE AS leased
        FROM pools QUALIFY row_number() OVER (
            PARTITION BY pool ORDER BY recorded_at DESC, rowid DESC) = 1
        """
    )
    costs = store.query(
        """
        SELECT * FROM unit_costs WHERE in_force_from_at <= $until QUALIFY row_number() OVER (
            PARTITION BY pool, kind, in_force_from_at ORDER BY rowid DESC) = 1
        ORDER BY in_force_from_at
        """,
        **span,
    )
    every = (
        pl.DataFrame({"hour": hours.unique().sort()})
        .join(pl.concat([pools.select("pool"), costs.select("pool")]).unique(), how="cross")
        .join(pl.DataFrame({"kind": list(KINDS)}), how="cross")
        .sort("hour")
    )
    given = every.join_asof(
        costs, left_on="hour", right_on="in_force_from_at", by=["pool", "kind"],
        check_sortedness=False,
    )  # fmt: skip
    return given.join(pools, on="pool", how="left").select("hour", "pool", "kind", *_rates())


def _rates() -> list[pl.Expr]:
    is_set, is_leased = pl.col("set_by").is_not_null(), pl.col("kind") == "leased"
    written_off = (
        (pl.col("purchase_usd_per_gpu") - pl.col("residual_usd_per_gpu").fill_null(0.0))
        / (pl.col("depreciation_years") * HOURS_PER_YEAR)
    ).fill_null(0.0)
    owned = written_off + pl.col("hosting_usd_per_gpu_hour").fill_null(0.0)
    a_kilowatt_hour = pl.col("power_usd_per_kilowatt_hour").fill_null(0.0) * pl.col(
        "power_overhead_ratio"
    ).fill_null(1.0)

    def chosen(set_owned: pl.Expr, else_owned: pl.Expr) -> pl.Expr:
        zero = pl.lit(0.0)
        return pl.when(is_leased).then(zero).when(is_set).then(set_owned).otherwise(else_owned)

    rent = pl.when(is_set).then("rent_usd_per_gpu_hour").otherwise("leased")
    return [
        pl.when(is_leased).then(rent).otherwise(chosen(owned, pl.lit(0.0))).alias("fixed_usd"),
        chosen(pl.lit(0.0), pl.col("idle")).alias("idle_usd"),
        chosen(pl.lit(0.0), pl.col("idle") + pl.col("busy")).alias("busy_usd"),
        chosen(a_kilowatt_hour, pl.lit(0.0)).alias("kilowatt_hour_usd"),
        (pl.col("idle_watts_per_gpu").fill_null(0.0) / 1000).alias("idle_kilowatts"),
        (pl.col("busy_watts_per_gpu").fill_null(0.0) / 1000).alias("busy_kilowatts"),
        (~is_set).alias("is_stand_in"),
    ]
