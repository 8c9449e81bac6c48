"""Metered hours as rows of FOCUS: every column, and amounts that agree with each other."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from tests.exporting import make_metered_hour
from warehouse.focus import COLUMNS, MONEY, Names, focus_rows

NEW_YEARS_EVE = datetime(2026, 12, 31, 23, tzinfo=UTC)


def _row(names: Names | None = None, **changes: Any) -> dict[str, Any]:
    hour = make_metered_hour(**({"hour_starts_at": NEW_YEARS_EVE} | changes))
    fields = {name: [getattr(hour, name)] for name in hour.__slots__}
    frame = pl.DataFrame(fields).with_columns(
        pl.lit(2).alias("version"),
        *(
            pl.col(name).cast(pl.Float64)
            for name, values in fields.items()
            if name.endswith(("hours", "hour", "ratio")) and values == [None]
        ),
        *(pl.col(name).cast(pl.String) for name in ("user_id", "gpu_model", "region")),
    )
    return focus_rows(frame, names or Names()).row(0, named=True)


def test_a_row_covers_its_hour_in_the_month_of_its_bill() -> None:
    row = _row()
    assert row["ChargePeriodStart"] == NEW_YEARS_EVE
    assert row["ChargePeriodEnd"] == row["BillingPeriodEnd"] == datetime(2027, 1, 1, tzinfo=UTC)
    assert row["BillingPeriodStart"] == datetime(2026, 12, 1, tzinfo=UTC)


def test_costs_are_quantities_times_prices_to_the_last_digit() -> None:
    row = _row(
        allocated_gpu_hours=1 / 3,
        price_usd_per_gpu_hour=2.123456789,
        list_price_usd_per_gpu_hour=2.5,
    )
    assert row["PricingQuantity"] == row["ConsumedQuantity"] == Decimal("0.333333333")
    exact = row["PricingQuantity"] * row["ContractedUnitPrice"]
    assert abs(row["ContractedCost"] - exact) <= Decimal("1e-9")
    assert row["BilledCost"] == row["EffectiveCost"] == row["ContractedCost"]
    assert abs(row["ListCost"] - row["PricingQuantity"] * Decimal("2.5")) <= Decimal("1e-9")
    assert row["PricingUnit"] == row["ConsumedUnit"] == "GPU-Hours"


@pytest.mark.parametrize(
    ("terms", "category"),
    [("standard", "Standard"), ("committed", "Committed"), ("spot", "Dynamic")],
)
def test_terms_are_told_in_the_specifications_words(terms: str, category: str) -> None:
    row = _row(pricing=terms)
    assert row["PricingCategory"] == category
    assert row["SkuPriceId"] == f"gpu-hour/h100-sxm/h100-us-east/{terms}/whole"
    assert row["SkuId"] == "gpu-hour/h100-sxm"


def test_gpu_hours_held_and_used_are_apart() -> None:
    row = _row(allocated_gpu_hours=8.0, used_gpu_hours=3.0, measured_ratio=0.5)
    assert (row["ConsumedQuantity"], row["x_UsedGpuHours"]) == (8, 3)
    assert row["x_UsedRatio"] == 0.75
    assert _row(used_gpu_hours=None, measured_ratio=None)["x_UsedGpuHours"] is None


def test_a_price_that_nobody_knows_bills_nothing_and_is_marked() -> None:
    row = _row(price_usd_per_gpu_hour=None, list_price_usd_per_gpu_hour=None)
    assert (row["BilledCost"], row["ListUnitPrice"], row["x_PriceIsKnown"]) == (0, 0, False)
    listed = _row(list_price_usd_per_gpu_hour=None)
    assert listed["ListUnitPrice"] == listed["ContractedUnitPrice"] == Decimal("2.25")


def test_who_is_who_comes_from_the_settings() -> None:
    row = _row(Names(provider="Acme", billing_account_id="acme-1"))
    who = ("ProviderName", "PublisherName", "InvoiceIssuerName", "HostProviderName")
    assert {row[name] for name in who} == {"Acme"}
    assert (row["BillingAccountId"], row["SubAccountId"]) == ("acme-1", "tenant-a")
    hosted = _row(Names(provider="Acme", invoice_issuer="Bills", host_provider="Metal"))
    assert (hosted["InvoiceIssuerName"], hosted["HostProviderName"]) == ("Bills", "Metal")


def test_tags_and_details_are_json_with_keys_of_ours_marked_as_such() -> None:
    row = _row(gpu_model=None, region=None)
    tags, details = json.loads(row["Tags"]), json.loads(row["SkuPriceDetails"])
    assert all(name.startswith("pilothouse/") for name in tags)
    assert {name for name in details if not name.startswith("x_")} == {"GpuCount", "InstanceSeries"}
    assert (row["RegionId"], row["RegionName"], row["x_GpuModel"]) == (None, None, None)
    assert row["SkuId"] == "gpu-hour/unknown-gpu"


def test_all_columns_are_there_and_ours_come_last_marked() -> None:
    names = [column.name for column in COLUMNS]
    assert list(_row()) == names
    assert len([name for name in names if not name.startswith("x_")]) == 59
    assert names == sorted(names, key=lambda name: name.startswith("x_"))
    money = [column.name for column in COLUMNS if column.dtype == MONEY]
    assert {"BilledCost", "ListCost", "PricingQuantity"} <= set(money)
