"""The learned policy: inside its envelope whatever it answers, and never of other weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.drivers import _READ, _groups, drivers, usual_inputs
from engine.policies import PRICE_RATIOS, Head
from engine.policies.inputs import INPUT_NAMES
from engine.policies.learned import DIAL_WISHES, Learned, learned
from engine.policies.network import Member, Network, WeightsError
from engine.policies.registry import baseline
from engine.simulator.episode_sources import training_episodes
from engine.simulator.pools import Pools
from tests.engine.crowned import INPUTS, SIZES, make_network, network_moved_by
from warehouse.controls import DIALS

RULE = baseline("rule")


@pytest.fixture(scope="module")
def seen() -> np.ndarray:
    """Sixteen pools after five hours under the rule."""
    pools = Pools(training_episodes(16, 3, ticks=40, largest_nodes=24), threads=1)
    for _ in range(20):
        pools.step(RULE.proposals(pools.observe()))
    return pools.observe()


def policy(network: Network | None = None, **changes: object) -> Learned:
    made = Learned("learned-1", network or make_network(), RULE)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_it_prefers_it_stays_near_the_rule(seen: np.ndarray, seed: int) -> None:
    done, rule = policy(make_network(seed=seed, scale=30.0)).proposals(seen), RULE.proposals(seen)
    away = done[:, Head.NODES] - rule[:, Head.NODES]
    back_to_nothing = np.abs(done[:, Head.NODES]) <= np.abs(rule[:, Head.NODES])
    assert ((np.abs(away) <= 3) | back_to_nothing).all()
    assert (np.abs(done[:, Head.PRICE_LEVEL] - rule[:, Head.PRICE_LEVEL]) <= 2).all()
    assert (
        (done[:, Head.PRICE_LEVEL] >= 0) & (done[:, Head.PRICE_LEVEL] < len(PRICE_RATIOS))
    ).all()
    assert (done != rule).any()


def test_what_is_explained_is_what_is_proposed(seen: np.ndarray) -> None:
    one = policy()
    answer = one.explained(seen)
    assert (answer.proposals == one.proposals(seen)).all()
    assert (answer.rule == RULE.proposals(seen)).all()
    assert ((answer.probabilities > 0) & (answer.probabilities <= 1)).all()
    # The likeliest of n choices is at least as likely as one in n.
    assert (answer.probabilities >= 1 / np.array(SIZES) - 1e-6).all()


def test_the_dial_is_read_by_the_network(seen: np.ndarray) -> None:
    assert set(DIAL_WISHES) == set(DIALS)
    balanced, service = policy().explained(seen), policy(dial="service").explained(seen)
    assert (service.inputs[:, -3:] == [1.0, 0.0, 0.0]).all()
    assert (balanced.inputs[:, -3:] == 0.0).all()
    assert not np.allclose(balanced.value_usd, service.value_usd)


def test_only_the_weights_that_were_meant_are_loaded(tmp_path: Path) -> None:
    network = make_network()
    digest = network.save(tmp_path / "a.npz")
    assert learned(tmp_path / "a.npz", sha256=digest).name == f"learned-{digest[:12]}"
    with pytest.raises(WeightsError, match="not the weights that were asked for"):
        learned(tmp_path / "a.npz", sha256="0" * 64)
    with pytest.raises(ValueError, match="not on the dial"):
        learned(tmp_path / "a.npz", "loud")


def test_weights_that_read_other_figures_are_refused_with_what_to_do(tmp_path: Path) -> None:
    member = make_network(members=1).members[0]
    first = member.actor[0]._replace(weight=member.actor[0].weight[:5])
    narrow = Member(
        member.mean[:5], member.deviation[:5], (first, *member.actor[1:]), member.critic
    )
    Network(SIZES, (narrow,)).save(tmp_path / "narrow.npz")
    with pytest.raises(WeightsError, match="Train anew"):
        learned(tmp_path / "narrow.npz")


def test_the_envelope_is_that_of_the_training(tmp_path: Path) -> None:
    facts = {"plan": {"envelope_nodes": 1, "envelope_price_levels": 0}}
    replace(make_network(), facts=facts).save(tmp_path / "a.npz")
    assert learned(tmp_path / "a.npz").envelope == (1, 0)


# -- drivers ---------------------------------------------------------------------------


def test_what_alone_moves_a_policy_is_named_with_its_effect(seen: np.ndarray) -> None:
    at = INPUT_NAMES.index("oldest wait")
    one = policy(network_moved_by("oldest wait", nodes=2))
    answer = one.explained(seen)
    answer.inputs[0, at] = 2.0  # half an hour
    answer.choices[0, 0] = 5  # two nodes beyond the rule
    for mask in answer.masks:
        mask[0] = True
    found = drivers(one, answer, seen)
    assert [each["feature"] for each in found] == ["oldest wait"]
    assert found[0]["words"] == "Oldest wait: 30 min, usually 0 min"
    # 40 logits times what two layers of tanh leave of 0.1 times the input.
    assert found[0]["effect"] == pytest.approx(40 * np.tanh(np.tanh(0.2)), rel=1e-4)


def test_the_largest_six_are_told_the_largest_first(seen: np.ndarray) -> None:
    one = policy()
    found = drivers(one, one.explained(seen), seen, row=3)
    effects = [abs(each["effect"]) for each in found]
    assert len(found) == 6
    assert effects == sorted(effects, reverse=True)


def test_a_policy_that_agrees_with_the_rule_is_explained_too(seen: np.ndarray) -> None:
    one = policy()
    answer = one.explained(seen)
    answer.choices[0] = [3, 2, answer.rule[0, Head.CONSOLIDATION], answer.rule[0, Head.HEAL], 2]
    assert drivers(one, answer, seen)


def test_every_input_reads_in_a_unit(seen: np.ndarray) -> None:
    titles = {title for title, _ in _groups(INPUTS)} - {"hour of the day", "day of the week"}
    assert titles == set(_READ)
    assert usual_inputs(policy()).shape == (INPUTS,)
