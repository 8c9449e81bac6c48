"""What choices come to: held near the rule, kept to what can be done, and told apart."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from engine.policies import (
    DRAIN,
    EMPTIES_ONLY,
    HEAD_COUNT,
    LEVEL_AT_MARKET,
    LOOSE,
    MIGRATE,
    MOST_NODES,
    NOBODY,
    STRICT,
    Head,
)
from engine.policies.envelope import (
    CAPACITY_CHOICES,
    FREE,
    PRICE_CHOICES,
    Envelope,
    Mode,
    NetHead,
    head_sizes,
    is_clipped,
    masks,
    price_levels,
    to_proposals,
)
from engine.simulator.features import FEATURE_COUNT, Feature

MODES: tuple[Mode, ...] = ("absolute", "offset")
TIGHT = Envelope(nodes=3, price_levels=2)


def seen(**figures: float) -> Any:
    """A pool of 24 nodes of 8 GPUs, 12 on, 4 of them empty, 8 leases to be had, at the market."""
    usual = {
        "gpus_per_node": 8, "owned_active_nodes": 12, "owned_off_nodes": 12, "burst_off_nodes": 8,
        "owned_empty_nodes": 4, "free_gpus": 40, "price_usd_per_gpu_hour": 2.0,
        "market_usd_per_gpu_hour": 2.0, "worst_health_ratio": 1,
    }  # fmt: skip
    row = np.zeros((1, FEATURE_COUNT))
    for name, figure in (usual | figures).items():
        row[0, Feature[name.upper()]] = figure
    return row


def ruled(nodes: int = 0, level: int = LEVEL_AT_MARKET, how: int = MIGRATE) -> Any:
    return np.array([[nodes, level, how, STRICT, 100]])


def chosen(mode: Mode, nodes: int = 0, levels: int = 0, how: int = DRAIN) -> Any:
    capacity = int(np.flatnonzero(CAPACITY_CHOICES[mode] == nodes)[0])
    price = int(np.flatnonzero(levels == PRICE_CHOICES)[0])
    return np.array([[capacity, price, how, LOOSE, 1]])


def outcome(choice: Any, rule: Any, pool: Any, envelope: Envelope, mode: Mode) -> Any:
    return to_proposals(choice, rule, pool, envelope, mode)[0].tolist()


def test_an_absolute_choice_counts_from_the_pool_as_it_is() -> None:
    pool = seen(price_usd_per_gpu_hour=2.2)  # two levels above the market
    made = outcome(chosen("absolute", 2, -1), ruled(1, LEVEL_AT_MARKET), pool, TIGHT, "absolute")
    assert made == [2, LEVEL_AT_MARKET + 1, DRAIN, LOOSE, 50]


def test_an_offset_choice_counts_from_the_rule() -> None:
    pool = seen(price_usd_per_gpu_hour=2.2)
    made = outcome(chosen("offset", 2, -1), ruled(1, LEVEL_AT_MARKET), pool, TIGHT, "offset")
    assert made == [3, LEVEL_AT_MARKET - 1, DRAIN, LOOSE, 50]


def test_no_one_leaves_the_envelope() -> None:
    pool = seen(price_usd_per_gpu_hour=2.6)
    rule = ruled(1, LEVEL_AT_MARKET - 3)
    wide = chosen("absolute", 8, 2)
    assert outcome(wide, rule, pool, TIGHT, "absolute")[:2] == [4, LEVEL_AT_MARKET - 1]
    assert outcome(wide, rule, pool, FREE, "absolute")[:2] == [8, 12]
    assert outcome(wide, rule, pool, Envelope(None, 1), "absolute")[:2] == [8, LEVEL_AT_MARKET - 2]
    narrow = chosen("offset", -3, 2)
    assert outcome(narrow, rule, pool, Envelope(1, 0), "offset")[:2] == [0, LEVEL_AT_MARKET - 3]


def test_it_is_known_when_the_envelope_held_something_back() -> None:
    pool = np.vstack([seen()] * 3)
    rule = np.vstack([ruled()] * 3)
    choice = np.vstack([chosen("absolute", n, v) for n, v in ((8, 0), (2, 0), (2, 2))])
    assert is_clipped(choice, rule, pool, TIGHT, "absolute").tolist() == [True, False, False]
    assert is_clipped(choice, rule, pool, Envelope(3, 1), "absolute").tolist() == [
        True,
        False,
        True,
    ]
    assert not is_clipped(choice, rule, pool, FREE, "absolute").any()


def test_nothing_is_started_that_is_not_there() -> None:
    full = seen(owned_off_nodes=1, burst_off_nodes=0)
    assert outcome(chosen("absolute", 8), ruled(8), full, FREE, "absolute")[0] == 1
    closed = seen(owned_off_nodes=0, burst_off_nodes=0, cordoned_nodes=2)
    assert outcome(chosen("absolute", 8), ruled(8), closed, FREE, "absolute")[0] == 2


@pytest.mark.parametrize(("how", "nodes"), [(EMPTIES_ONLY, -4), (DRAIN, -8), (MIGRATE, -5)])
def test_a_release_reaches_as_far_as_its_manner_allows(how: int, nodes: int) -> None:
    # 4 nodes are empty; all 12 have room to be drained; jobs of 5 nodes fit into 40 free GPUs
    made = outcome(chosen("absolute", -8, how=how), ruled(-8), seen(), FREE, "absolute")
    assert made[Head.NODES] == nodes


def test_a_lease_inside_its_minimum_bill_is_no_empty_node_to_release() -> None:
    pool = seen(owned_empty_nodes=0, burst_active_nodes=3, burst_empty_nodes=3, burst_ripe_nodes=1)
    made = outcome(chosen("absolute", -2, how=EMPTIES_ONLY), ruled(-2), pool, TIGHT, "absolute")
    assert made[Head.NODES] == -1


def test_of_choices_that_come_to_the_same_one_stays() -> None:
    # the rule wants 5: everything under 2 comes to 2, and 8 is itself
    capacity = masks(seen(), ruled(5), TIGHT, "absolute")[NetHead.CAPACITY][0]
    assert CAPACITY_CHOICES["absolute"][capacity].tolist() == [2, 4, 8]
    # two levels below the top: of +2 and the like only those that differ
    price = masks(seen(), ruled(0, 12), TIGHT, "offset")[NetHead.PRICE][0]
    assert PRICE_CHOICES[price].tolist() == [-2, -1, 0]


def test_with_nothing_to_start_or_release_only_staying_is_left() -> None:
    stuck = seen(owned_off_nodes=0, burst_off_nodes=0, owned_empty_nodes=0, free_gpus=0)
    for mode in MODES:
        left = masks(stuck, ruled(), TIGHT, mode)
        assert CAPACITY_CHOICES[mode][left[NetHead.CAPACITY][0]].tolist() == [0]
        assert left[NetHead.CONSOLIDATION][0].tolist() == [False, False, True]  # the rule's


def test_whom_to_heal_is_asked_where_somebody_is_suspect() -> None:
    assert masks(seen(suspect_nodes=1), ruled(), TIGHT, "offset")[NetHead.HEAL].all()
    sound = masks(seen(), ruled(), TIGHT, "offset")[NetHead.HEAL][0]
    assert np.flatnonzero(sound).tolist() == [STRICT]
    assert NOBODY != STRICT


def random_pools(rows: int, rng: np.random.Generator) -> tuple[Any, Any]:
    pools = np.vstack([seen() for _ in range(rows)])
    for name, most in (("OWNED_ACTIVE_NODES", 12), ("OWNED_OFF_NODES", 5), ("BURST_OFF_NODES", 4),
                       ("CORDONED_NODES", 2), ("FREE_GPUS", 60), ("SUSPECT_NODES", 2)):  # fmt: skip
        pools[:, Feature[name]] = rng.integers(most + 1, size=rows)
    empty = np.minimum(pools[:, Feature.FREE_GPUS] // 8, pools[:, Feature.OWNED_ACTIVE_NODES])
    pools[:, Feature.OWNED_EMPTY_NODES] = empty
    pools[:, Feature.PRICE_USD_PER_GPU_HOUR] = rng.uniform(1.0, 3.0, size=rows)
    rule = np.empty((rows, HEAD_COUNT), np.int64)
    for head, (low, high) in enumerate(((-8, 9), (0, 13), (0, 3), (0, 3), (0, 101))):
        rule[:, head] = rng.integers(low, high, size=rows)
    return pools, rule


@pytest.mark.parametrize("envelope", [TIGHT, Envelope(1, 0), FREE])
@pytest.mark.parametrize("mode", MODES)
def test_masks_lose_no_outcome_and_repeat_none(mode: Mode, envelope: Envelope) -> None:
    pools, rule = random_pools(40, np.random.default_rng(4))
    rule[:, Head.CONSOLIDATION] = DRAIN
    capacity, price = masks(pools, rule, envelope, mode)[:2]
    everything = product(range(head_sizes(mode)[0]), range(head_sizes(mode)[1]))
    rows = np.array([[c, p, DRAIN, NOBODY, 0] for c, p in everything])
    for row in range(len(pools)):
        one, same_rule = pools[[row] * len(rows)], rule[[row] * len(rows)]
        made = to_proposals(rows, same_rule, one, envelope, mode)
        is_open = capacity[row][rows[:, 0]] & price[row][rows[:, 1]]
        outcomes = [tuple(p) for p in made[is_open]]
        assert len(outcomes) == len(set(outcomes))
        assert set(outcomes) == {tuple(p) for p in made}
        assert np.abs(made[:, Head.NODES]).max() <= MOST_NODES
        assert 0 <= made[:, Head.PRICE_LEVEL].min() <= made[:, Head.PRICE_LEVEL].max() <= 12


@pytest.mark.parametrize("mode", MODES)
def test_every_head_of_every_row_keeps_a_choice(mode: Mode) -> None:
    pools, rule = random_pools(200, np.random.default_rng(5))
    for mask, size in zip(masks(pools, rule, TIGHT, mode), head_sizes(mode), strict=True):
        assert mask.shape == (200, size)
        assert mask.any(axis=1).all()


def test_a_price_far_off_the_list_counts_as_the_nearest_level() -> None:
    assert price_levels(seen(price_usd_per_gpu_hour=9.0))[0] == 12
    assert price_levels(seen(price_usd_per_gpu_hour=0.1))[0] == 0
    assert price_levels(seen(price_usd_per_gpu_hour=2.09))[0] == LEVEL_AT_MARKET + 1
