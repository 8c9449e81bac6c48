"""How the market's answers look as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.shapes import Sent, Shape, shape_of
from warehouse.records import (
    BenchmarkScore,
    ListPrice,
    MarketAlarm,
    MarketMetric,
    Offer,
    PriceElasticity,
    Recommendation,
)

OfferShape = shape_of(Offer)
AlarmShape = shape_of(MarketAlarm, name="MarketAlarm")
RecommendationShape = shape_of(Recommendation)
ElasticityShape = shape_of(PriceElasticity)
ScoreShape = shape_of(BenchmarkScore)
MarketMetricShape = shape_of(MarketMetric)
ListPriceShape = shape_of(ListPrice)


class MarketPriceShape(Shape):
    """A model's on-demand prices now in USD per GPU-hour, each provider weighing the same."""

    model: str
    """Our name of the GPU model."""
    p10_usd_per_gpu_hour: float
    """A tenth of the market is cheaper."""
    p25_usd_per_gpu_hour: float
    """A quarter is cheaper."""
    median_usd_per_gpu_hour: float
    """Half is cheaper."""
    p75_usd_per_gpu_hour: float
    """Three quarters are cheaper."""
    p90_usd_per_gpu_hour: float
    """Nine tenths are cheaper."""
    lowest_usd_per_gpu_hour: float
    """The cheapest offer."""
    highest_usd_per_gpu_hour: float
    """The dearest offer."""
    providers: int
    """Providers that have it."""
    offers: int
    """Their offers."""
    measured_at: datetime
    """The newest of them."""


class PastPriceShape(Shape):
    """A model's on-demand prices in one step of time."""

    at: datetime
    """Start of the step."""
    p10_usd_per_gpu_hour: float
    """A tenth of the market is cheaper."""
    p25_usd_per_gpu_hour: float
    """A quarter is cheaper."""
    median_usd_per_gpu_hour: float
    """Half is cheaper."""
    p75_usd_per_gpu_hour: float
    """Three quarters are cheaper."""
    p90_usd_per_gpu_hour: float
    """Nine tenths are cheaper."""
    providers: int
    """Providers that had it."""
    offers: int
    """Their offers."""


class ProviderPriceShape(Shape):
    """What one provider asks for a model, by kind, tier and commitment."""

    provider: str
    """Whose."""
    model: str
    """Our name of the GPU model."""
    price_kind: str
    """On demand, reserved, spot, or the lowest bid taken."""
    tier: str | None
    """Secure or community, where there are two."""
    commitment_months: float | None
    """Of a reserved price: for how long."""
    price_usd_per_gpu_hour: float
    """The median."""
    lowest_usd_per_gpu_hour: float
    """The cheapest."""
    offers: int
    """Offers behind it."""
    regions: int
    """Regions they are in."""
    stock: str | None
    """The best of them; null where nobody tells."""
    measured_at: datetime
    """When the provider last answered."""
    age_seconds: float
    """How old that is."""


class PoolPriceShape(Shape):
    """A pool's price beside the market's, and how far it may move; unknown is null."""

    pool: str
    """The pool."""
    gpu_model: str
    """Its GPU."""
    models: list[str]
    """The market's models it is compared with."""
    price_usd_per_gpu_hour: float | None
    """Our price."""
    market: dict[str, Any] | None
    """The market's percentiles in USD per GPU-hour, by how many providers and offers."""
    rank: int | None
    """Our place from the cheapest, 1 first."""
    ranked: int
    """How many prices that is, ours among them."""
    unit_cost_usd_per_gpu_hour: float
    """What a used GPU-hour costs us."""
    unit_cost_basis: str
    """Where that is from."""
    floor_usd_per_gpu_hour: float | None
    """Lowest price that the limits allow."""
    ceiling_usd_per_gpu_hour: float | None
    """Highest."""
    largest_step_usd_per_gpu_hour: float | None
    """Furthest that one action may move it."""
    elasticity: dict[str, Any] | None
    """How demand answers it, and where that figure is from."""


class SourceShape(Shape):
    """A source of offers, its health and its age."""

    source: str
    """The collector."""
    provider: str
    """Whose offers."""
    offers: int
    """Offers of the last seven days."""
    models: int
    """GPU models among them."""
    unknown_names: int
    """Offers whose GPU has no name of ours: a person should look."""
    measured_at: datetime
    """When it last brought any."""
    age_seconds: float
    """How old that is."""
    last_outcome: str | None
    """How its last run ended."""
    last_detail: str | None
    """Why, where it failed."""
    last_run_at: datetime | None
    """When that was."""


class CardShape(Shape):
    """A provider's overall score, or that of a group."""

    provider: str
    """Whose; `us` for ourselves."""
    level: Literal["group", "overall"]
    """Of what."""
    name: str
    """The group, or `overall`."""
    score: float | None
    """0 to 100; null where it is withheld or nothing is known."""
    known_ratio: float
    """Share of its weight that is known."""
    weight: float
    """Its share of the overall score."""
    rank: int | None
    """Its place among those that are known."""
    explanation: str
    """How it came about."""
    scored_at: datetime
    """When."""


class MetricShape(Shape):
    """A metric of a provider; an unknown one has no value."""

    provider: str
    """Whose; `us` for ourselves."""
    metric: str
    """Its name."""
    label: str
    """In words."""
    group: str
    """The group it belongs to."""
    value: float | None
    """The figure in its unit."""
    words: str | None
    """What documentation says."""
    unit: str
    """The unit."""
    more_is_better: bool | None
    """Which way is better; null where it is not scored."""
    basis: str
    """Collected, documented, or our own."""
    score: float | None
    """0 to 100."""
    weight: float | None
    """Within its group."""
    explanation: str | None
    """How the score came about."""
    evidence: dict[str, Any]
    """What leads to the rows, or the source and its date."""
    measured_at: datetime
    """When it was worked out."""


class PastScoreShape(Shape):
    """A score at an instant."""

    provider: str
    """Whose."""
    name: str
    """The group, or `overall`."""
    score: float | None
    """0 to 100."""
    known_ratio: float
    """Share of its weight that was known."""
    scored_at: datetime
    """When."""


class SensitivityShape(Shape):
    """An overall score where one group's weight is another."""

    group: str
    """The group; `all` as it is."""
    factor: float
    """By what its weight is multiplied."""
    provider: str
    """Whose."""
    score: float | None
    """0 to 100."""
    rank: int | None
    """Its place."""
    rank_change: int | None
    """Against the place as it is; negative is up."""


class ExplanationShape(Shape):
    """A score and all it was made from."""

    score: ScoreShape  # type: ignore[valid-type]
    """The score."""
    metric: MarketMetricShape | None  # type: ignore[valid-type]
    """Of a metric's score: the metric, whose evidence leads to the rows."""
    parts: list[ScoreShape]  # type: ignore[valid-type]
    """The scores it was made from."""


class WeightsShape(Shape):
    """What counts how much."""

    groups: dict[str, float]
    """Of each group, a share of their sum."""
    metrics: dict[str, float]
    """Of each metric, a share of the sum within its group."""
    set_by: str | None
    """Who set them last; null for the defaults."""
    reason: str | None
    """Why."""
    set_at: datetime | None
    """When."""


class WeightsSetting(Sent):
    """Weights to set; those left out stay as they are."""

    groups: dict[str, float] = Field(default_factory=dict)
    """By group."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """By metric."""
    reason: str | None = None
    """Why, for the record."""


class ProposedShape(Shape):
    """The decision that a recommendation became; it waits for approval."""

    decision_id: str
    """Its id."""
    action_hash: str
    """What an approval is bound to."""
    summary: str
    """In one line."""
    expires_at: datetime
    """When it lapses."""
