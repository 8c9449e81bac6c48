"""The metrics of every competitor, from offers over time; what documentation says fills the rest.

What stands in a provider's newest answers of the last days gives its prices and its kit; a month of
answers gives how often it has stock and how its prices move. Nothing is guessed: a metric without
rows behind it and without a fact is stored with no value, and so shown as unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import polars as pl

from engine.market.facts import Facts, facts
from engine.market.metric_rows import Figure, Figures, Seen, rows_of
from warehouse.market import AVAILABILITY, STANDING
from warehouse.records import MarketMetric
from warehouse.store import Store

LAST_GOOD = timedelta(days=7)
"""An answer older than this tells nothing of today; `data_age` says how old the used one is."""
MONTH = timedelta(days=30)
MOVED_RATIO = 0.005
"""A price that moved by less did not."""
LEAST_DAYS = 7
"""Days with a price of a model, below which nothing is said of how it moves."""
LEAST_OFFERS = 5
"""Offers of a model, below which nothing is said of their spread."""
STOCK_LEVELS = {"none": 0.0, "low": 1 / 3, "medium": 2 / 3, "high": 1.0}

_COLUMNS = """
    provider, model, tier, price_kind, commitment_months, gpu_count, region, stock,
    price_usd_per_gpu_hour AS price, vcpu_count, memory_bytes, disk_bytes,
    storage_usd_per_gigabyte_month, ingress_usd_per_gigabyte, egress_usd_per_gigabyte,
    download_bits_per_second, upload_bits_per_second, reliability_ratio, max_gpu_count,
    interconnect_bits_per_second, performance_score, measured_at
"""
_STANDING = f"SELECT {_COLUMNS} FROM ({STANDING})"
_DAILY = """
    SELECT provider, model, coalesce(tier, '') AS tier, date_trunc('day', measured_at) AS day,
        median(price_usd_per_gpu_hour) AS price, count(*) AS polls
    FROM offers WHERE measured_at > $since AND measured_at <= $now AND model IS NOT NULL
        AND price_kind = 'on_demand' AND price_usd_per_gpu_hour > 0
    GROUP BY ALL ORDER BY provider, model, tier, day
"""


def collected(store: Store, now: datetime, known: Facts | None = None) -> list[MarketMetric]:
    """Every metric of every competitor at an instant of the market's clock."""
    known = known or facts()
    return rows_of(seen(store, now, known), now, known)


def seen(store: Store, now: datetime, known: Facts | None = None) -> Seen:
    """What the offers up to an instant tell of every provider."""
    standing = store.query(_STANDING, since=now - LAST_GOOD, now=now)
    prices = headline(standing)
    daily = store.query(_DAILY, since=now - MONTH, now=now)
    stock = store.query(AVAILABILITY, since=now - MONTH, now=now)
    figures: Figures = {}
    parts = (
        _price_figures(standing, prices, known or facts()),
        _movement_figures(daily),
        _kit_figures(standing),
        _stock_figures(standing, stock),
        _age_figures(standing, now),
    )
    for part in parts:
        figures.update(part)
    ends = standing.group_by("provider").agg(
        pl.col("measured_at").min().alias("first"), pl.col("measured_at").max().alias("last")
    )
    return Seen(figures, prices, {who: (first, last) for who, first, last in ends.iter_rows()})


def headline(standing: pl.DataFrame) -> pl.DataFrame:
    """Each provider's on-demand price of a model: the median of its data centres' offers, of
    anybody's hosts where it has no others."""
    on_demand = standing.filter(
        (pl.col("price_kind") == "on_demand") & pl.col("model").is_not_null()
    ).with_columns((pl.col("tier") == "community").fill_null(False).alias("is_community"))
    best = on_demand.filter(
        pl.col("is_community") == pl.col("is_community").min().over("provider", "model")
    )
    return (
        best.group_by("provider", "model")
        .agg(pl.col("price").median(), pl.len().alias("offers"))
        .sort("provider", "model")
    )


# -- prices ----------------------------------------------------------------------------


def _price_figures(standing: pl.DataFrame, prices: pl.DataFrame, known: Facts) -> Figures:
    found: Figures = {}
    for provider in prices["provider"].unique().sort():
        mine = prices.filter(pl.col("provider") == provider)
        others = prices.filter(pl.col("provider") != provider)
        own = dict(zip(mine["model"], mine["price"], strict=True))
        found[provider, "on_demand_price"] = against_others(own, others, int(mine["offers"].sum()))
        found[provider, "performance_per_dollar"] = performance_per_dollar(own, known)
    found |= _discounts(standing)
    found |= _secure_premium(standing)
    return found | _dispersion(standing)


def against_others(own: dict[str, float], others: pl.DataFrame, rows: int) -> Figure:
    """Prices by model over the median of the others', as a geometric mean."""
    medians: dict[str, float] = dict(
        others.group_by("model").agg(pl.col("price").median()).iter_rows()
    )
    shared = {model: price / medians[model] for model, price in own.items() if model in medians}
    if not shared:
        return Figure(None, rows, {"why_unknown": "nobody else has a model that it has"})
    mean = float(pl.Series(list(shared.values())).log().mean())  # type: ignore[arg-type]
    told = {
        model: {"price": round(own[model], 4), "others_median": round(medians[model], 4)}
        for model in sorted(shared)
    }
    return Figure(float(pl.Series([mean]).exp()[0]), rows, {"models": told})


def performance_per_dollar(own: dict[str, float], sheets: Facts) -> Figure:
    """The most BF16 TFLOP/s for a USD per hour among the models whose data sheet is known."""
    ratios = {
        model: teraflops / price
        for model, price in own.items()
        if (teraflops := sheets.teraflops(model)) is not None
    }
    if not ratios:
        return Figure(None, 0, {"why_unknown": "no data sheet of its models is known"})
    best = max(sorted(ratios), key=lambda model: ratios[model])
    return Figure(ratios[best], len(ratios), {"model": best, "teraflops": sheets.teraflops(best)})


def _by_tier(standing: pl.DataFrame, kinds: Iterable[str], name: str) -> pl.DataFrame:
    return (
        standing.filter(pl.col("price_kind").is_in(list(kinds)) & pl.col("model").is_not_null())
        .with_columns(pl.col("tier").fill_null(""))
        .group_by("provider", "model", "tier")
        .agg(pl.col("price").median().alias(name), pl.len().alias(f"{name}_rows"))
    )


def _discounts(standing: pl.DataFrame) -> Figures:
    on_demand = _by_tier(standing, ["on_demand"], "full")
    longest = standing.filter(
        (pl.col("price_kind") == "reserved")
        & (
            pl.col("commitment_months").fill_null(0)
            == pl.col("commitment_months").fill_null(0).max().over("provider", "model")
        )
    )
    found: Figures = {}
    for metric, cheaper in (
        ("spot_discount", _by_tier(standing, ["spot", "spot_bid"], "less")),
        ("commitment_discount", _by_tier(longest, ["reserved"], "less")),
    ):
        pairs = on_demand.join(cheaper, on=["provider", "model", "tier"])
        ratio = (1 - pl.col("less") / pl.col("full")).median().alias("value")
        rows = (pl.col("less_rows") + pl.col("full_rows")).sum().alias("rows")
        found |= _figures(metric, pairs.group_by("provider").agg(ratio, rows))
    return found


def _secure_premium(standing: pl.DataFrame) -> Figures:
    tiers = _by_tier(standing, ["on_demand"], "price")
    secure, anybody = (tiers.filter(pl.col("tier") == tier) for tier in ("secure", "community"))
    pairs = secure.join(anybody, on=["provider", "model"], suffix="_community")
    premium = (pl.col("price") / pl.col("price_community") - 1).median().alias("value")
    rows = (pl.col("price_rows") + pl.col("price_rows_community")).sum().alias("rows")
    return _figures("secure_premium", pairs.group_by("provider").agg(premium, rows))


def _dispersion(standing: pl.DataFrame) -> Figures:
    price = pl.col("price")
    spread = (
        standing.filter((pl.col("price_kind") == "on_demand") & pl.col("model").is_not_null())
        .group_by("provider", "model")
        .agg(
            (price.quantile(0.1, "linear") / price.quantile(0.9, "linear")).alias("ratio"),
            pl.len().alias("rows"),
        )
        .filter(pl.col("rows") >= LEAST_OFFERS)
    )
    return _figures(
        "price_dispersion",
        spread.group_by("provider").agg(
            pl.col("ratio").median().alias("value"), pl.col("rows").sum()
        ),
    )


def _movement_figures(daily: pl.DataFrame) -> Figures:
    series = ["provider", "model", "tier"]
    moved = daily.with_columns(
        (pl.col("price") / pl.col("price").shift(1).over(series)).alias("step")
    )
    each = (
        moved.group_by(series)
        .agg(
            ((pl.col("step") - 1).abs() > MOVED_RATIO).sum().alias("changes"),
            pl.col("step").log().std().alias("volatility"),
            pl.len().alias("days"),
            pl.col("polls").sum().alias("rows"),
        )
        .filter(pl.col("days") >= LEAST_DAYS)
    )
    found: Figures = {}
    for metric, column in (("price_changes", "changes"), ("price_volatility", "volatility")):
        value = pl.col(column).cast(pl.Float64).mean().alias("value")
        found |= _figures(metric, each.group_by("provider").agg(value, pl.col("rows").sum()))
    return found


# -- kit, stock, age -------------------------------------------------------------------


def _kit_figures(standing: pl.DataFrame) -> Figures:
    each_gpu = pl.col("gpu_count").clip(lower_bound=1)
    whole_price = pl.col("price") * each_gpu
    medians = {
        "vcpu_per_gpu": pl.col("vcpu_count") / each_gpu,
        "memory_per_gpu": pl.col("memory_bytes") / each_gpu / 1e9,
        "local_disk": pl.col("disk_bytes") / each_gpu / 1e9,
        "storage_price": pl.col("storage_usd_per_gigabyte_month"),
        "egress_price": pl.col("egress_usd_per_gigabyte"),
        "ingress_price": pl.col("ingress_usd_per_gigabyte"),
        "download": pl.col("download_bits_per_second") / 1e6,
        "upload": pl.col("upload_bits_per_second") / 1e6,
        "host_reliability": pl.col("reliability_ratio"),
        "dlperf_per_dollar": pl.col("performance_score") / whole_price,
    }
    most = {
        "interconnect": pl.col("interconnect_bits_per_second") / 1e9,
        "max_gpus": pl.max_horizontal("max_gpu_count", "gpu_count").cast(pl.Float64),
    }
    on_demand = standing.filter(pl.col("price_kind") == "on_demand")
    found: Figures = {}
    for name, value in (medians | most).items():
        middle = value.max() if name in most else value.median()
        grouped = on_demand.group_by("provider").agg(
            middle.alias("value"), value.count().alias("rows")
        )
        found |= _figures(name, grouped)
    return found


def _stock_figures(standing: pl.DataFrame, polls: pl.DataFrame) -> Figures:
    counts = {"regions": pl.col("region"), "gpu_models": pl.col("model")}
    found: Figures = {}
    for name, column in counts.items():
        different = column.drop_nulls().n_unique()
        grouped = standing.group_by("provider").agg(
            pl.when(different > 0).then(different).cast(pl.Float64).alias("value"),
            column.count().alias("rows"),
        )
        found |= _figures(name, grouped)
    level = pl.col("stock").replace_strict(STOCK_LEVELS, default=None, return_dtype=pl.Float64)
    models = (
        standing.filter((pl.col("price_kind") == "on_demand") & pl.col("model").is_not_null())
        # who says of some only that there is stock would be scored by its sold-out ones alone
        .filter(~(pl.col("stock") == "some").fill_null(False).any().over("provider"))
        .group_by("provider", "model")
        .agg(level.mean().alias("level"), pl.col("stock").count().alias("rows"))
    )
    found |= _figures(
        "stock_level",
        models.group_by("provider").agg(
            pl.col("level").mean().alias("value"), pl.col("rows").sum()
        ),
    )
    rate = polls.group_by("provider").agg(
        pl.col("availability_ratio").mean().alias("value"), pl.col("polls").sum().alias("rows")
    )
    return found | _figures("availability_rate", rate)


def _age_figures(standing: pl.DataFrame, now: datetime) -> Figures:
    newest = pl.col("measured_at").max()
    hours = ((pl.lit(now) - newest).dt.total_seconds() / 3600).alias("value")
    return _figures("data_age", standing.group_by("provider").agg(hours, pl.len().alias("rows")))


def _figures(metric: str, frame: pl.DataFrame) -> Figures:
    """Of `provider`, `value` and `rows`; a value that is not known has no figure."""
    return {
        (provider, metric): Figure(float(value), int(rows))
        for provider, value, rows in frame.select("provider", "value", "rows").iter_rows()
        if value is not None
    }
