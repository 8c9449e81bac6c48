"""The learned policy's arithmetic, its file, and what it reads of a pool (inputs)."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.policies import DRAIN, HEAD_COUNT, LEVEL_AT_MARKET, LOOSE, Head
from engine.policies.inputs import INPUT_NAMES, LARGEST_INPUT, inputs
from engine.policies.network import Layer, Member, Network, WeightsError
from engine.simulator.features import FEATURE_COUNT, FEATURE_NAMES, Feature

SIZES = (7, 5, 3)


def make_network(members: int = 3, wide: int = 6, hidden: int = 16, sizes: Any = SIZES) -> Network:
    rng = np.random.default_rng(7)

    def layer(narrow: int, broad: int) -> Layer:
        weight = rng.normal(size=(narrow, broad)) / np.sqrt(narrow)
        return Layer(weight.astype(np.float32), rng.normal(size=broad).astype(np.float32))

    def half(out: int) -> tuple[Layer, ...]:
        return layer(wide, hidden), layer(hidden, hidden), layer(hidden, out)

    made = [
        Member(
            rng.normal(size=wide).astype(np.float32),
            rng.uniform(0.5, 2, size=wide).astype(np.float32),
            half(sum(sizes)),
            half(1),
        )
        for _ in range(members)
    ]
    return Network(tuple(sizes), tuple(made), {"command": "python app.py train", "seeds": [1, 2]})


def make_asked(rows: int = 20, wide: int = 6, sizes: Any = SIZES) -> tuple[Any, list[Any]]:
    rng = np.random.default_rng(8)
    masks = [rng.random((rows, size)) < 0.7 for size in sizes]
    for mask in masks:
        mask[:, 1] = True
    return rng.normal(size=(rows, wide)).astype(np.float32), masks


def by_hand(layers: Any, member: Member, obs: Any) -> Any:
    x = (obs.astype(np.float64) - member.mean) / member.deviation
    for weight, bias in layers[:-1]:
        x = np.tanh(x @ weight + bias)
    return x @ layers[-1].weight + layers[-1].bias


def test_members_agree_by_their_mean_log_probability() -> None:
    network, (obs, masks) = make_network(), make_asked()
    mean, start = np.zeros((20, 5)), 7
    for member in network.members:
        logits = by_hand(member.actor, member, obs)[:, start : start + 5]
        odds = np.exp(logits) * masks[1]
        with np.errstate(divide="ignore"):
            mean += np.log(odds / odds.sum(axis=1, keepdims=True)) / 3
    expected = np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True)
    found = np.exp(network.log_probabilities(obs, masks)[1])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found[~masks[1]] == 0).all()


def test_values_are_the_members_mean() -> None:
    network, (obs, _) = make_network(), make_asked()
    expected = np.mean([by_hand(m.critic, m, obs)[:, 0] for m in network.members], axis=0)
    np.testing.assert_allclose(network.values(obs), expected, atol=1e-5)


def test_the_greedy_choice_is_the_likeliest_open_one() -> None:
    network, (obs, masks) = make_network(), make_asked()
    greedy, logs = network.greedy(obs, masks), network.log_probabilities(obs, masks)
    for head, (mask, log) in enumerate(zip(masks, logs, strict=True)):
        assert mask[np.arange(20), greedy[:, head]].all()
        assert (log[np.arange(20), greedy[:, head]] == log.max(axis=1)).all()


def test_draws_follow_the_probabilities() -> None:
    network, (obs, masks) = make_network(), make_asked(rows=1)
    many = [np.repeat(mask, 20_000, axis=0) for mask in masks]
    drawn = network.sampled(np.repeat(obs, 20_000, axis=0), many, np.random.default_rng(1))
    for head, log in enumerate(network.log_probabilities(obs, masks)):
        shares = np.bincount(drawn[:, head], minlength=SIZES[head]) / 20_000
        np.testing.assert_allclose(shares, np.exp(log[0]), atol=0.015)


def test_the_same_generator_draws_the_same() -> None:
    network, asked = make_network(), make_asked()
    one, two = (network.sampled(*asked, np.random.default_rng(3)) for _ in range(2))
    assert (one == two).all()


def test_inputs_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match=r"reads \(R, 6\) inputs"):
        make_network().values(np.zeros((4, 9), np.float32))


# -- the file


def test_a_network_comes_back_from_its_file(tmp_path: Path) -> None:
    network, asked, file = make_network(), make_asked(), tmp_path / "weights.npz"
    digest = network.save(file)
    again = Network.load(file, sha256=digest)
    assert again.facts == network.facts
    assert again.sha256 == digest == network.sha256
    for one, other in zip(
        network.log_probabilities(*asked), again.log_probabilities(*asked), strict=True
    ):
        assert np.array_equal(one, other)
    assert np.array_equal(network.values(asked[0]), again.values(asked[0]))
    assert [path.name for path in tmp_path.iterdir()] == ["weights.npz"]


def test_a_file_that_was_swapped_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.npz"
    digest = make_network(members=3).save(file)
    make_network(members=2).save(file)
    with pytest.raises(WeightsError, match="not the weights that were asked for"):
        Network.load(file, sha256=digest)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.npz"
    make_network().save(file)
    whole = file.read_bytes()
    for packed in (whole[: len(whole) // 2], b"", b"weights", whole[:2000] + b"x" + whole[2001:]):
        file.write_bytes(packed)
        with pytest.raises(WeightsError, match=r"no usable weights file.*train anew"):
            Network.load(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.npz cannot be read"):
        Network.load(tmp_path / "gone.npz")


def test_weights_that_are_not_finite_or_do_not_fit_are_refused(tmp_path: Path) -> None:
    network, file = make_network(members=1), tmp_path / "weights.npz"
    one = network.members[0]
    broken = one._replace(mean=np.full_like(one.mean, np.nan))
    replace(network, members=(broken,)).save(file)
    with pytest.raises(WeightsError, match="not finite"):
        Network.load(file)
    replace(network, head_sizes=(7, 5)).save(file)
    with pytest.raises(WeightsError, match="heads do not fit"):
        Network.load(file)


def test_no_pickle_is_ever_opened(tmp_path: Path) -> None:
    file = tmp_path / "weights.npz"
    np.savez(file, head_sizes=np.array([{"a": 1}], dtype=object))
    with pytest.raises(WeightsError, match="no usable weights file"):
        Network.load(file)


def test_a_thousand_pools_are_answered_in_milliseconds() -> None:
    sizes = (9, 5, 3, 3, 3)
    network = make_network(3, 70, 128, sizes)
    asked = make_asked(1000, 70, sizes)
    network.greedy(*asked)
    fastest = min(_seconds(network, asked) for _ in range(10))
    assert fastest < 0.05  # ten times what it takes on one idle core


def _seconds(network: Network, asked: Any) -> float:
    started_at = time.perf_counter()
    network.greedy(*asked)
    return time.perf_counter() - started_at


# -- what it reads

COUNTS = [n for n, name in enumerate(FEATURE_NAMES)
          if name.endswith(("_nodes", "_gpus", "_jobs", "_jobs_per_hour", "_gpus_per_hour"))
          and "usd" not in name and name != "largest_job_gpus"]  # fmt: skip


def make_seen(rows: int = 5) -> Any:
    rng = np.random.default_rng(9)
    seen = rng.uniform(0.5, 3, size=(rows, FEATURE_COUNT))
    seen[:, COUNTS] = rng.uniform(1, 10, size=(rows, len(COUNTS)))
    seen[:, Feature.OWNED_NODES], seen[:, Feature.GPUS_PER_NODE] = 16, 8
    seen[:, Feature.HOUR_OF_WEEK] = rng.uniform(0, 168, size=rows)
    return seen


def make_rule(rows: int = 5, nodes: int = 2) -> Any:
    return np.array([[nodes, LEVEL_AT_MARKET + 2, DRAIN, LOOSE, 50]] * rows)


def read(seen: Any, rule: Any, name: str) -> Any:
    return inputs(seen, rule, np.zeros((len(seen), 0)))[:, INPUT_NAMES.index(name)]


def test_there_are_as_many_inputs_as_names_and_the_dial_comes_last() -> None:
    dial = np.array([[0.25, -1.0]] * 5)
    found = inputs(make_seen(), make_rule(), dial)
    assert found.shape == (5, len(INPUT_NAMES) + 2)
    assert found.dtype == np.float32
    assert (found[:, -2:] == dial).all()
    assert len(set(INPUT_NAMES)) == len(INPUT_NAMES)


def test_small_and_large_pools_look_alike_but_for_their_size() -> None:
    small, dial = make_seen(), np.zeros((5, 0))
    large = small.copy()
    large[:, COUNTS] *= 4
    one = inputs(small, make_rule(nodes=2), dial)
    other = inputs(large, make_rule(nodes=8), dial)
    differs = {INPUT_NAMES[n] for n in np.flatnonzero(~np.isclose(one, other).all(axis=0))}
    assert differs == {"size of the pool"}


def test_dear_and_cheap_cards_look_alike() -> None:
    seen, dial = make_seen(), np.zeros((5, 0))
    dear = seen.copy()
    dear[:, [n for n, name in enumerate(FEATURE_NAMES) if "usd" in name]] *= 3
    np.testing.assert_allclose(
        inputs(seen, make_rule(), dial), inputs(dear, make_rule(), dial), atol=1e-6
    )


def test_every_feature_is_read_and_every_head_of_the_rule() -> None:
    seen, rule, dial = make_seen(), make_rule(), np.zeros((5, 0))
    usual = inputs(seen, rule, dial)
    for feature in Feature:
        moved = seen.copy()
        moved[:, feature] *= 0.7
        assert (inputs(moved, rule, dial) != usual).any(), feature.name
    for head in Head:
        moved = rule.copy()
        moved[:, head] -= 1
        assert (inputs(seen, moved, dial) != usual).any(), head.name
    assert len(Head) == HEAD_COUNT


def test_figures_by_hand() -> None:
    seen = make_seen(1)
    seen[0, Feature.USED_GPUS], seen[0, Feature.FREE_GPUS] = 96, 32
    seen[0, Feature.PRICE_USD_PER_GPU_HOUR], seen[0, Feature.MARKET_USD_PER_GPU_HOUR] = 2.2, 2.0
    seen[0, Feature.OFFERED_DAY_JOBS_PER_HOUR] = 8
    seen[0, Feature.FORECAST_HOUR_JOBS_PER_HOUR] = 10
    seen[0, Feature.HOUR_OF_WEEK] = 30  # Tuesday, 6 o'clock
    rule = make_rule(1, nodes=-4)
    for name, figure in (
        ("size of the pool", 0.0),
        ("GPUs in use", 0.75),
        ("utilisation", 0.75),
        ("our price", 0.5),
        ("forecast for an hour", 0.25),
        ("hour of the day (sine)", 1.0),
        ("the rule's nodes", -1.25),
        ("the rule adds or releases", -1.0),
        ("the rule's price", 0.5),
        ("the rule drains", 1.0),
        ("the rule's spot share", 0.5),
    ):
        assert read(seen, rule, name)[0] == pytest.approx(figure, abs=1e-6), name


def test_nothing_is_louder_than_the_largest_input_even_in_an_empty_pool() -> None:
    for seen in (np.zeros((1, FEATURE_COUNT)), 1e9 * make_seen(1)):
        found = inputs(seen, make_rule(1), np.zeros((1, 1)))
        assert np.isfinite(found).all()
        assert np.abs(found).max() <= LARGEST_INPUT
