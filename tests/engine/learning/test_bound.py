"""The clairvoyant bound: against plans found by hand and by trying all, and against real play."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from engine.learning import bound
from engine.learning.bound import upper_bound
from engine.policies import HEAD_COUNT, PRICE_RATIOS, Head
from engine.policies.registry import baseline, baselines
from engine.simulator.episode_sources import generated_episode
from engine.simulator.episodes import Episode
from engine.simulator.features import FORECAST_COUNT
from engine.simulator.metrics import profit
from engine.simulator.pools import play
from engine.simulator.settings import Economics, PoolSettings
from engine.simulator.workload import Arrivals

MARKET_USD = 3.0
HOUR = 3600
NO_SPOT = Economics(spot_depth_ratio=0.0)


def make_episode(jobs, *, owned=1, burst=0, economics=NO_SPOT, ticks=96, warm_ticks=0):
    """`jobs` are (submitted_at, duration_seconds, gpus)."""
    rows = np.array(sorted(jobs), np.int64).reshape(-1, 3)
    count = len(rows)
    pool = PoolSettings(
        "toy", "any", "any", owned, burst, MARKET_USD, MARKET_USD, economics=economics
    )
    return Episode(
        name="toy",
        settings=pool,
        seed=1,
        hour_of_week=0.0,
        arrivals=Arrivals(
            key=np.arange(count),
            submitted_at=rows[:, 0],
            duration_seconds=rows[:, 1],
            gpus=rows[:, 2],
            tenant=np.zeros(count, np.int64),
            acceptance=np.full(count, 0.5),
        ),
        market_usd_per_gpu_hour=np.full(ticks + 1, MARKET_USD),
        forecast=np.zeros((ticks + 1, FORECAST_COUNT)),
        ticks=ticks,
        warm_ticks=warm_ticks,
    )


def accepts(economics, ratio):
    return economics.acceptance_ratio(float(ratio))


def best_alone(economics, gpu_hours, node_usd):
    """The best price for a job that has a node to itself, by trying all."""
    return max(
        accepts(economics, x)
        * (gpu_hours * (x * MARKET_USD - economics.busy_usd_per_gpu_hour) - node_usd)
        for x in PRICE_RATIOS
    )


def drawn_problem(seed=3, ticks=200):
    episode = generated_episode(np.random.default_rng(seed), "drawn", ticks, largest_nodes=24)
    episode = replace(episode, warm_ticks=40)
    rents = np.random.default_rng(seed).uniform(0, 3, ticks - 40)
    return episode, bound._problem(episode, True), rents


def test_one_job_is_worth_its_best_price_less_its_power():
    # Two hours on the quarter's edge, a node of eight: owned power for the hours it is on.
    episode = make_episode([(900, 2 * HOUR, 8)])
    wanted = best_alone(NO_SPOT, 16.0, 16.0 * NO_SPOT.owned_usd_per_gpu_hour)
    assert upper_bound(episode).usd == pytest.approx(wanted, rel=1e-3)


def test_only_revenue_inside_the_measured_span_counts():
    # Two of its four hours fall into the span, whether the start or the end is cut off.
    wanted = best_alone(NO_SPOT, 16.0, 16.0 * NO_SPOT.owned_usd_per_gpu_hour)
    impatient = replace(NO_SPOT, patience_seconds=0)
    before = make_episode([(6 * HOUR, 4 * HOUR, 8)], warm_ticks=32, economics=impatient)
    after = make_episode([(22 * HOUR, 4 * HOUR, 8)], economics=impatient)
    assert upper_bound(before).usd == pytest.approx(wanted, rel=1e-3)
    assert upper_bound(after).usd == pytest.approx(wanted, rel=1e-3)


def test_a_job_that_no_pool_could_hold_only_costs_its_penalty():
    # Nobody who took the price can be sent away: fewest do at the highest price.
    late = NO_SPOT.patience_seconds - NO_SPOT.sla_seconds
    owed = accepts(NO_SPOT, PRICE_RATIOS[-1]) * 24 * NO_SPOT.sla_usd_per_gpu_hour * late / HOUR
    assert upper_bound(make_episode([(900, HOUR, 24)])).usd == pytest.approx(-owed)


def test_idle_gpus_are_worth_their_spot_price():
    economics = Economics(spot_depth_ratio=0.5)
    usd = upper_bound(make_episode([], economics=economics)).usd
    each = economics.spot_ratio * MARKET_USD - economics.busy_usd_per_gpu_hour
    # Four GPUs for a day; half a node pays for its own power here, so owned power is for four too.
    wanted = 24 * 4 * (each - economics.owned_usd_per_gpu_hour)
    assert usd == pytest.approx(wanted, rel=1e-3)


def plans_in_expectation(economics, seconds, stagger):
    """Two jobs that want the whole node, the second `stagger` later: every plan, tried.

    Prices are chosen in advance, starts on a grid of five minutes after seeing who accepted;
    whoever is not served leaves, at a penalty. Nodes boot at once and are paid for while in use,
    so that this is the very problem that the bound relaxes.
    """
    hours = seconds / HOUR
    power = economics.busy_usd_per_gpu_hour + economics.owned_usd_per_gpu_hour

    def served(ratio, wait):
        late = max(wait - economics.sla_seconds, 0) / HOUR
        return 8 * (hours * (ratio * MARKET_USD - power) - economics.sla_usd_per_gpu_hour * late)

    left = -8 * economics.sla_usd_per_gpu_hour
    left *= (economics.patience_seconds - economics.sla_seconds) / HOUR
    waits = range(0, economics.patience_seconds + 1, 300)
    best = 0.0
    for x, y in product(PRICE_RATIOS, PRICE_RATIOS):
        first, second = accepts(economics, x), accepts(economics, y)
        both = max(
            max(served(x, a), left) + max(served(y, b), left)
            if b + stagger >= a + seconds or a >= b + stagger + seconds
            else max(max(served(x, a), left) + left, left + max(served(y, b), left))
            for a, b in product(waits, waits)
        )
        expected = first * second * both
        expected += first * (1 - second) * served(x, 0) + second * (1 - first) * served(y, 0)
        best = max(best, expected)
    return best


@pytest.mark.parametrize(
    ("seconds", "stagger", "most"), [(900, 900, 1.01), (1800, 900, 1.25), (7200, 1800, 1.5)]
)
def test_the_best_of_all_plans_for_two_jobs_stays_below_and_near(seconds, stagger, most):
    episode = make_episode([(890, seconds, 8), (890 + stagger, seconds, 8)])
    best = plans_in_expectation(NO_SPOT, seconds, stagger)
    usd = upper_bound(episode).usd
    assert usd >= best
    # What is left is the price of a constraint that holds on average only: nothing where they can
    # follow one another, most where only one of two can be served.
    assert usd <= most * best


def test_any_rents_give_a_bound():
    episode = make_episode([(890, 2700, 8), (1790, 2700, 8)])
    best = plans_in_expectation(NO_SPOT, 2700, 900)
    problem = bound._problem(episode, True)
    draws = np.random.default_rng(5).exponential(1.0, (50, 96))
    assert min(bound.dual_value(problem, rents)[0] for rents in draws) >= best
    assert bound.dual_value(problem, np.zeros(96))[0] >= best


def test_the_slope_is_a_subgradient():
    _, problem, rents = drawn_problem()
    usd, slope = bound.dual_value(problem, rents)
    random = np.random.default_rng(0)
    for size in (0.001, 0.1, 1.0):
        other = np.maximum(rents + size * random.standard_normal(len(rents)), 0)
        assert bound.dual_value(problem, other)[0] >= usd + slope @ (other - rents) - 1e-6


def test_no_start_between_the_corners_is_better():
    """A job's worth at given rents, against a search over every second."""
    _, problem, rents = drawn_problem()
    for submitted, duration, gpus in ((37_000, 5000, 4), (35_000, 9000, 1), (170_000, 30_000, 2)):
        one = make_episode([(submitted, duration, gpus)], owned=3, ticks=200, warm_ticks=40)
        usd, _ = bound._jobs_share(bound._problem(one, True), rents)
        assert usd == pytest.approx(_by_the_second(one, rents, submitted, duration, gpus), abs=1e-6)
    assert problem.held_gpus.size > 100


def _by_the_second(episode, rents, submitted, duration, gpus):
    terms = episode.settings.economics
    span = (episode.warm_ticks * 900, episode.ticks * 900)
    edges = np.arange(len(rents) + 1) * 900 + span[0]
    until = np.concatenate([[0.0], np.cumsum(rents * 0.25)])
    start = np.arange(submitted, submitted + terms.patience_seconds + 1)
    rent = np.interp(start + duration, edges, until) - np.interp(start, edges, until)
    inside = (np.clip(start + duration, *span) - np.clip(start, *span)) / HOUR
    late = np.clip(start, *span) - np.clip(submitted + terms.sla_seconds, *span)
    cost = rent + terms.sla_usd_per_gpu_hour * np.maximum(late, 0) / HOUR
    leaving = -terms.sla_usd_per_gpu_hour * max(late[-1], 0) / HOUR
    return max(
        accepts(terms, x)
        * gpus
        * max((inside * (x * MARKET_USD - terms.busy_usd_per_gpu_hour) - cost).max(), leaving)
        for x in PRICE_RATIOS
    )


def test_prices_of_their_own_only_loosen_it():
    episode, _, _ = drawn_problem()
    assert upper_bound(episode, is_price_shared=False).usd > upper_bound(episode).usd


def test_more_customers_and_more_nodes_only_raise_it():
    episode, _, _ = drawn_problem()
    every = episode.arrivals
    rows = [np.arange(len(every.key)) % 4 < turn for turn in (1, 2, 4)]
    fewer = [
        replace(episode, arrivals=Arrivals._make(column[mine] for column in every)) for mine in rows
    ]
    # An accepted job can't be sent away, so this is proven of prices of their own alone.
    bounds = [upper_bound(each, is_price_shared=False).usd for each in fewer]
    assert bounds == sorted(bounds)
    pool = episode.settings
    larger = replace(episode, settings=replace(pool, burst_nodes=pool.burst_nodes + 5))
    assert upper_bound(larger).usd >= upper_bound(episode).usd * (1 - 1e-4)


def test_it_has_settled_when_it_stops():
    episode, _, _ = drawn_problem()
    found = upper_bound(episode)
    assert found.last_fall_ratio < 1e-3
    assert found.usd <= upper_bound(episode, iterations=300).usd * 1.002
    assert found.usd == found.history_usd.min()
    assert (found.rents_usd_per_gpu_hour >= 0).all()


def test_an_episode_without_a_measured_span_is_refused():
    with pytest.raises(ValueError, match="no quarter is left"):
        upper_bound(make_episode([(900, HOUR, 1)], ticks=8, warm_ticks=8))


# -- against real play -----------------------------------------------------------------

DRAWS = 4


class Reckless:
    """Proposes anything at all."""

    name = "reckless"

    def __init__(self):
        self._random = np.random.default_rng(1)

    def proposals(self, seen):
        ends = np.array([8, len(PRICE_RATIOS), 3, 3, 0])
        drawn = self._random.integers(0, np.maximum(ends, 1), (len(seen), HEAD_COUNT))
        drawn[:, Head.NODES] -= 3
        drawn[:, Head.SPOT_PERCENT] = self._random.choice([0, 50, 100], len(seen))
        return drawn


def small_episodes():
    random = np.random.default_rng(11)
    episodes = [generated_episode(random, f"small-{n}", 160, largest_nodes=24) for n in range(3)]
    return [replace(episode, warm_ticks=32) for episode in episodes]


def redrawn(episode, draw):
    """The same episode with other customers' luck, who else is the same."""
    luck = np.random.default_rng([draw, episode.seed]).random(len(episode.arrivals.key))
    return replace(episode, arrivals=episode.arrivals._replace(acceptance=luck))


def test_no_policy_passes_the_bound():
    episodes = small_episodes()
    bounds = np.array([upper_bound(episode).usd for episode in episodes])
    drawn = [redrawn(episode, draw) for draw in range(DRAWS) for episode in episodes]
    rule = baseline("rule")
    best = np.full(len(episodes), -np.inf)
    for policy in [*baselines().values(), Reckless()]:
        usd = profit(play(drawn, policy, rule)).reshape(DRAWS, len(episodes)).mean(axis=0)
        assert (usd < bounds).all(), policy.name
        best = np.maximum(best, usd)
    # A bound that nothing comes near would prove nothing.
    assert (best > 0.5 * bounds).all()
