"""Many pools side by side: rows do not touch one another, and the proposals do what they say."""

from dataclasses import replace

import numpy as np
import pytest

from engine import policies
from engine.policies import HEAD_COUNT, LEVEL_AT_MARKET, Head
from engine.policies.registry import baseline
from engine.simulator import moves, steering
from engine.simulator.episode_sources import training_episodes
from engine.simulator.episodes import Episode
from engine.simulator.features import FEATURE_NAMES, Feature, Tape
from engine.simulator.layout import ACTIVE, CORDONED, DOWN, OFF
from engine.simulator.metrics import Metric, profit
from engine.simulator.pools import Pools, play

RULE = baseline("rule")


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    made = training_episodes(10, 3, ticks=120, largest_nodes=24)
    return [replace(episode, warm_ticks=24) for episode in made]


def hold(rows: int, **changes: int) -> np.ndarray:
    """Proposals that leave everything as it is, but for `changes` by head."""
    result = np.zeros((rows, HEAD_COUNT), np.int64)
    result[:, Head.PRICE_LEVEL] = LEVEL_AT_MARKET
    result[:, Head.SPOT_PERCENT] = 100
    for name, value in changes.items():
        result[:, Head[name.upper()]] = value
    return result


def test_the_words_of_a_proposal_are_the_same_on_both_sides():
    assert [int(head) for head in Head] == [
        steering.NODES, steering.PRICE_LEVEL, steering.CONSOLIDATION, steering.HEAL,
        steering.SPOT_PERCENT,
    ]  # fmt: skip
    assert (policies.EMPTIES_ONLY, policies.DRAIN, policies.MIGRATE) == (
        steering.EMPTIES_ONLY, steering.DRAIN_ONLY, steering.MIGRATE_AWAY
    )  # fmt: skip
    assert (policies.STRICT, policies.LOOSE) == (steering.STRICT, steering.LOOSE)


def test_a_row_plays_the_same_alone_as_among_others(episodes):
    together = play(episodes, RULE, RULE)
    for row in (0, 4, 9):
        assert np.array_equal(play([episodes[row]], RULE, RULE)[0], together[row])


def test_two_threads_play_what_one_plays(episodes):
    both = episodes * 2
    assert np.array_equal(play(both, RULE, RULE, threads=1), play(both, RULE, RULE, threads=2))


def test_a_copied_row_goes_on_as_its_original(episodes):
    original, copy = Pools(episodes), Pools(episodes[:2], room=episodes)
    for _ in range(40):
        original.step(RULE.proposals(original.observe()))
    copy.copy_row(original, 7, 0)
    copy.copy_row(original, 2, 1)
    for _ in range(60):
        original.step(RULE.proposals(original.observe()))
        copy.step(RULE.proposals(copy.observe()))
    assert np.array_equal(copy.metrics, original.metrics[[7, 2]])
    assert np.array_equal(copy.observe(), original.observe()[[7, 2]])


def test_a_pool_whose_episode_is_over_stays_as_it_is(episodes):
    short = [replace(episodes[0], ticks=30), episodes[1]]
    pools = Pools(short)
    for _ in range(60):
        pools.step(hold(2))
    assert list(pools.tick) == [30, 60]


def test_warm_up_is_not_measured(episodes):
    whole = [replace(episode, warm_ticks=0) for episode in episodes]
    measured, everything = play(episodes, RULE, RULE), play(whole, RULE, RULE)
    assert (measured[:, Metric.OFFERED_JOBS] < everything[:, Metric.OFFERED_JOBS]).all()


def test_added_nodes_boot_and_released_ones_go_off(episodes):
    pools = Pools(episodes)
    off = pools.state.nodes["state"] == OFF
    pools.step(hold(pools.rows, nodes=2))
    assert (off.sum() - (pools.state.nodes["state"] == OFF).sum()) == 2 * pools.rows
    seen = pools.observe()
    leased = seen[:, Feature.BURST_PROVISIONING_NODES] + seen[:, Feature.BURST_ACTIVE_NODES]
    assert (leased == 2).all()


def test_draining_closes_sparse_nodes_and_adding_opens_them_again(episodes):
    pools = Pools(episodes)
    for _ in range(20):
        pools.step(hold(pools.rows, price_level=12))
    pools.step(hold(pools.rows, nodes=-8, consolidation=policies.DRAIN))
    closed = pools.observe()[:, Feature.CORDONED_NODES]
    assert closed.sum() > 0
    booting = pools.observe()[:, Feature.BURST_PROVISIONING_NODES]
    pools.step(hold(pools.rows, nodes=1))
    after = pools.observe()
    some = closed > 0
    assert (after[some, Feature.CORDONED_NODES] < closed[some]).all()
    assert (after[some, Feature.BURST_PROVISIONING_NODES] <= booting[some]).all()


def test_a_suspect_node_is_closed_emptied_and_repaired(episodes):
    pools = Pools(episodes)
    pools.step(hold(pools.rows))
    nodes = pools.state.nodes
    nodes["health_score"][:, 0] = 0.4
    nodes["degraded"][:, 0] = 1
    states = set()
    for _ in range(12):
        pools.step(hold(pools.rows, heal=policies.STRICT))
        states |= set(nodes["state"][:, 0].tolist())
    assert states <= {CORDONED, DOWN, ACTIVE}
    assert DOWN in states
    assert (nodes["degraded"][:, 0][nodes["state"][:, 0] == ACTIVE] == 0).all()


def test_the_price_follows_its_level(episodes):
    pools = Pools(episodes)
    market = pools.market_usd_per_gpu_hour
    pools.step(hold(pools.rows, price_level=12))
    price = pools.state.pool["price_micro_usd"][:, 0] / 1e6
    assert price == pytest.approx(1.3 * market, rel=1e-6)


def test_figures_agree_with_the_state_they_are_read_from(episodes):
    pools = Pools(episodes)
    for _ in range(50):
        pools.step(RULE.proposals(pools.observe()))
    seen, s = pools.observe(), pools.state
    on = np.isin(s.nodes["state"], (ACTIVE, CORDONED))
    used = ((s.nodes["gpus"] - s.nodes["free_gpus"]) * on).sum(axis=1)
    assert np.array_equal(seen[:, Feature.USED_GPUS], used)
    by_age = seen[:, Feature.RUNNING_UNDER_30_MINUTES_GPUS : Feature.RUNNING_LONGER_GPUS + 1]
    assert np.array_equal(by_age.sum(axis=1), used)
    offered = pools.tape[:, 50 - 3 : 51, Tape.OFFERED_JOBS].sum(axis=1)
    assert np.array_equal(seen[:, Feature.OFFERED_HOUR_JOBS_PER_HOUR], offered)
    assert len(FEATURE_NAMES) == seen.shape[1]


def test_a_job_that_waits_moves_to_another_pool_with_room_and_is_not_lost(episodes):
    pair = [replace(episodes[0], seed=episodes[1].seed), episodes[1]]
    pools = Pools(pair)
    for _ in range(30):
        pools.step(hold(2))
    s = pools.state
    # The first pool has no open node left and jobs that wait; the second is emptied of arrivals.
    s.nodes["state"][0][s.nodes["free_gpus"][0] > 0] = CORDONED
    s.pool["is_stale"][:, 0] = 1
    for _ in range(3):
        pools.step(hold(2, price_level=0))
        s.nodes["state"][0][s.nodes["free_gpus"][0] > 0] = CORDONED
        s.pool["is_stale"][0, 0] = 1
    waiting = int(s.pool["queue_length"][0, 0])
    free = pools.observe()[1, Feature.FREE_GPUS]
    assert waiting > 0
    assert free > 0
    moved = moves.move_queued(s, 0, 1, int(free), 300)
    gone = waiting - int(s.pool["queue_length"][0, 0])
    assert moved > 0
    assert s.metrics[1, Metric.MOVED_JOBS] == gone > 0
    assert pools.observe()[1, Feature.FREE_GPUS] == free - moved
    before = s.metrics[1, Metric.FINISHED_JOBS]
    for _ in range(60):
        pools.step(hold(2))
    guests = s.jobs[1][-gone:]
    assert (guests["ended_at"] > 0).any()
    assert s.metrics[1, Metric.FINISHED_JOBS] > before


def test_the_rule_earns_more_than_doing_nothing(episodes):
    class Idle:
        name = "idle"

        def proposals(self, seen):
            return hold(len(seen))

    assert profit(play(episodes, RULE, RULE)).sum() > profit(play(episodes, Idle(), RULE)).sum()
