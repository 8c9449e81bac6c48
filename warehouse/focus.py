"""Metered hours as rows of FOCUS, the FinOps Open Cost and Usage Specification.

All 57 columns of version 1.2, the two that 1.3 names anew, and our own, which begin with `x_`. One
row is what one job had of one pool in one hour under one set of terms, which is what the metering
keeps: so each row can be held against its metered hour. `docs/exports.md` says what each column
means here; the specification is at https://focus.finops.org/focus-specification/v1-2/.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

SPEC_VERSION = "1.2"
"""The version whose columns are all here; the public validator knows none later."""
NEWER_COLUMNS = {"1.3": ("ServiceProviderName", "HostProviderName")}
"""Columns of later versions that are here besides."""

PLACES = 9
"""Decimal places to which quantities, prices and costs are rounded: a billionth of a dollar."""
MONEY = pl.Decimal(28, PLACES)
"""Quantities, prices and costs: decimals, whose sum is the same in whatever order it is made."""
UNIT = "GPU-Hours"
"""As the specification's unit format has it: the parts of a compound joined by a hyphen."""

_CATEGORY_OF = {"standard": "Standard", "committed": "Committed", "spot": "Dynamic"}
"""Our terms in the specification's words: a spot price is set by the provider and moves."""

_INSTANT = pl.Datetime("us", "UTC")
_TEXT = pl.String()
_NUMBER = pl.Float64()


@dataclass(frozen=True)
class Names:
    """Who is who on the rows; from the settings."""

    provider: str = "GPU cloud"
    """Who sells the hours."""
    invoice_issuer: str = ""
    """Who sends the bill; the provider where it is empty."""
    host_provider: str = ""
    """Whose machines they are; the provider where it is empty."""
    billing_account_id: str = "gpu-cloud"
    """The account that all tenants are sub-accounts of."""
    billing_account_name: str = "GPU cloud"
    """Its name for people."""
    service: str = "GPU compute"
    """What is sold."""


@dataclass(frozen=True)
class FileColumn:
    """A column of an exported file."""

    name: str
    """Its name."""
    dtype: pl.DataType
    """Its type."""
    meaning: str
    """What is in it here."""


_MEANINGS: tuple[tuple[str, pl.DataType, str], ...] = (
    ("AvailabilityZone", _TEXT, "empty: pools stand in regions, and zones are not kept"),
    ("BilledCost", MONEY, "what the invoice says: GPU-hours held at the price agreed, USD"),
    ("BillingAccountId", _TEXT, "the account that all tenants are sub-accounts of, as set"),
    ("BillingAccountName", _TEXT, "its name, as set"),
    ("BillingAccountType", _TEXT, "always `Billing account`"),
    ("BillingCurrency", _TEXT, "always USD"),
    ("BillingPeriodEnd", _INSTANT, "first instant of the next month, exclusive"),
    ("BillingPeriodStart", _INSTANT, "first instant of the month, inclusive"),
    ("CapacityReservationId", _TEXT, "empty: there are no reservations"),
    ("CapacityReservationStatus", _TEXT, "empty, as above"),
    ("ChargeCategory", _TEXT, "always `Usage`"),
    ("ChargeClass", _TEXT, "empty: a correction comes as a whole new version of the file"),
    ("ChargeDescription", _TEXT, "the row in words"),
    ("ChargeFrequency", _TEXT, "always `Usage-Based`"),
    ("ChargePeriodEnd", _INSTANT, "end of the metered hour, exclusive"),
    ("ChargePeriodStart", _INSTANT, "start of the metered hour, inclusive"),
    ("CommitmentDiscountCategory", _TEXT, "empty: a committed price is kept per job, no contract"),
    ("CommitmentDiscountId", _TEXT, "empty, as above"),
    ("CommitmentDiscountName", _TEXT, "empty, as above"),
    ("CommitmentDiscountQuantity", MONEY, "empty, as above"),
    ("CommitmentDiscountStatus", _TEXT, "empty, as above"),
    ("CommitmentDiscountType", _TEXT, "empty, as above"),
    ("CommitmentDiscountUnit", _TEXT, "empty, as above"),
    ("ConsumedQuantity", MONEY, "GPU-hours held; four quarters of a GPU for an hour make one"),
    ("ConsumedUnit", _TEXT, f"always `{UNIT}`"),
    ("ContractedCost", MONEY, "GPU-hours held at the price agreed for the job, USD"),
    ("ContractedUnitPrice", MONEY, "the price agreed, USD per GPU-hour; 0 where none is known"),
    ("EffectiveCost", MONEY, "the same as BilledCost: nothing is paid ahead"),
    ("InvoiceId", _TEXT, "empty: invoices are written elsewhere"),
    ("InvoiceIssuerName", _TEXT, "who sends the bill, as set"),
    ("ListCost", MONEY, "GPU-hours held at the list price, USD"),
    ("ListUnitPrice", MONEY, "the pool's list price; where none is set, the price agreed"),
    ("PricingCategory", _TEXT, "`Standard`, `Committed`, or `Dynamic` for spot"),
    ("PricingCurrency", _TEXT, "always USD"),
    ("PricingCurrencyContractedUnitPrice", MONEY, "the same as ContractedUnitPrice"),
    ("PricingCurrencyEffectiveCost", MONEY, "the same as EffectiveCost"),
    ("PricingCurrencyListUnitPrice", MONEY, "the same as ListUnitPrice"),
    ("PricingQuantity", MONEY, "GPU-hours priced; the same as ConsumedQuantity"),
    ("PricingUnit", _TEXT, f"always `{UNIT}`"),
    ("ProviderName", _TEXT, "who sells the hours, as set"),
    ("PublisherName", _TEXT, "the same as ProviderName"),
    ("RegionId", _TEXT, "the pool's region; empty where it is not known"),
    ("RegionName", _TEXT, "the same"),
    ("ResourceId", _TEXT, "`job/` and the job's id"),
    ("ResourceName", _TEXT, "the job's id"),
    ("ResourceType", _TEXT, "always `GPU job`"),
    ("ServiceCategory", _TEXT, "always `Compute`"),
    ("ServiceName", _TEXT, "what is sold, as set"),
    ("ServiceSubcategory", _TEXT, "always `Other (Compute)`"),
    ("SkuId", _TEXT, "the GPU model, as `gpu-hour/h100-sxm`"),
    ("SkuMeter", _TEXT, "always `GPU-hours allocated`"),
    ("SkuPriceDetails", _TEXT, "JSON: the model, the pool, the terms, how GPUs are given out"),
    ("SkuPriceId", _TEXT, "the SKU with the pool, the terms and how its GPUs are given out"),
    ("SubAccountId", _TEXT, "the tenant"),
    ("SubAccountName", _TEXT, "the tenant"),
    ("SubAccountType", _TEXT, "always `Tenant`"),
    ("Tags", _TEXT, "JSON: pool, GPU model, terms, sharing, each key with `pilothouse/` before it"),
    ("HostProviderName", _TEXT, "whose machines they are, as set (a column of 1.3)"),
    ("ServiceProviderName", _TEXT, "the same as ProviderName (a column of 1.3)"),
    ("x_EnergyKilowattHours", MONEY, "energy the GPUs drew; empty where it was not measured"),
    ("x_GpuModel", _TEXT, "the GPU model; empty where it is not known"),
    ("x_JobId", _TEXT, "the job"),
    ("x_MeasuredRatio", _NUMBER, "share of the hours held for which use was measured, 0 to 1"),
    ("x_MeteringRunId", _TEXT, "the metering that the row comes from"),
    ("x_MeteringVersion", pl.Int64(), "which metering of that hour: above 1, it was corrected"),
    ("x_PoolId", _TEXT, "the pool"),
    ("x_PriceIsKnown", pl.Boolean(), "false: no price was known, so nothing is billed; look at it"),
    ("x_Sharing", _TEXT, "how its GPUs are given out: whole, mig, time_sliced or mps"),
    ("x_UsedGpuHours", MONEY, "of the GPU-hours held, those in which the GPU worked"),
    ("x_UsedRatio", _NUMBER, "x_UsedGpuHours over those held that were measured, 0 to 1"),
    ("x_UserId", _TEXT, "who of the tenant's people, by id; empty where it is not known"),
)

COLUMNS = tuple(FileColumn(*each) for each in _MEANINGS)
"""Every column of the file, in its order."""


def priced(hours: pl.DataFrame) -> pl.DataFrame:
    """Metered hours with quantity, unit prices and costs as decimals, under their FOCUS names.

    Costs are quantities times unit prices, all rounded to `PLACES`; so they are the metering's own
    to within a billionth of a dollar a row. A price that nobody knows counts as 0, since nothing is
    billed, and `x_PriceIsKnown` is then false.
    """
    return hours.with_columns(_quantities()).with_columns(_costs())


def focus_rows(hours: pl.DataFrame, names: Names) -> pl.DataFrame:
    """The rows of FOCUS of metered hours, which are as `metering.hours` gives them."""
    made = priced(hours).with_columns(_periods() + _people(names) + _things() + _constants(names))
    return made.select(
        pl.col(column.name).cast(column.dtype)
        if column.name in made.columns
        else pl.lit(None, dtype=column.dtype).alias(column.name)
        for column in COLUMNS
    )


def _quantities() -> list[pl.Expr]:
    agreed, listed = pl.col("price_usd_per_gpu_hour"), pl.col("list_price_usd_per_gpu_hour")
    held, used = pl.col("allocated_gpu_hours"), pl.col("used_gpu_hours")
    measured = held * pl.col("measured_ratio")
    return [
        _exact(held).alias("PricingQuantity"),
        _exact(agreed.fill_null(0.0)).alias("ContractedUnitPrice"),
        _exact(listed.fill_null(agreed).fill_null(0.0)).alias("ListUnitPrice"),
        agreed.is_not_null().alias("x_PriceIsKnown"),
        _exact(used).alias("x_UsedGpuHours"),
        _exact(pl.col("energy_kilowatt_hours")).alias("x_EnergyKilowattHours"),
        pl.when(measured > 0).then((used / measured).round(PLACES)).alias("x_UsedRatio"),
    ]


def _exact(number: pl.Expr) -> pl.Expr:
    return number.round(PLACES).cast(MONEY)


def _costs() -> list[pl.Expr]:
    quantity = pl.col("PricingQuantity")
    agreed, listed = pl.col("ContractedUnitPrice"), pl.col("ListUnitPrice")
    at_agreed = ("ContractedCost", "BilledCost", "EffectiveCost", "PricingCurrencyEffectiveCost")
    return [
        quantity.alias("ConsumedQuantity"),
        *((quantity * agreed).cast(MONEY).alias(name) for name in at_agreed),
        (quantity * listed).cast(MONEY).alias("ListCost"),
        agreed.alias("PricingCurrencyContractedUnitPrice"),
        listed.alias("PricingCurrencyListUnitPrice"),
    ]


def _periods() -> list[pl.Expr]:
    hour = pl.col("hour_starts_at")
    month = hour.dt.truncate("1mo")
    return [
        month.alias("BillingPeriodStart"),
        month.dt.offset_by("1mo").alias("BillingPeriodEnd"),
        hour.alias("ChargePeriodStart"),
        hour.dt.offset_by("1h").alias("ChargePeriodEnd"),
    ]


def _people(names: Names) -> list[pl.Expr]:
    return [
        pl.col("tenant").alias("SubAccountId"),
        pl.col("tenant").alias("SubAccountName"),
        pl.lit("Tenant").alias("SubAccountType"),
        pl.col("user_id").alias("x_UserId"),
        pl.lit(names.provider).alias("ProviderName"),
        pl.lit(names.provider).alias("PublisherName"),
        pl.lit(names.provider).alias("ServiceProviderName"),
        pl.lit(names.invoice_issuer or names.provider).alias("InvoiceIssuerName"),
        pl.lit(names.host_provider or names.provider).alias("HostProviderName"),
        pl.lit(names.billing_account_id).alias("BillingAccountId"),
        pl.lit(names.billing_account_name).alias("BillingAccountName"),
    ]


def _things() -> list[pl.Expr]:
    model = pl.col("gpu_model").fill_null("unknown GPU")
    sku = pl.concat_str(pl.lit("gpu-hour/"), _slug(model))
    terms = pl.struct(
        pl.col("pool").alias("pilothouse/pool"),
        model.alias("pilothouse/gpu_model"),
        pl.col("pricing").alias("pilothouse/terms"),
        pl.col("sharing").alias("pilothouse/sharing"),
    )
    details = pl.struct(
        pl.lit(1).alias("GpuCount"),
        model.alias("InstanceSeries"),
        pl.col("pool").alias("x_Pool"),
        pl.col("pricing").alias("x_Terms"),
        pl.col("sharing").alias("x_Sharing"),
    )
    return [
        pl.concat_str(pl.lit("job/"), "job_id").alias("ResourceId"),
        pl.col("job_id").alias("ResourceName"),
        pl.col("job_id").alias("x_JobId"),
        pl.col("pool").alias("x_PoolId"),
        pl.col("gpu_model").alias("x_GpuModel"),
        pl.col("sharing").alias("x_Sharing"),
        pl.col("region").alias("RegionId"),
        pl.col("region").alias("RegionName"),
        sku.alias("SkuId"),
        pl.concat_str(sku, "pool", "pricing", "sharing", separator="/").alias("SkuPriceId"),
        details.struct.json_encode().alias("SkuPriceDetails"),
        terms.struct.json_encode().alias("Tags"),
        pl.col("pricing").replace_strict(_CATEGORY_OF).alias("PricingCategory"),
        pl.format("{} on {} by job {}, {} terms", model, "pool", "job_id", "pricing").alias(
            "ChargeDescription"
        ),
        pl.col("run_id").alias("x_MeteringRunId"),
        pl.col("version").alias("x_MeteringVersion"),
        pl.col("measured_ratio").alias("x_MeasuredRatio"),
    ]


def _slug(text: pl.Expr) -> pl.Expr:
    return text.str.to_lowercase().str.replace_all(r"[^a-z0-9]+", "-").str.strip_chars("-")


def _constants(names: Names) -> list[pl.Expr]:
    always = {
        "BillingAccountType": "Billing account",
        "BillingCurrency": "USD",
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ConsumedUnit": UNIT,
        "PricingCurrency": "USD",
        "PricingUnit": UNIT,
        "ResourceType": "GPU job",
        "ServiceCategory": "Compute",
        "ServiceName": names.service,
        "ServiceSubcategory": "Other (Compute)",
        "SkuMeter": "GPU-hours allocated",
    }
    return [pl.lit(text).alias(name) for name, text in always.items()]
