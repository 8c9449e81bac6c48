"""The market: the Market page's questions on 200,000 offers over 90 days, and the scores.

    python benchmarks/market.py

The offers are made up: 20 providers, 14 models, 23 polls a day; a marketplace among them has most
of the rows. They lie in Parquet by the day, as the console keeps them after a tidying.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._timing import machine, milliseconds, row
from engine.market import metrics, scoring
from warehouse import benchmarks, market, merging
from warehouse.records import MarketAlarm, Offer
from warehouse.score_weights import Weights
from warehouse.store import Location, Store

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
DAYS = 90
OFFERS = 200_000
PROVIDERS = 20
MODELS = (
    "H100 SXM", "H100 PCIe", "H100 NVL", "H200 SXM", "B200", "A100 SXM 80GB", "A100 PCIe 80GB",
    "A100 PCIe 40GB", "L40S", "L4", "A10", "RTX 4090", "RTX 5090", "RTX 3090",
)  # fmt: skip
LEVELS = (2.6, 2.2, 2.5, 3.4, 4.6, 1.5, 1.3, 1.1, 0.9, 0.5, 0.5, 0.45, 0.7, 0.25)
REPEATS = 20


def made_offers() -> pl.DataFrame:
    """200,000 offers, the same on every machine."""
    chance = np.random.default_rng(7)
    polls = DAYS * 23
    at = np.sort(chance.integers(0, polls, OFFERS))
    who = np.where(chance.random(OFFERS) < 0.6, 0, chance.integers(0, PROVIDERS, OFFERS))
    what = chance.integers(0, len(MODELS), OFFERS)
    walk = np.exp(np.cumsum(chance.normal(0, 0.004, (polls, len(MODELS))), axis=0))
    price = np.array(LEVELS)[what] * walk[at, what] * np.exp(chance.normal(0, 0.1, OFFERS))
    start = NOW - timedelta(days=DAYS)
    instants = [start + timedelta(days=DAYS) * (n + 1) / polls for n in range(polls)]
    kinds = np.where(chance.random(OFFERS) < 0.25, "spot", "on_demand")
    return pl.DataFrame(
        {
            "provider": [f"provider-{n}" for n in who],
            "offer_id": [f"offer-{n}" for n in range(OFFERS)],
            "gpu_model": [MODELS[n] for n in what],
            "model": [MODELS[n] for n in what],
            "gpu_count": chance.choice([1, 2, 4, 8], OFFERS),
            "price_usd_per_gpu_hour": price,
            "quoted_unit": ["gpu"] * OFFERS,
            "price_kind": kinds,
            "region": [f"region-{n}" for n in chance.integers(0, 12, OFFERS)],
            "vcpu_count": chance.choice([8.0, 16.0, 32.0], OFFERS),
            "memory_bytes": chance.choice([64, 128, 256], OFFERS) * 10**9,
            "stock": chance.choice(["high", "medium", "low", "none"], OFFERS),
            "is_complete_search": [True] * OFFERS,
            "source": [f"provider-{n}" for n in who],
            "payload_digest": ["0" * 64] * OFFERS,
            "measured_at": [instants[n] for n in at],
            "stored_at": [instants[n] for n in at],
        }
    )


def alarm(n: int) -> MarketAlarm:
    """One of many alarms."""
    return MarketAlarm(
        provider=f"provider-{n % PROVIDERS}",
        source="benchmark",
        kind="jump",
        value=9.9,
        expected=2.5,
        detail="It jumped: look at it.",
        raised_at=NOW - timedelta(hours=n),
    )


def filled(home: str) -> Store:
    """A warehouse with the offers, tidied."""
    store = Store(Location.embedded(Path(home)))
    store.append_frame(Offer, made_offers())
    store.append([alarm(n) for n in range(500)])
    merging.merge(store)
    return store


def page_questions(store: Store) -> None:
    """Time each question of the Market page."""
    since = NOW - timedelta(days=DAYS)
    span: dict[str, Any] = {"since": since, "until": NOW, "step_seconds": 86_400}
    questions = {
        "prices now by model": lambda: market.prices_now(store, NOW),
        "prices now by provider and model": lambda: market.provider_prices(store, NOW),
        "one model over 90 days, percentiles a day": lambda: market.price_history(
            store, MODELS[:1], **span
        ),
        "one model over 90 days, a line a provider": lambda: market.provider_history(
            store, MODELS[:1], **span
        ),
        "availability of 30 days by provider and model": lambda: market.availability(store, NOW),
        "the market's price of one model": lambda: market.market_price(store, "H100 SXM", NOW),
        "alarms of 30 days": lambda: market.alarms(store, NOW, since=NOW - timedelta(days=30)),
        "sources, their health and age": lambda: market.sources(store, NOW),
    }
    for name, ask in questions.items():
        row(f"Market page: {name}", milliseconds(ask, REPEATS), 100)


def scores(store: Store) -> None:
    """Time the metrics and the scores of every provider, then the Benchmarks page's questions."""
    found = metrics.collected(store, NOW)
    row("metrics of 20 providers from 30 days", milliseconds(
        lambda: metrics.collected(store, NOW), 5
    ))  # fmt: skip
    scored = scoring.scores_of(found, Weights(), NOW)
    taken = milliseconds(lambda: scoring.scores_of(found, Weights(), NOW), REPEATS)
    row("scores of 20 providers from their metrics", taken, 200)
    store.append([*found, *scored])
    ask = {
        "score cards": lambda: benchmarks.score_cards(store, NOW),
        "metric table": lambda: benchmarks.metric_table(store, NOW),
        "sensitivity": lambda: benchmarks.sensitivity(store, NOW),
    }
    for name, question in ask.items():
        row(f"Benchmarks page: {name}", milliseconds(question, REPEATS), 100)


def main() -> None:
    """Print the table."""
    print(machine())
    with tempfile.TemporaryDirectory() as home:
        store = filled(home)
        page_questions(store)
        scores(store)
        store.close()


if __name__ == "__main__":
    main()
