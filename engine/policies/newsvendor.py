"""Forecast newsvendor: a base stock at a quantile of the demand expected over the lead time.

Demand then = what runs and waits + what the forecaster expects to arrive - what finishes at the
last day's rate. Its spread is that of a compound Poisson stream, widened by the forecaster's own
spread. The stock is the quantile at which a GPU too many costs what a GPU too few does (Arrow,
Harris and Marschak, 1951); tuning finds the quantile.
"""

from __future__ import annotations

import numpy as np

from engine.policies import EMPTIES_ONLY, Floats, Integers, Knob
from engine.policies.stock import (
    accepted_gpus_per_offer,
    arriving_gpus,
    banded,
    coming_nodes,
    demand_gpus,
    finished_share_per_hour,
    forecast_jobs,
    knob,
    mean_job_gpus,
    node_gpus,
    whole_nodes,
)
from engine.simulator.features import Feature

NAME = "newsvendor"
KNOBS = (
    Knob("quantile_ratio", 0.7, 0.02, 0.995, "chance that the stock suffices"),
    Knob("lead_hours", 0.6, 0.25, 3.0, "how far ahead it looks"),
    Knob("band_nodes", 2.0, 0.0, 16.0, "surplus that is kept before any is released"),
)
_QUANTILES_10_TO_90 = 2.5631
"""Standard deviations between the 10 % and the 90 % quantile of a normal."""


def nodes(seen: Floats, knobs: Floats) -> tuple[Integers, Integers]:
    """Nodes to add, negative to release, and how: both (R,)."""
    mean, deviation = demand_ahead(seen, knob(knobs, 1))
    stock = np.maximum(mean + normal_quantile(knob(knobs, 0)) * deviation, 0.0)
    lacking = whole_nodes(stock / node_gpus(seen)) - coming_nodes(seen).astype(np.int64)
    surplus = np.floor(-lacking - knob(knobs, 2)).astype(np.int64)
    return banded(lacking, surplus), np.full(len(seen), EMPTIES_ONLY)


def demand_ahead(seen: Floats, hours: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the GPUs in use or waited for `hours` ahead: both (R,)."""
    held = demand_gpus(seen)
    leaving = held * -np.expm1(-finished_share_per_hour(seen) * hours)
    mean = held + arriving_gpus(seen, hours) - leaving
    per_offer = accepted_gpus_per_offer(seen)
    # A size spreads about as widely as its mean, so that its mean square is twice the mean's.
    poisson = 2.0 * mean_job_gpus(seen) * forecast_jobs(seen, hours) * per_offer
    spread = seen[:, Feature.FORECAST_HOUR_SPREAD_JOBS_PER_HOUR] / _QUANTILES_10_TO_90
    return mean, np.sqrt(poisson + np.square(spread * hours * per_offer))


def normal_quantile(share: Floats) -> Floats:
    """The normal's quantile by Tukey's lambda, within 0.02 from 0.01 to 0.99 (Shore, 1982)."""
    result: Floats = (np.power(share, 0.135) - np.power(1.0 - share, 0.135)) / 0.1975
    return result
