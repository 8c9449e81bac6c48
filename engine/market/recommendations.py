"""What to do about the market, ranked by what it is worth in a month.

Each has its effect in USD a month, a range and the assumptions it rests on. What the loop can carry
out is a decision, the rest a finding for a person. The same rows give the same recommendations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import polars as pl

from engine.market.pool_cases import HOURS_PER_MONTH, Case, cases_of
from warehouse.actions import sentence
from warehouse.market import provider_prices
from warehouse.records import PriceElasticity, Recommendation
from warehouse.store import Store

PRICE_STEPS = 40
"""Prices that are tried between the lowest and the highest that one step may reach."""
SMALLEST_STEP_RATIO = 0.005
MOST_USED_RATIO = 0.95
"""GPUs that are on are never all in use: nodes are whole and jobs are not."""
LEAST_EFFECT_USD = 50.0
"""A month; what is worth less is not said."""
MOST_FINDINGS = 5
"""New models that are named."""
NODE_GPUS = 8


@dataclass(frozen=True)
class Effect:
    """What something is worth, USD a month."""

    middle: float
    low: float
    high: float


def recommendations(
    store: Store,
    now: datetime,
    elasticities: Iterable[PriceElasticity],
    *,
    market_at: datetime | None = None,
) -> list[Recommendation]:
    """What to do, the most valuable first; `now` is the console's clock."""
    cases = cases_of(store, now, {e.pool: e for e in elasticities}, market_at or now)
    standing = provider_prices(store, market_at or now)
    found = [
        one
        for case in cases
        for one in (_price(case, now), _cheaper_leases(case, standing, now))
        if one is not None
    ]
    found += _missing_models(cases, standing, now)
    return ranked(found)


def ranked(found: Iterable[Recommendation]) -> list[Recommendation]:
    """By effect, then by title, each with its place."""
    order = sorted(found, key=lambda one: (-one.effect_usd_per_month, one.title))
    return [replace(one, rank=place) for place, one in enumerate(order, start=1)]


# -- a price ---------------------------------------------------------------------------


def monthly_profit(case: Case, price: float, elasticity: float) -> float:
    """Contribution of a pool at a price, USD a month, by a constant elasticity from today's.

    Demand beyond what is on is not served; GPUs that work cost power, those that are on cost it
    whatever the price.
    """
    base = case.state.price_usd_per_gpu_hour
    served: float = min(
        case.used_gpus * (price / base) ** elasticity,
        max(case.on_gpus * MOST_USED_RATIO, case.used_gpus),
    )
    margin = price - case.pool.owned_busy_usd_per_gpu_hour
    return served * margin * HOURS_PER_MONTH


def best_price(case: Case) -> float | None:
    """The price inside floor, ceiling and one step that earns most; None where none is allowed."""
    now = case.state.price_usd_per_gpu_hour
    step = case.price.largest_step_usd_per_gpu_hour or 0.0
    floor = max(case.price.floor_usd_per_gpu_hour or 0.0, case.price.unit_cost_usd_per_gpu_hour)
    ceiling = case.price.ceiling_usd_per_gpu_hour or now + step
    # rounding to a cent of a cent must not pass the limits
    low, high = max(now - step, floor), min(now + step, ceiling)
    if low > high:
        return None
    tried = [low + (high - low) * n / PRICE_STEPS for n in range(PRICE_STEPS + 1)]
    return max(tried, key=lambda price: monthly_profit(case, price, case.elasticity.elasticity))


def _price(case: Case, now: datetime) -> Recommendation | None:
    best, today = best_price(case), case.state.price_usd_per_gpu_hour
    if best is None or abs(best - today) < SMALLEST_STEP_RATIO * today:
        return None
    price = round(best, 4)
    effect = price_effect(case, price)
    if effect.middle < LEAST_EFFECT_USD:
        return None
    parameters = {"price_usd_per_gpu_hour": price}
    title = (
        f"{sentence('adjust_price', case.pool.pool, parameters)}: "
        f"{price / today - 1:+.1%}, {_money(effect.middle)} a month"
    )
    return _made(
        "decision", title, _price_reason(case, price), effect, _price_assumptions(case), now,
        action="adjust_price", pool=case.pool.pool, parameters=parameters,
    )  # fmt: skip


def price_effect(case: Case, price: float) -> Effect:
    """What a price is worth against today's, over the elasticity's interval."""
    several = [
        monthly_profit(case, price, e) - monthly_profit(case, case.state.price_usd_per_gpu_hour, e)
        for e in (case.elasticity.elasticity, case.elasticity.low, case.elasticity.high)
    ]
    return Effect(several[0], min(several), max(several))


def _price_reason(case: Case, price: float) -> str:
    market, today = case.price.market, case.state.price_usd_per_gpu_hour
    words = [
        f"Ours is ${today:.2f} per GPU-hour and {case.used_gpus:.0f} of {case.on_gpus:.0f} GPUs "
        f"are in use."
    ]
    if market is not None:
        words.append(
            f"{market.providers} providers ask ${market.p10_usd_per_gpu_hour:.2f} to "
            f"${market.p90_usd_per_gpu_hour:.2f} (p10 to p90, median "
            f"${market.median_usd_per_gpu_hour:.2f}); we are {case.price.rank} of "
            f"{case.price.ranked} from the cheapest."
        )
    demand = (price / today) ** case.elasticity.elasticity - 1
    words.append(
        f"At an elasticity of {case.elasticity.elasticity:.2f} the demand changes by "
        f"{demand:+.0%}. A GPU-hour costs us ${case.price.unit_cost_usd_per_gpu_hour:.2f} "
        f"({case.price.unit_cost_basis})."
    )
    return " ".join(words)


def _price_assumptions(case: Case) -> list[str]:
    e = case.elasticity
    return [
        f"Demand answers with an elasticity of {e.elasticity:.2f}, {e.low:.2f} to {e.high:.2f}. "
        f"{e.detail}",
        f"Use stays at the mean of {case.basis}; at most {MOST_USED_RATIO:.0%} of the GPUs that "
        "are on can be sold.",
        "Competitors do not answer the change, and running jobs keep their price.",
        f"A month has {HOURS_PER_MONTH:.0f} hours.",
    ]


# -- findings --------------------------------------------------------------------------


def _cheaper_leases(case: Case, standing: pl.DataFrame, now: datetime) -> Recommendation | None:
    """Somebody sells what we lease for less than we pay."""
    lease, hours = case.pool.leased_usd_per_gpu_hour, case.leased_gpu_hours_per_month
    offers = _comparable(standing, case.price.models)
    cheaper = offers.filter(pl.col("price_usd_per_gpu_hour") < lease)
    if cheaper.is_empty() or hours <= 0:
        return None
    provider, price = cheaper.sort("price_usd_per_gpu_hour", "provider").select(
        "provider", "price_usd_per_gpu_hour"
    ).row(0)  # fmt: skip
    dearest = float(cheaper["price_usd_per_gpu_hour"].max())  # type: ignore[arg-type]
    effect = Effect((lease - price) * hours, (lease - dearest) * hours, (lease - price) * hours)
    if effect.middle < LEAST_EFFECT_USD:
        return None
    title = (
        f"Lease {case.pool.gpu_model} for {case.pool.pool} at {provider}'s ${price:.2f} instead of "
        f"${lease:.2f}: {_money(effect.middle)} a month"
    )
    reason = (
        f"We leased {hours:,.0f} GPU-hours a month at ${lease:.2f}; {cheaper.height} providers ask "
        f"less on demand, ${price:.2f} to ${dearest:.2f} (their medians)."
    )
    assumptions = [
        f"As much is leased as in {case.basis}.",
        "Their nodes serve as ours do; what moving costs is not in it.",
        "They have enough of them: stock is told for single machines alone.",
    ]
    return _made("finding", title, reason, effect, assumptions, now, pool=case.pool.pool)


def _missing_models(
    cases: list[Case], standing: pl.DataFrame, now: datetime
) -> Iterator[Recommendation]:
    """A model that most competitors have and we don't: what a node of it would earn."""
    ours = {model for case in cases for model in case.price.models}
    on = sum(case.on_gpus for case in cases)
    if not cases or on <= 0:
        return
    used_ratio = sum(case.used_gpus for case in cases) / on
    offers = _comparable(standing, None).filter(~pl.col("model").is_in(list(ours)))
    spread = offers.group_by("model").agg(
        pl.col("price_usd_per_gpu_hour").median().alias("median"),
        pl.col("price_usd_per_gpu_hour").min().alias("cheapest"),
        pl.col("price_usd_per_gpu_hour").quantile(0.1, "linear").alias("p10"),
        pl.col("price_usd_per_gpu_hour").quantile(0.9, "linear").alias("p90"),
        pl.col("provider").n_unique().alias("providers"),
    )
    made = [
        _missing(row, used_ratio, now)
        for row in spread.filter(pl.col("providers") >= 3).sort("model").iter_rows(named=True)
    ]
    worth = [one for one in made if one.effect_usd_per_month >= LEAST_EFFECT_USD]
    yield from ranked(worth)[:MOST_FINDINGS]


def _missing(row: Mapping[str, Any], used_ratio: float, now: datetime) -> Recommendation:
    hours = NODE_GPUS * HOURS_PER_MONTH
    middle, low, high = (
        (row[name] * used_ratio - row["cheapest"]) * hours for name in ("median", "p10", "p90")
    )
    title = (
        f"Offer {row['model']}: a node of {NODE_GPUS} sold at the median of ${row['median']:.2f} "
        f"and leased at the cheapest ${row['cheapest']:.2f} earns {_money(middle)} a month"
    )
    reason = (
        f"{row['providers']} providers have it and we don't, at ${row['p10']:.2f} to "
        f"${row['p90']:.2f} per GPU-hour (p10 to p90 of their medians)."
    )
    assumptions = [
        f"It is used as much as our GPUs that are on: {used_ratio:.0%} of the hours.",
        "It costs what the cheapest competitor asks, leased by the hour; owning it is another sum.",
        "Customers for it come as they come for our other models: nobody has asked them.",
    ]
    return _made("finding", title, reason, Effect(middle, low, high), assumptions, now)


# -- how -------------------------------------------------------------------------------


def _comparable(standing: pl.DataFrame, models: Iterable[str] | None) -> pl.DataFrame:
    """Each provider's on-demand price of a data centre's GPUs that are in stock."""
    found = standing.filter(
        (pl.col("price_kind") == "on_demand")
        & (pl.col("tier").fill_null("secure") == "secure")
        & (pl.col("stock").fill_null("") != "none")
    )
    return found if models is None else found.filter(pl.col("model").is_in(list(models)))


def _made(
    kind: Any,
    title: str,
    reason: str,
    effect: Effect,
    assumptions: list[str],
    now: datetime,
    *,
    action: Any = None,
    pool: str | None = None,
    parameters: dict[str, Any] | None = None,
) -> Recommendation:
    told = f"recommendation/{now.isoformat()}/{kind}/{title}"
    return Recommendation(
        recommendation_id=str(uuid5(NAMESPACE_URL, told)),
        rank=0,
        kind=kind,
        title=title,
        reason=reason,
        effect_usd_per_month=round(effect.middle, 2),
        effect_low_usd_per_month=round(effect.low, 2),
        effect_high_usd_per_month=round(effect.high, 2),
        assumptions=assumptions,
        action=action,
        pool=pool,
        parameters=parameters or {},
        made_at=now,
    )


def _money(usd: float) -> str:
    return f"${usd:,.0f}" if usd >= 0 else f"-${-usd:,.0f}"
