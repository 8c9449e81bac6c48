"""PPO against figures worked out by hand, and a tiny world that it must master in seconds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `learn`")

from engine.learning import ppo  # noqa: E402
from engine.learning.contract import Record, Settings, Trained  # noqa: E402
from engine.policies.network import Network  # noqa: E402

CONTEXTS, LENGTH, CYCLE = 4, 4, 16
GOAL, STEP_COST = 2.0, 0.1
BEST = 1 / CONTEXTS + GOAL / LENGTH - STEP_COST
"""What a decision can earn on average; standing still and naming earns 1 / CONTEXTS"""


class Seen(NamedTuple):
    obs: Any
    masks: Any
    reward: Any
    constraint: Any
    done: Any
    final_obs: Any


class Corridor:
    """Name the context, and walk a corridor whose prize is at its end; standing still loses it all.

    The first head names one of the contexts (one wrong name at random is masked); the second walks
    (1) at a cost, or stands still (0) and is back at the start. Time is up every CYCLE steps.
    """

    def __init__(self, rows: int = 32) -> None:
        self.rows = rows

    def reset(self, seed: int) -> tuple[Any, Any]:
        self.rng = np.random.default_rng(seed)
        self.place = self.rng.integers(LENGTH, size=self.rows)
        self.clock = self.rng.integers(CYCLE, size=self.rows)
        return self._look()

    def _look(self) -> tuple[Any, Any]:
        self.context = self.rng.integers(CONTEXTS, size=self.rows)
        names = np.ones((self.rows, CONTEXTS), bool)
        wrong = (self.context + self.rng.integers(1, CONTEXTS, size=self.rows)) % CONTEXTS
        names[np.arange(self.rows), wrong] = False
        self.names = names
        return self._obs(), [names, np.ones((self.rows, 2), bool)]

    def _obs(self) -> Any:
        return np.hstack([np.eye(CONTEXTS)[self.context], np.eye(LENGTH)[self.place]]).astype("f4")

    def step(self, choices: Any) -> Seen:
        assert self.names[np.arange(self.rows), choices[:, 0]].all(), "a masked choice was taken"
        walks = choices[:, 1] == 1
        arrives = walks & (self.place == LENGTH - 1)
        reward = (choices[:, 0] == self.context) / CONTEXTS + GOAL * arrives - STEP_COST * walks
        self.place = np.where(walks & ~arrives, self.place + 1, 0)
        self.clock += 1
        done = self.clock % CYCLE == 0
        final = self._obs()
        self.place[done] = 0
        obs, masks = self._look()
        return Seen(obs, masks, reward, walks.astype(float), done, final)


TINY = Settings(
    decisions=32 * 32 * 40, steps=32, minibatch=256, hidden=32, learning_rate=4e-3, gamma=0.95,
    critic_updates=2, multiplier_rate=0.0, stretch_updates=3, judge_updates=10,
)  # fmt: skip
SHORT = replace(TINY, decisions=32 * 32 * 5, judge_updates=2)


def played(network: Network, steps: int = 200) -> float:
    """Mean reward a decision of the likeliest choices."""
    world, total = Corridor(), 0.0
    obs, masks = world.reset(99)
    for _ in range(steps):
        seen = world.step(network.greedy(obs, masks))
        obs, masks, total = seen.obs, seen.masks, total + seen.reward.mean()
    return total / steps


def random_score(steps: int = 200) -> float:
    world, rng, total = Corridor(), np.random.default_rng(5), 0.0
    _, masks = world.reset(99)
    for _ in range(steps):
        seen = world.step(np.stack([(rng.random(m.shape) * m).argmax(1) for m in masks], axis=1))
        masks, total = seen.masks, total + seen.reward.mean()
    return total / steps


def same(one: Any, other: Any) -> bool:
    def arrays(member: Any) -> list[Any]:
        layers = [array for layer in member.actor + member.critic for array in layer]
        return [member.mean, member.deviation, *layers]

    pairs = zip(arrays(one), arrays(other), strict=True)
    return all(np.array_equal(mine, yours) for mine, yours in pairs)


# -- by hand


def test_advantages_by_hand_with_a_time_limit_after_the_second_step() -> None:
    s = replace(TINY, gamma=0.5, gae_lambda=0.5)
    # The second reward is 2, and 0.5 times 4, the value of what was seen last.
    rewards, dones = torch.tensor([[1.0], [4.0], [3.0]]), torch.tensor([[0.0], [1.0], [0.0]])
    values = torch.tensor([[1.0], [2.0], [6.0], [8.0]])
    # 3 + 0.5 * 8 - 6 = 1; 4 - 2 = 2; 1 + 0.5 * 2 - 1 + 0.25 * 2 = 1.5
    assert ppo.advantages(rewards, values, dones, s).flatten().tolist() == [1.5, 2.0, 1.0]


@pytest.mark.parametrize(
    ("ratio", "gain", "expected"),
    [(1.1, 2.0, 2.2), (1.5, 1.0, 1.2), (1.5, -1.0, -1.5), (0.5, 1.0, 0.5), (0.5, -1.0, -0.8)],
)
def test_the_surrogate_stops_paying_outside_the_clip(
    ratio: float, gain: float, expected: float
) -> None:
    x = torch.tensor(ratio, requires_grad=True)
    value = ppo.clipped_surrogate(x, torch.tensor(gain), 0.2)
    assert value.item() == pytest.approx(expected)
    value.backward()
    is_cut = expected != pytest.approx(ratio * gain)
    assert x.grad.item() == (0.0 if is_cut else gain)


def test_a_masked_choice_has_no_probability_and_no_part_in_the_entropy() -> None:
    logits, masks = torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[True, True, False]]])
    logs = ppo.masked_log_softmax(logits, masks)
    p = 1 / (1 + math.e)
    assert logs.exp().flatten().tolist() == pytest.approx([p, 1 - p, 0.0])
    assert logs.exp().flatten()[2] == 0
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert ppo.entropies(logs).item() == pytest.approx(entropy)


def test_the_log_probability_of_a_choice_is_the_sum_over_its_heads() -> None:
    logs = torch.tensor([[[0.25, 0.75], [0.5, 0.5]]]).log()
    assert ppo.of_choices(logs, torch.tensor([[1, 0]])).item() == pytest.approx(math.log(0.375))


def test_draws_follow_the_probabilities() -> None:
    logs = torch.tensor([[[0.2, 0.8, 0.0]]]).log().expand(20_000, 1, 3)
    draws = ppo.drawn(logs, torch.Generator().manual_seed(1))
    assert draws.max() == 1  # never what is masked
    assert draws.float().mean().item() == pytest.approx(0.8, abs=0.01)


def test_the_multiplier_rises_beyond_the_limit_and_falls_within_to_0_at_least() -> None:
    s = replace(TINY, multiplier_rate=10.0, constraint_limit=0.1, largest_multiplier=3.0)
    assert ppo.next_multiplier(1.0, 0.15, s) == pytest.approx(1.5)
    assert ppo.next_multiplier(1.0, 0.05, s) == pytest.approx(0.5)
    assert ppo.next_multiplier(0.2, 0.0, s) == 0.0
    assert ppo.next_multiplier(2.9, 0.9, s) == 3.0


# -- trained


@pytest.fixture(scope="module")
def mastered() -> Trained:
    return ppo.train(Corridor(), TINY, seed=1)


def test_it_masters_a_corridor_that_neither_luck_nor_greed_gets_through(
    mastered: Trained,
) -> None:
    assert random_score() < 0.15
    assert played(ppo.ensemble([mastered])) > 0.9 * BEST > 1 / CONTEXTS


def test_the_records_tell_how_it_learned(mastered: Trained) -> None:
    first, last = mastered.records[0], mastered.records[-1]
    assert len(mastered.records) == 40
    assert last["decisions"] == TINY.decisions
    assert "kl" not in first  # the critic learns alone at first
    assert -1e-6 <= last["kl"] <= TINY.largest_kl  # rounding may leave a hair below zero
    assert last["explained_variance"] > 0.5 > first["explained_variance"]
    assert last["learning_rate"] < 0.15 * first["learning_rate"]
    assert last["entropy"] < 0.5 * mastered.records[2]["entropy"]


def test_numpy_plays_what_torch_trained(mastered: Trained) -> None:
    model = ppo.ActorCritic(CONTEXTS + LENGTH, mastered.head_sizes, TINY.hidden, seed=0)
    model.adopt(mastered.member)
    obs, masks = Corridor(64).reset(3)
    padded = np.zeros((64, 2, CONTEXTS), bool)
    padded[:, 0], padded[:, 1, :2] = masks
    with torch.no_grad():
        scaled = model.scaled(obs)
        logs = model.log_probabilities(scaled, torch.from_numpy(padded)).numpy()
        values = model.values(scaled).numpy()
    network = ppo.ensemble([mastered])
    found = network.log_probabilities(obs, masks)
    np.testing.assert_allclose(found[0][masks[0]], logs[:, 0][masks[0]], atol=1e-5)
    np.testing.assert_allclose(found[1], logs[:, 1, :2], atol=1e-5)
    np.testing.assert_allclose(network.values(obs), values, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_others() -> None:
    small = replace(SHORT, decisions=32 * 32 * 4)
    one, again, other = (ppo.train(Corridor(), small, seed).member for seed in (3, 3, 4))
    assert same(one, again)
    assert not same(one, other)


def test_threads_are_given_back() -> None:
    threads = torch.get_num_threads()
    ppo.train(Corridor(), replace(SHORT, decisions=1), 1)
    assert torch.get_num_threads() == threads


def test_resumed_is_uninterrupted(tmp_path: Path) -> None:
    class PulledPlugError(Exception):
        pass

    def pull_plug(record: Record) -> None:
        if record["update"] == 4:
            raise PulledPlugError

    file = tmp_path / "training.pt"
    with pytest.raises(PulledPlugError):
        ppo.train(Corridor(), SHORT, 3, pull_plug, file, judge=played)
    heard: list[float] = []
    resumed = ppo.train(
        Corridor(), SHORT, 3, lambda r: heard.append(r["update"]), file, judge=played
    )
    assert heard == [4, 5]
    whole = ppo.train(Corridor(), SHORT, 3, judge=played)
    assert same(resumed.member, whole.member)
    assert [r["reward"] for r in resumed.records] == [r["reward"] for r in whole.records]


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    file, settings = tmp_path / "training.pt", replace(SHORT, decisions=1)
    ppo.train(Corridor(), settings, 3, checkpoint=file)
    with pytest.raises(ValueError, match="remove it to start anew"):
        ppo.train(Corridor(), settings, 4, checkpoint=file)


def test_the_weights_that_the_judge_liked_best_are_kept() -> None:
    seen: list[Network] = []

    def first_is_best(network: Network) -> float:
        seen.append(network)
        return -float(len(seen))

    trained = ppo.train(Corridor(), SHORT, 3, judge=first_is_best)
    assert [r["update"] for r in trained.records if "score" in r] == [2, 4, 5]
    assert same(trained.member, seen[0].members[0])
    assert not same(seen[0].members[0], seen[-1].members[0])


def test_training_goes_on_from_a_member(mastered: Trained) -> None:
    gentle = replace(TINY, decisions=32 * 32 * 3, learning_rate=1e-4)
    tuned = ppo.train(Corridor(), gentle, 8, start=mastered.member)
    assert tuned.records[0]["reward"] > 0.7 * BEST
    assert played(ppo.ensemble([tuned])) > 0.9 * BEST


def test_past_the_largest_kl_the_actor_rests_and_the_critic_learns_on() -> None:
    def halves(settings: Settings) -> tuple[Any, Any]:
        member = ppo.train(Corridor(), replace(settings, decisions=32 * 32 * 3), 3).member
        return member.actor[0].weight, member.critic[0].weight

    actor, critic = halves(replace(SHORT, largest_kl=-1.0, critic_updates=1))
    untouched, early = halves(replace(SHORT, critic_updates=9, learning_rate=1e-9))
    assert np.array_equal(actor, untouched)
    assert np.abs(critic - early).max() > 1e-3


def test_indecision_that_pays_is_kept() -> None:
    usual, rewarded = (
        ppo.train(Corridor(), replace(SHORT, entropy_coefficient=coefficient), 3).records[-1]
        for coefficient in (0.0, 5.0)
    )
    assert rewarded["entropy"] > usual["entropy"] + 0.05


def test_a_constraint_with_a_price_is_heeded() -> None:
    dear = replace(TINY, multiplier_rate=1.0, decisions=32 * 32 * 14)
    records = ppo.train(Corridor(), dear, seed=1).records
    assert records[5]["multiplier"] > records[0]["multiplier"] > 0
    assert records[-1]["constraint"] < 0.1  # nobody walks any more


class Treadmill:
    """One dollar a step for ever; time is up every fourth step."""

    rows = 16

    def reset(self, seed: int) -> tuple[Any, Any]:
        self.clock = np.random.default_rng(seed).integers(4, size=self.rows)
        return np.ones((self.rows, 1), np.float32), [np.ones((self.rows, 2), bool)]

    def step(self, choices: Any) -> Seen:
        self.clock += 1
        obs, masks = np.ones((self.rows, 1), np.float32), [np.ones((self.rows, 2), bool)]
        return Seen(obs, masks, np.ones(16), np.zeros(16), self.clock % 4 == 0, obs)


def test_a_time_limit_is_not_an_end() -> None:
    settings = replace(TINY, decisions=16 * 32 * 30, gamma=0.8, learning_rate=1e-2)
    network = ppo.ensemble([ppo.train(Treadmill(), settings, 1)])
    value = network.values(np.ones((1, 1), np.float32))[0]
    assert value == pytest.approx(1 / (1 - 0.8), rel=0.05)  # and not the 2.0 of an episode


def test_without_a_terminal_progress_is_a_line_a_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    ppo.train(Corridor(8), replace(SHORT, decisions=8 * 2 * 20, steps=2, hidden=8), 1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[-1].startswith("training 100 %: update 20 of 20")
