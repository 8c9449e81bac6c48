"""Proximal policy optimisation under a constraint, in one file to be read from top to bottom.

Schulman et al. (arXiv 1707.06347) with the details of Huang et al. (The 37 Implementation Details
of PPO, 2022) and a Lagrange multiplier (Ray et al., Benchmarking Safe Exploration in Deep RL,
2019). The knobs are in `contract.py`. The only file that needs torch: what it trains is played by
`engine/policies/network.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.learning.contract import Environment, Record, Settings, Trained
from engine.learning.progress import tell_progress
from engine.policies.network import Layer, Member, Network


def train(
    environment: Environment,
    settings: Settings,
    seed: int,
    on_update: Callable[[Record], None] | None = None,
    checkpoint: Path | None = None,
    judge: Callable[[Network], float] | None = None,
    start: Member | None = None,
) -> Trained:
    """Train one actor-critic; the same seed gives the same weights, bit for bit.

    `on_update` hears each update's record, `judge` scores the network every `judge_updates` (more
    is better), `start` is a member to go on from. Where `checkpoint` exists, the training goes on
    from there to the very end that it would have had.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        learner = Learner(environment, settings, seed, start)
        if checkpoint is not None and checkpoint.exists():
            learner.resume(checkpoint)
        while learner.update < learner.updates:
            record = learner.learn()
            if judge is not None and learner.is_due(settings.judge_updates):
                learner.hear(judge)
            tell_progress(record, learner.updates)
            if on_update is not None:
                on_update(record)
            if checkpoint is not None and learner.is_due(settings.stretch_updates):
                learner.keep(checkpoint)
        return learner.trained()
    finally:
        torch.set_num_threads(threads)


def ensemble(trained: Sequence[Trained], facts: dict[str, Any] | None = None) -> Network:
    """One network of several trainings; `facts`, fit for JSON, go along."""
    return Network(trained[0].head_sizes, tuple(one.member for one in trained), facts or {})


# -- the arithmetic: pure functions --------------------------------------------------------------


def masked_log_softmax(logits: Tensor, masks: Tensor) -> Tensor:
    """Log-probabilities over the last axis; what is masked gets a probability of exactly 0."""
    logits = logits.masked_fill(~masks, -1e9)
    logits = logits - logits.detach().amax(-1, keepdim=True)
    # Over axes this short torch's own log_softmax takes three times as long.
    return logits - logits.exp().sum(-1, keepdim=True).log()


def drawn(log_probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """One choice a head, (B, H) of (B, H, widest): where a uniform draw falls among the shares."""
    heaps = log_probabilities.exp().cumsum(-1)
    falls = torch.rand(*heaps.shape[:-1], 1, generator=generator) * heaps[..., -1:]
    return (heaps <= falls).sum(-1)


def of_choices(log_probabilities: Tensor, choices: Tensor) -> Tensor:
    """Log-probability of whole choices (B, H): the sum over their heads, (B,)."""
    return log_probabilities.gather(-1, choices[..., None]).sum((-1, -2))


def entropies(log_probabilities: Tensor) -> Tensor:
    """Summed over the heads, (B,) of (B, H, widest); what is masked adds nothing."""
    return -(log_probabilities.exp() * log_probabilities).sum((-1, -2))


def advantages(rewards: Tensor, values: Tensor, dones: Tensor, s: Settings) -> Tensor:
    """Generalised advantage estimation, (T, R) of rewards (T, R) and values (T + 1, R).

    Of a step after which time was up, the reward already holds gamma times the value of what was
    seen last, since `values` after it are another episode's (Pardo et al., arXiv 1712.00378).
    """
    result, running = torch.empty_like(rewards), torch.zeros_like(rewards[0])
    for t in range(len(rewards) - 1, -1, -1):
        onward = s.gamma * (1 - dones[t])
        running = rewards[t] + onward * values[t + 1] - values[t] + s.gae_lambda * onward * running
        result[t] = running
    return result


def clipped_surrogate(ratio: Tensor, gains: Tensor, clip_ratio: float) -> Tensor:
    """PPO's objective (equation 7), elementwise, to be made large."""
    return torch.min(ratio * gains, ratio.clamp(1 - clip_ratio, 1 + clip_ratio) * gains)


def next_multiplier(multiplier: float, constraint: float, s: Settings) -> float:
    """Dual ascent: up while the mean constraint is past its limit, down within, never < 0."""
    moved = multiplier + s.multiplier_rate * (constraint - s.constraint_limit)
    return min(max(moved, 0.0), s.largest_multiplier)


# -- the nets ------------------------------------------------------------------------------------


class ActorCritic(nn.Module):
    """Two small nets. The logits of all heads are padded to the widest; the padding is masked."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, inputs: int, head_sizes: Sequence[int], hidden: int, seed: int) -> None:
        super().__init__()
        self.widest, places = max(head_sizes), enumerate(head_sizes)
        self.columns = [head * self.widest + at for head, size in places for at in range(size)]
        generator = torch.Generator().manual_seed(seed)
        # A first policy that hardly prefers anything explores best: hence the 0.01.
        logits = len(head_sizes) * self.widest
        self.actor = perceptron((inputs, hidden, hidden, logits), 0.01, generator)
        self.critic = perceptron((inputs, hidden, hidden, 1), 1.0, generator)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))

    def scaled(self, obs: Any) -> Tensor:
        """As the nets read it, (..., I)."""
        return (torch.as_tensor(obs) - self.mean) / self.deviation

    def log_probabilities(self, scaled: Tensor, masks: Tensor) -> Tensor:
        """(B, H, widest) of (B, I) and masks (B, H, widest)."""
        return masked_log_softmax(self.actor(scaled).view(masks.shape), masks)

    def values(self, scaled: Tensor) -> Tensor:
        """(...,) of (..., I)."""
        return self.critic(scaled).squeeze(-1)  # type: ignore[no-any-return]

    @torch.no_grad()
    def member(self) -> Member:
        """The weights as plain arrays, without the padding."""
        arrays = [(x.weight[to].T.numpy(), x.bias[to].numpy()) for x, to in self.parts()]
        layers = tuple(Layer(weight.copy(), bias.copy()) for weight, bias in arrays)
        scaling = self.mean.numpy().copy(), self.deviation.numpy().copy()
        return Member(*scaling, layers[:3], layers[3:])

    @torch.no_grad()
    def adopt(self, member: Member) -> None:
        """Take over the weights of a member with the same heads."""
        self.mean.copy_(torch.from_numpy(member.mean))
        self.deviation.copy_(torch.from_numpy(member.deviation))
        for (x, to), layer in zip(self.parts(), member.actor + member.critic, strict=True):
            x.weight[to] = torch.from_numpy(layer.weight.T)
            x.bias[to] = torch.from_numpy(layer.bias)

    @torch.no_grad()
    def lean(self, logits: Sequence[float]) -> None:
        """Prefer some choices whatever is seen."""
        layer, columns = self.parts()[2]
        layer.bias[columns] = torch.tensor(logits)

    def parts(self) -> list[tuple[Any, Any]]:
        """The actor's layers, then the critic's, each with its rows that count."""
        layers = [net[place] for net in (self.actor, self.critic) for place in (0, 2, 4)]
        return [(x, self.columns if x is self.actor[4] else slice(None)) for x in layers]


def perceptron(widths: Sequence[int], gain: float, generator: torch.Generator) -> nn.Sequential:
    """Three affine layers with tanh between, orthogonal at the start; `gain` is the last one's."""
    layers = [nn.Linear(narrow, wide) for narrow, wide in pairwise(widths)]
    for layer, size in zip(layers, (2**0.5, 2**0.5, gain), strict=True):
        nn.init.orthogonal_(layer.weight, size, generator)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


# -- the algorithm -------------------------------------------------------------------------------


class Learner:
    """A training under way: what a checkpoint keeps, and the environment where it stands."""

    def __init__(
        self, environment: Environment, s: Settings, seed: int, start: Member | None
    ) -> None:
        self.environment, self.s, self.seed, self.start = environment, s, seed, start
        self.update, self.updates = 0, max(1, s.decisions // (s.steps * environment.rows))
        self.multiplier, self.records = s.multiplier_start, list[Record]()
        self.best, self.best_score = dict[str, Tensor](), -float("inf")
        self.begin_stretch()
        self.head_sizes = tuple(mask.shape[1] for mask in self.masks)
        hidden = s.hidden if start is None else len(start.actor[0].bias)
        self.model = ActorCritic(self.obs.shape[1], self.head_sizes, hidden, seed)
        if start is not None:
            self.model.adopt(start)
        elif s.leaning:
            self.model.lean(s.leaning)
        self.adam = torch.optim.Adam(self.model.parameters(), eps=1e-5, fused=True)
        self.generator = torch.Generator().manual_seed(seed)
        shape, heads = (s.steps, environment.rows), len(self.head_sizes)
        self.seen = torch.zeros(s.steps + 1, *self.obs.shape)  # scaled
        self.open = torch.zeros(*shape, heads, self.model.widest, dtype=torch.bool)  # the masks
        self.choices = torch.zeros(*shape, heads, dtype=torch.int64)
        self.log_probs, self.rewards, self.dones = (torch.zeros(shape) for _ in range(3))

    def begin_stretch(self) -> None:
        """The environment anew; its luck follows from the seed and the update alone."""
        luck = np.random.SeedSequence((self.seed, self.update)).generate_state(1)
        self.obs, self.masks = self.environment.reset(int(luck[0]))

    def is_due(self, every_updates: int) -> bool:
        """Whether the last update was the last before a pause, or of all."""
        return self.update % every_updates == 0 or self.update == self.updates

    def learn(self) -> Record:
        """One update: act, ask the critic, improve, and set the price of the constraint."""
        started_at, s = time.perf_counter(), self.s
        if self.update == 0 and self.start is None:
            self.look_around()
        elif self.update > 0 and self.is_due(s.stretch_updates):
            self.begin_stretch()
        record = self.act()
        with torch.no_grad():
            values = self.model.values(self.seen)
        gains = advantages(self.rewards, values, self.dones, s)
        returns = gains + values[:-1]
        record["explained_variance"] = 1 - (gains.var() / returns.var().clamp(min=1e-12)).item()
        record |= self.improve(gains.flatten(), returns.flatten())
        self.multiplier = next_multiplier(self.multiplier, record["constraint"], s)
        self.update += 1
        record |= {"update": self.update, "decisions": self.update * gains.numel()}
        record |= {"multiplier": self.multiplier, "seconds": time.perf_counter() - started_at}
        self.records.append(record)
        return record

    def look_around(self) -> None:
        """Scale the inputs by their mean and deviation under the first policy, once for all."""
        self.act()
        raw = self.seen.flatten(0, 1)
        self.model.mean.copy_(raw.mean(0))
        # What hardly varied in a first look must not become loud when it does.
        self.model.deviation.copy_(raw.std(0).clamp(min=0.1))

    @torch.no_grad()
    def act(self) -> Record:
        """Fill the buffers with decisions of the present policy."""
        totals, seconds, open_now = np.zeros(2), 0.0, self.open.numpy()
        for t in range(self.s.steps):
            self.seen[t] = self.model.scaled(self.obs)
            for head, mask in enumerate(self.masks):
                open_now[t, :, head, : mask.shape[1]] = mask
            log_probabilities = self.model.log_probabilities(self.seen[t], self.open[t])
            self.choices[t] = drawn(log_probabilities, self.generator)
            self.log_probs[t] = of_choices(log_probabilities, self.choices[t])
            asked_at = time.perf_counter()
            step = self.environment.step(self.choices[t].numpy())
            seconds += time.perf_counter() - asked_at
            self.obs, self.masks = step.obs, step.masks
            totals += step.reward.mean(), step.constraint.mean()
            self.rewards[t] = torch.as_tensor(step.reward - self.multiplier * step.constraint)
            self.dones[t] = done = torch.as_tensor(step.done)
            if step.done.any():
                beyond = self.model.values(self.model.scaled(step.final_obs[step.done]))
                self.rewards[t, done] += self.s.gamma * beyond
        self.seen[-1] = self.model.scaled(self.obs)
        reward, constraint = (totals / self.s.steps).tolist()
        return {"reward": reward, "constraint": constraint, "environment_seconds": seconds}

    def improve(self, gains: Tensor, returns: Tensor) -> Record:
        """Passes of gradient steps over the buffers; advantages and returns are (T * R,)."""
        s, left = self.s, 1 - self.update / self.updates
        lowest = s.last_learning_rate_ratio
        rate = self.adam.param_groups[0]["lr"] = s.learning_rate * (lowest + (1 - lowest) * left)
        gains = (gains - gains.mean()) / (gains.std() + 1e-8)
        columns = [x.flatten(0, 1) for x in (self.seen[:-1], self.open, self.choices)]
        columns += [self.log_probs.flatten(), gains, returns]
        moves_actor, losses, figures = self.update >= s.critic_updates, [], list[list[float]]()
        for _ in range(s.epochs):
            for places in torch.randperm(len(gains), generator=self.generator).split(s.minibatch):
                some = [column[places] for column in columns]
                loss = 0.5 * (self.model.values(some[0]) - some[-1]).square().mean()
                losses.append(loss.item())
                if moves_actor:
                    actor_loss, figure = self.actor_loss(some, left)
                    figures.append(figure)
                    moves_actor = figure[FIGURES.index("kl")] <= s.largest_kl
                    loss = loss + actor_loss if moves_actor else loss
                self.descend(loss)
        means = zip(FIGURES, np.mean(figures, axis=0).tolist(), strict=True) if figures else ()
        return {"value_loss": float(np.mean(losses)), "learning_rate": rate, **dict(means)}

    def actor_loss(self, some: list[Tensor], left: float) -> tuple[Tensor, list[float]]:
        """What the actor makes small, and FIGURES, for a minibatch."""
        seen, open_, choices, old, gains, _ = some
        log_probabilities = self.model.log_probabilities(seen, open_)
        log_ratio = of_choices(log_probabilities, choices) - old
        ratio = log_ratio.exp()
        surrogate = clipped_surrogate(ratio, gains, self.s.clip_ratio).mean()
        entropy = entropies(log_probabilities).mean()
        with torch.no_grad():
            kl = (ratio - 1 - log_ratio).mean()  # never below 0 (Schulman, Approximating KL, 2020)
            clips = ((ratio - 1).abs() > self.s.clip_ratio).float().mean()
        figures = [x.item() for x in (surrogate, entropy, kl, clips)]
        return -surrogate - left * self.s.entropy_coefficient * entropy, figures

    def descend(self, loss: Tensor) -> None:
        self.adam.zero_grad()  # to None: Adam leaves a net alone that the loss knows nothing of
        loss.backward()
        for net in (self.model.actor, self.model.critic):
            nn.utils.clip_grad_norm_(net.parameters(), self.s.largest_gradient)
        self.adam.step()

    def hear(self, judge: Callable[[Network], float]) -> None:
        """Keep the weights that the judge likes best."""
        score = float(judge(Network(self.head_sizes, (self.model.member(),))))
        self.records[-1]["score"] = score
        if score > self.best_score:
            self.best_score, self.best = score, deepcopy(self.model.state_dict())

    def trained(self) -> Trained:
        if self.best:
            self.model.load_state_dict(self.best)
        return Trained(self.model.member(), self.head_sizes, self.records, self.seed)

    # -- checkpoints

    def keep(self, path: Path) -> None:
        """Write all that the rest of the training follows from, or nothing."""
        state = {name: getattr(self, name) for name in KEPT}
        state |= {"settings": asdict(self.s), "generator": self.generator.get_state()}
        state |= {"model": self.model.state_dict(), "adam": self.adam.state_dict()}
        torch.save(state, draft := path.with_name(path.name + ".part"))
        draft.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same training."""
        state = torch.load(path, weights_only=True)
        if (state["settings"], state["seed"]) != (asdict(self.s), self.seed):
            raise ValueError(
                f"{path} is of another training (settings or seed differ): remove it to start "
                "anew, or give the settings and the seed that it was made with"
            )
        for name in KEPT:
            setattr(self, name, state[name])
        self.model.load_state_dict(state["model"])
        self.adam.load_state_dict(state["adam"])
        self.generator.set_state(state["generator"])


FIGURES = ("surrogate", "entropy", "kl", "clip_fraction")
KEPT = ("seed", "update", "multiplier", "records", "best", "best_score")
