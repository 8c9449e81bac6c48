"""The market's round: when it is due, what it writes, and that it writes nothing twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from engine.market.evidence import added_evidence, price_evidence
from engine.market.round import MarketRound, weights_file
from tests.makers import (
    NOON,
    POOL,
    make_decision,
    make_offer,
    make_pool,
    make_pool_state,
)
from warehouse import benchmarks
from warehouse.score_weights import set_weights, weights
from warehouse.settings import Settings
from warehouse.store import Store


@dataclass
class HandClock:
    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def turn(self, **by: float) -> None:
        self.at += timedelta(**by)


def count(store: Store, table: str) -> int:
    return int(store.query(f"SELECT count(*) FROM {table}").item())


def rounds_of(store: Store) -> int:
    return int(store.query("SELECT count(DISTINCT scored_at) FROM benchmark_scores").item())


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def market(store: Store, tmp_path: Path, clock: HandClock) -> MarketRound:
    store.append(
        [
            make_pool(gpu_memory_bytes=None),
            make_pool_state(market_usd_per_gpu_hour=2.5),
            *(
                make_offer(provider=who, price_usd_per_gpu_hour=price)
                for who, price in (("runpod", 2.4), ("lambda", 2.6), ("vast", 2.0))
            ),
        ]
    )
    return MarketRound(store, clock, Settings(home=tmp_path))


def test_a_round_writes_scores_elasticities_and_what_to_do(
    store: Store, market: MarketRound
) -> None:
    assert market.run()
    cards = benchmarks.score_cards(store, NOON)
    assert set(cards["provider"]) == {"us", "runpod", "lambda", "vast"}
    tables = ("market_metrics", "price_elasticities", "recommendations")
    assert all(count(store, table) > 0 for table in tables)


def test_a_round_is_due_after_an_hour_new_offers_or_other_weights(
    store: Store, market: MarketRound, clock: HandClock
) -> None:
    assert [market.run(), market.run()] == [True, False]
    clock.turn(minutes=2)
    store.append([make_offer(provider="aws", measured_at=clock.at, stored_at=clock.at)])
    assert not market.run()  # the last one is two minutes old
    clock.turn(minutes=4)
    assert [market.run(), market.run()] == [True, False]
    set_weights(store, {"groups": {"price": 0.9}}, by="ann", reason=None, now=clock.at)
    assert [market.run(), market.run()] == [True, False]
    clock.turn(hours=1)
    assert [market.run(), market.run()] == [True, False]


def test_what_came_out_as_before_is_written_again_after_a_day_only(
    store: Store, market: MarketRound, clock: HandClock
) -> None:
    tables = ("market_metrics", "benchmark_scores", "price_elasticities", "recommendations")
    market.run()
    first = {table: count(store, table) for table in tables}
    clock.turn(hours=2)
    assert market.run()
    assert {table: count(store, table) for table in tables} == first
    clock.turn(hours=22)
    assert market.run()
    assert all(count(store, table) > first[table] for table in tables)


def test_a_price_that_moved_is_written_at_the_next_round(
    store: Store, market: MarketRound, clock: HandClock
) -> None:
    market.run()
    clock.turn(hours=1)
    cheaper = make_offer(price_usd_per_gpu_hour=1.5, measured_at=clock.at, stored_at=clock.at)
    store.append([cheaper])
    market.run()
    assert rounds_of(store) == 2
    history = benchmarks.score_history(
        store, since=NOON, until=clock.at, names=["price"], provider="runpod"
    )["score"].to_list()
    assert history[1] > history[0]


def test_the_settings_file_is_read_at_the_first_round(
    store: Store, market: MarketRound, tmp_path: Path
) -> None:
    weights_file(market.settings).write_text("[groups]\nprice = 0.8\n")
    market.run()
    assert weights(store).groups["price"] == 0.8
    own_file = Settings(home=tmp_path, score_weights=tmp_path / "elsewhere.toml")
    assert weights_file(own_file) == tmp_path / "elsewhere.toml"


def test_a_warehouse_without_pools_or_offers_makes_a_round_too(
    store: Store, clock: HandClock, tmp_path: Path
) -> None:
    assert MarketRound(store, clock, Settings(home=tmp_path)).run()
    assert count(store, "recommendations") == 0
    us = benchmarks.score_cards(store, NOON).filter(provider="us", level="overall")
    assert us["score"].to_list() == [None]


def test_a_fleets_clock_may_run_ahead_of_the_markets(
    store: Store, market: MarketRound, tmp_path: Path
) -> None:
    ahead = HandClock(NOON + timedelta(days=10))
    store.append([make_pool_state(market_usd_per_gpu_hour=2.5, measured_at=ahead.at)])
    assert MarketRound(store, ahead, Settings(home=tmp_path), wall=HandClock()).run()
    price = benchmarks.explanation(store, "us", "on_demand_price", NOON)
    assert price is not None
    assert price.score.score is not None


def test_a_decision_on_a_price_rests_on_the_market_and_any_other_does_not(
    store: Store, market: MarketRound
) -> None:
    market.run()
    found = price_evidence(store, POOL, NOON)
    assert (found["market_median_usd_per_gpu_hour"], found["price_rank"]) == (2.4, "3 of 4")
    assert (found["elasticity"], found["market_providers"]) == (pytest.approx(-2.0, abs=0.05), 3.0)
    decision = make_decision(
        action="adjust_price", target=f"price/{POOL}", evidence={"elasticity": -9.0},
        parameters={"price_usd_per_gpu_hour": 2.4},
    )  # fmt: skip
    added = added_evidence(store, decision)
    assert "elasticity" not in added  # what the decision says itself stands
    assert added["price_floor_usd_per_gpu_hour"] == 1.75
    assert added_evidence(store, make_decision()) == {}
    assert price_evidence(store, "no-such-pool", NOON) == {}
