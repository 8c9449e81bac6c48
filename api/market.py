"""/api/v1/market: offers, prices, benchmarks, recommendations; /api/v1/prices: our own price list.

Whoever may look may read; setting weights and proposing need an operator. Offers and scores go by
the collectors' clock, our pools and recommendations by the console's.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import polars as pl
from fastapi import APIRouter, Depends, Query, Response

from api.downloads import FileFormat, file_of
from api.market_shapes import (
    AlarmShape,
    CardShape,
    ElasticityShape,
    ExplanationShape,
    ListPriceShape,
    MarketPriceShape,
    MetricShape,
    OfferShape,
    PastPriceShape,
    PastScoreShape,
    PoolPriceShape,
    ProposedShape,
    ProviderPriceShape,
    RecommendationShape,
    SensitivityShape,
    SourceShape,
    WeightsSetting,
    WeightsShape,
)
from api.office import Here, Office, Operator
from api.problems import Refused
from api.shapes import Paged, Rows
from warehouse import benchmarks, market, price_evidence, recommendations, score_weights
from warehouse.paging import Page, Position

router = APIRouter(prefix="/api/v1", tags=["market"])

MOST_ROWS = 200_000
"""Rows of offers in one file."""
USUAL_SPAN = timedelta(days=1)
PriceKind = Literal["on_demand", "reserved", "spot", "spot_bid"]
Tier = Literal["secure", "community"]
Downloadable = Literal["offers", "prices", "providers", "benchmarks", "metrics", "recommendations"]

Model = Annotated[str | None, Query(description="Only this GPU model, by our name.")]
Provider = Annotated[str | None, Query(description="Only this provider.")]
Format = Annotated[FileFormat, Query(description="CSV or Parquet.")]
Since = Annotated[datetime | None, Query(description="From this instant; a day ago by default.")]
Until = Annotated[datetime | None, Query(description="Up to this instant; now by default.")]
Pool = Annotated[str | None, Query(description="Only this pool.")]
Days = Annotated[float, Query(gt=0, le=1500, description="So many days back.")]


class OfferFilter:
    """Which offers are asked for."""

    def __init__(
        self,
        provider: Provider = None,
        model: Model = None,
        price_kind: Annotated[PriceKind | None, Query(description="Only of this kind.")] = None,
        tier: Annotated[Tier | None, Query(description="Only of this tier.")] = None,
        is_known: Annotated[
            bool | None, Query(description="False: only GPUs that have no name of ours.")
        ] = None,
        since: Since = None,
        until: Until = None,
    ) -> None:
        self._asked = {"provider": provider, "model": model, "price_kind": price_kind,
                       "tier": tier, "is_known": is_known}  # fmt: skip
        self._since, self._until = since, until

    def page(self, here: Office, offset: Position, limit: int) -> Page:
        """The offers asked for."""
        until = _aware(self._until) or here.wall.now()
        since = _aware(self._since) or until - USUAL_SPAN
        asked: dict[str, Any] = self._asked
        return market.offers(
            here.store, since=since, until=until, offset=offset, limit=limit, **asked
        )


Asked = Annotated[OfferFilter, Depends()]


@router.get("/market/offers", response_model=Rows[OfferShape])  # type: ignore[valid-type]
def offers(here: Here, paged: Paged, asked: Asked) -> dict[str, Any]:
    """The offers of a span as they came, the newest first."""
    return paged.rows(asked.page(here, paged.position, paged.limit))


@router.get("/market/prices", response_model=Rows[MarketPriceShape])
def prices(here: Here, paged: Paged) -> dict[str, Any]:
    """Each model's on-demand prices now. Comparable offers alone: data centres', in stock."""
    return paged.rows_of_frame(market.prices_now(here.store, here.wall.now()))


@router.get("/market/prices/providers", response_model=Rows[ProviderPriceShape])
def provider_prices(here: Here, paged: Paged, model: Model = None) -> dict[str, Any]:
    """What each provider asks now, by model, kind, tier and commitment."""
    found = market.provider_prices(here.store, here.wall.now(), model=model)
    return paged.rows_of_frame(found)


@router.get("/market/prices/history", response_model=Rows[PastPriceShape])
def price_history(
    here: Here,
    paged: Paged,
    model: Annotated[str, Query(description="The GPU model, by our name.")],
    days: Days = 90.0,
    step_seconds: Annotated[int, Query(ge=300, le=2_592_000, description="A row's span.")] = 86_400,
) -> dict[str, Any]:
    """A model's on-demand prices over time."""
    until = here.wall.now()
    since = until - timedelta(days=days)
    found = market.price_history(
        here.store, [model], since=since, until=until, step_seconds=step_seconds
    )
    return paged.rows_of_frame(found)


@router.get("/market/pools", response_model=Rows[PoolPriceShape])
def pool_prices(here: Here, paged: Paged) -> dict[str, Any]:
    """Our pools' prices beside the market's: percentiles, rank, elasticity, floor and ceiling."""
    found = price_evidence.pool_prices(here.store, here.clock.now(), market_at=here.wall.now())
    shown = found[paged.offset : paged.offset + paged.limit]
    answer = paged.rows(Page(pl.DataFrame(), len(found)))
    return {**answer, "items": [asdict(each) for each in shown]}


@router.get("/market/elasticities", response_model=Rows[ElasticityShape])  # type: ignore[valid-type]
def elasticities(here: Here, paged: Paged) -> dict[str, Any]:
    """How demand answers our price in each pool, estimated or assumed."""
    found = price_evidence.elasticities(here.store, here.clock.now())
    return paged.rows_of_records(found, ElasticityShape)


@router.get("/market/alarms", response_model=Rows[AlarmShape])  # type: ignore[valid-type]
def alarms(
    here: Here, paged: Paged, days: Days = 30.0, provider: Provider = None
) -> dict[str, Any]:
    """What sources brought that must not enter as a price, the newest first."""
    now = here.wall.now()
    page = market.alarms(
        here.store, now, since=now - timedelta(days=days), provider=provider,
        offset=paged.position, limit=paged.limit,
    )  # fmt: skip
    return paged.rows(page)


@router.get("/market/sources", response_model=Rows[SourceShape])
def sources(here: Here, paged: Paged) -> dict[str, Any]:
    """Every source of offers, its health and its age."""
    return paged.rows_of_frame(market.sources(here.store, here.wall.now()))


# -- benchmarks ------------------------------------------------------------------------


@router.get("/market/benchmarks", response_model=Rows[CardShape])
def score_cards(here: Here, paged: Paged) -> dict[str, Any]:
    """The scores of every provider, overall and by group, 0 to 100."""
    return paged.rows_of_frame(benchmarks.score_cards(here.store, here.wall.now()))


@router.get("/market/benchmarks/metrics", response_model=Rows[MetricShape])
def metrics(here: Here, paged: Paged, provider: Provider = None) -> dict[str, Any]:
    """Every metric of every provider with its evidence; an unknown one has no value."""
    found = benchmarks.metric_table(here.store, here.wall.now())
    if provider is not None:
        found = found.filter(pl.col("provider") == provider)
    page = Page(found.slice(paged.offset, paged.limit), found.height)
    return paged.rows(page, json_columns=("evidence",))


@router.get("/market/benchmarks/history", response_model=Rows[PastScoreShape])
def score_history(
    here: Here, paged: Paged, days: Days = 30.0, provider: Provider = None
) -> dict[str, Any]:
    """Overall and group scores over time."""
    until = here.wall.now()
    found = benchmarks.score_history(
        here.store, since=until - timedelta(days=days), until=until, provider=provider
    )
    return paged.rows_of_frame(found)


@router.get("/market/benchmarks/sensitivity", response_model=Rows[SensitivityShape])
def sensitivity(here: Here, paged: Paged) -> dict[str, Any]:
    """What becomes of the ranks where a group's weight is half, or one and a half times."""
    return paged.rows_of_frame(benchmarks.sensitivity(here.store, here.wall.now()))


@router.get("/market/benchmarks/weights", response_model=WeightsShape)
def weights(here: Here) -> dict[str, Any]:
    """The weights in force."""
    return asdict(score_weights.weights(here.store))


@router.put("/market/benchmarks/weights", response_model=WeightsShape)
def set_weights(here: Here, person: Operator, sent: WeightsSetting) -> dict[str, Any]:
    """Set some weights; the next round of scores, within a minute, goes by them."""
    found = score_weights.set_weights(
        here.store,
        {"groups": sent.groups, "metrics": sent.metrics},
        by=person.name,
        reason=sent.reason,
        now=here.clock.now(),
        via=person.via,
    )
    return asdict(found)


@router.get("/market/benchmarks/{provider}/{name}", response_model=ExplanationShape)
def explanation(here: Here, provider: str, name: str) -> dict[str, Any]:
    """How a score came about: of a metric, of a group, or `overall`."""
    found = benchmarks.explanation(here.store, provider, name, here.wall.now())
    if found is None:
        raise Refused(404, "no such score", f"{provider} has no score {name}: read the list again")
    return asdict(found)


# -- what to do ------------------------------------------------------------------------


@router.get("/market/recommendations", response_model=Rows[RecommendationShape])  # type: ignore[valid-type]
def recommended(here: Here, paged: Paged) -> dict[str, Any]:
    """What to do about the market, by what it is worth in a month."""
    found = recommendations.recommendations(here.store, here.clock.now())
    return paged.rows_of_records(found, RecommendationShape)


@router.post("/market/recommendations/{recommendation_id}/propose", response_model=ProposedShape)
def propose(here: Here, person: Operator, recommendation_id: str) -> Any:
    """Make it a decision that waits for approval."""
    return asdict(
        recommendations.propose_recommendation(
            here.store,
            recommendation_id,
            by=person.name,
            now=here.clock.now(),
            via=person.via,
            market_at=here.wall.now(),
        )
    )


# -- files and our own prices ----------------------------------------------------------


@router.get("/market/download/{what}", response_class=Response)
def download(here: Here, asked: Asked, what: Downloadable, file_format: Format = "csv") -> Response:
    """A table as a file, CSV or Parquet; of offers those of the span, 200,000 rows at most."""
    return file_of(_frame_of(here, what, asked), f"market-{what}", file_format)


@router.get("/prices", response_model=Rows[ListPriceShape])  # type: ignore[valid-type]
def price_list(
    here: Here,
    paged: Paged,
    pool: Pool = None,
) -> dict[str, Any]:
    """Our own price list as published: every price and since when, the newest first."""
    found = price_evidence.price_changes(here.store, here.clock.now(), pool=pool)
    return paged.rows_of_frame(found)


def _frame_of(here: Office, what: Downloadable, asked: OfferFilter) -> pl.DataFrame:
    store, now = here.store, here.wall.now()
    if what == "offers":
        return asked.page(here, 0, MOST_ROWS).rows
    if what == "recommendations":
        return recommendations.recommendations_frame(store, here.clock.now())
    questions = {
        "prices": market.prices_now,
        "providers": market.provider_prices,
        "benchmarks": benchmarks.score_cards,
        "metrics": benchmarks.metric_table,
    }
    return questions[what](store, now)


def _aware(instant: datetime | None) -> datetime | None:
    """An instant without a time zone is UTC, as all of ours are."""
    if instant is None or instant.tzinfo is not None:
        return instant
    return instant.replace(tzinfo=UTC)
