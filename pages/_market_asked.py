"""What the Market page asks of the warehouse: offers by the machine's clock, pools by the fleet's.

Each function asks for what one part of the page shows; none draws anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from pages._address import chosen
from pages._context import MOMENT_SECONDS, context, kept
from pages._grid import sorting
from pages._market_files import pools_frame
from pages._market_history import DAY, SPANS, Past, imported_choices, joined, step_of
from pages._market_sources import source_rows, states_told
from pages._market_standing import Standing
from pages._market_table import VIEWS, our_prices, with_ours
from warehouse import market, market_table, offers, price_evidence, recommendations
from warehouse.health import collector_health
from warehouse.paging import Page
from warehouse.price_evidence import PoolPrice

ONE_DAY = timedelta(days=1)
MONTH = timedelta(days=30)
ALARMS_MAX = 50_000


@dataclass(frozen=True)
class Asked:
    """What the table's filters say."""

    view: str
    model: str | None
    price_kind: str | None
    provider: str | None
    region: str | None
    tier: str | None

    @property
    def is_filtered(self) -> bool:
        """Whether any filter narrows the table."""
        return any((self.model, self.price_kind, self.provider, self.region, self.tier))

    def as_filters(self) -> dict[str, Any]:
        """What the warehouse's questions take."""
        return {name: value for name, value in vars(self).items() if name != "view"}


@dataclass(frozen=True)
class Imported:
    """One scope and kind of imported history of one model."""

    model: str
    scope: str
    """`scope:price_kind`."""
    choices: list[dict[str, str]]
    series: dict[str, Any]
    rows: pl.DataFrame


def asked_of(filters: Sequence[str | None]) -> Asked:
    """The values of `_market_table.FILTERS`, in its order."""
    model, kind, provider, region, tier, view = (value or None for value in filters)
    return Asked(chosen(view, list(VIEWS)), model, kind, provider, region, tier)


@kept(MOMENT_SECONDS)
def our_pools() -> list[PoolPrice]:
    """Our pools' prices beside the market's, now."""
    store, now, at = context().store, context().now(), context().wall.now()
    return price_evidence.pool_prices(store, now, market_at=at)


def standing_now(sources: Sequence[Mapping[str, Any]]) -> Standing:
    """What the words at the top are made of; `sources` as `sources_now` gives them."""
    store, now, at = context().store, context().now(), context().wall.now()
    before = at - ONE_DAY
    advice = recommendations.recommendations(store, now)
    return Standing(
        pools=our_pools(),
        yesterday=price_evidence.pool_prices(store, now - ONE_DAY, market_at=before),
        providers=market.provider_prices(store, at),
        providers_yesterday=market.provider_prices(store, before),
        alarms=market.alarms(store, at, since=before, limit=1).total,
        sources=states_told(sources),
        advised=len(advice),
        advised_usd_per_month=sum(each.effect_usd_per_month for each in advice),
        now=at,
    )


@kept(MOMENT_SECONDS)
def sources_now() -> list[dict[str, Any]]:
    """A row a source of the market."""
    store, at = context().store, context().wall.now()
    return source_rows(collector_health(store, now=at), market.sources(store, at))


@kept(MOMENT_SECONDS)
def availability_now() -> pl.DataFrame:
    """Share of polls of the last 30 days in which each provider had each model."""
    return market.availability(context().store, context().wall.now())


@kept(MOMENT_SECONDS)
def known_models() -> pl.DataFrame:
    """The models that have a price, and by how many."""
    return market_table.known_models(context().store, context().wall.now())


def table_page(asked: Asked, request: dict[str, Any], offset: int, limit: int) -> Page:
    """One page of the table, as its view and its filters say."""
    store, at = context().store, context().wall.now()
    if asked.view == "offers":
        return offers.comparable_offers(store, at, offset=offset, limit=limit, **asked.as_filters())
    sort, descending = sorting(request, "")
    return market_table.provider_table(
        store,
        at,
        sort=sort if sort in market_table.SORTS else None,
        descending=descending,
        offset=offset,
        limit=limit,
        **asked.as_filters(),
    )


# -- over time -------------------------------------------------------------------------


def chart_models() -> list[str]:
    """The models that have a price, ours first."""
    known = known_models()["model"].to_list()
    ours = [model for pool in our_pools() for model in pool.models]
    first = [model for model in dict.fromkeys(ours) if model in known]
    return first + [model for model in known if model not in first] or list(dict.fromkeys(ours))


def past_of(model: str, span: str | None) -> Past:
    """What was collected of a model over a span, and our prices of it."""
    store, at, fleet_now = context().store, context().wall.now(), context().now()
    since = _since(model, span, at)
    step = step_of(at - since)
    asked = {"since": since, "until": at + timedelta(microseconds=1)}
    return Past(
        model=model,
        band=market.price_history(store, [model], step_seconds=max(step, DAY), **asked),
        lines=market.provider_history(store, [model], step_seconds=step, **asked),
        ours=_our_past(model, since, at, step),
        since=since,
        now=at,
        fleet_now=fleet_now,
        step=step,
    )


def _our_past(model: str, since: datetime, at: datetime, step: int) -> dict[str, pl.DataFrame]:
    store, now = context().store, context().now()
    pools = [each.pool for each in our_pools() if model in each.models]
    found = {
        pool: price_evidence.our_history(
            store, pool, since=since, until=now, step_seconds=step, market_until=at
        )
        for pool in pools
    }
    ours = pl.col("our_usd_per_gpu_hour")
    return {pool: frame.filter(ours.is_not_null()) for pool, frame in found.items()}


def _since(model: str, span: str | None, at: datetime) -> datetime:
    """From when a span of `SPANS` reaches, on a whole day."""
    days = chosen(span, list(SPANS))
    if days == "all":
        first = market_table.first_offer_at(context().store, model) or at - MONTH
        since = min(first, at - ONE_DAY)
    else:
        since = at - timedelta(days=float(days))
    return since.replace(hour=0, minute=0, second=0, microsecond=0)


def imported_past(model: str | None, span: str | None, scope: str | None) -> Imported | None:
    """The scope of a model that was asked for, else its first; None where nothing was imported.

    The span counts back from the newest row: what was imported has long ended, mostly.
    """
    if not model:
        return None
    series = market_table.imported_series(context().store, model)
    if series.is_empty():
        return None
    choices = imported_choices(series)
    picked = chosen(scope, [each["value"] for each in choices])
    row = next(r for r in series.to_dicts() if f"{r['scope']}:{r['price_kind']}" == picked)
    days = chosen(span, list(SPANS))
    end = row["to_at"] + timedelta(microseconds=1)
    since = row["from_at"] if days == "all" else end - timedelta(days=float(days))
    found = offers.percentile_history(
        context().store, model, since=since, until=end,
        scope=row["scope"], price_kind=row["price_kind"],
    )  # fmt: skip
    return Imported(model, picked, choices, row, found)


# -- files -----------------------------------------------------------------------------


def file_frame(
    what: str, asked: Asked, model: str | None, span: str | None, scope: str | None, limit: int
) -> tuple[pl.DataFrame, int]:
    """A table to be downloaded, and how many rows it would have without the limit."""
    if what == "prices":
        found = table_page(asked, {}, 0, limit)
        return with_ours(found.rows, our_prices(our_pools())), found.total
    if what == "alarms":
        store, at = context().store, context().wall.now()
        page = market.alarms(store, at, since=at - MONTH, limit=min(limit, ALARMS_MAX))
        return page.rows, page.total
    frame = _whole_frame(what, model, span, scope)
    return frame, frame.height


def _whole_frame(what: str, model: str | None, span: str | None, scope: str | None) -> pl.DataFrame:
    store, at = context().store, context().wall.now()
    if what == "history":
        return joined_named(past_of(model, span)) if model else pl.DataFrame()
    if what == "imported":
        found = imported_past(model, span, scope)
        return found.rows if found else pl.DataFrame()
    if what == "recommendations":
        return recommendations.recommendations_frame(store, context().now())
    asked: dict[str, Callable[[], pl.DataFrame]] = {
        "availability": availability_now,
        "pools": lambda: pools_frame(our_pools()),
        "names": lambda: offers.unmatched_names(store, at),
        "sources": lambda: pl.DataFrame(sources_now(), infer_schema_length=None),
    }
    return asked[what]()


def joined_named(past: Past) -> pl.DataFrame:
    """The series of the picture side by side, every provider in it."""
    names = past.lines["provider"].unique().sort().to_list()
    return joined(past, names)
