"""Tuning: the knobs of every baseline by CMA-ES on the training episodes.

    python app.py tune --trace FILE

The covariance-matrix adaptation (Hansen, The CMA Evolution Strategy: A Tutorial, 2016) samples a
population of knobs; all of it plays all episodes in one batch, so that every candidate meets the
same customers, market and failures. Knobs are searched on the unit cube between their bounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from engine.policies import Floats, Knob, parameters, rule
from engine.policies.pricing import PRICINGS
from engine.policies.registry import Baseline, baseline, baselines
from engine.simulator.episode_sources import training_episodes
from engine.simulator.episodes import Episode
from engine.simulator.metrics import profit
from engine.simulator.pools import play
from engine.simulator.trace_weeks import trace_episodes, weeks_between

FIRST_DAY, LAST_DAY = datetime(2017, 9, 25, tzinfo=UTC), datetime(2017, 11, 5, tzinfo=UTC)
"""The trace's training weeks; later ones validate and report."""
WARM_TICKS, MEASURED_TICKS = 96, 336
"""A generated episode is a day to warm up and half a week: their weeks begin at any hour."""
LARGEST_NODES = 60
START_DEVIATION = 0.15
"""of the first population, over the width of each knob"""
NO_CMA = (
    "tuning needs the library `cma`, which is not installed: "
    'install the learning extra (pip install ".[learn]") or keep the tuned parameters'
)


_HERE = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


class Objective(Protocol):
    """What is made as large as can be: knobs (P, K) to values (P,)."""

    def __call__(self, knobs: Floats) -> Floats: ...


@dataclass(frozen=True)
class Tuning:
    """What came of tuning one policy."""

    name: str
    knobs: dict[str, float]
    profit_ratio: float
    """mean over the episodes of the profit over what the owned GPUs would bring at the market's
    long-run price, every hour of the span"""
    start_ratio: float
    """the same with the knobs that it began with"""
    evaluations: int
    seconds: float


@dataclass(frozen=True)
class Budget:
    """How long is searched; whichever comes first ends it."""

    seconds: float
    generations: int
    population: int = 10
    seed: int = 1


@dataclass(eq=False)
class MeanProfit:
    """The mean profit of a baseline over episodes, each over its pool's size and price."""

    policy: Baseline
    warm_up: Baseline
    episodes: Sequence[Episode]
    threads: int = 1
    evaluations: int = field(default=0, init=False)

    def __call__(self, knobs: Floats) -> Floats:
        """Knobs (P, K) to the objective (P,); every candidate plays every episode."""
        count = len(self.episodes)
        policy = self.policy.with_knobs(np.repeat(knobs, count, axis=0))
        met = play(list(self.episodes) * len(knobs), policy, self.warm_up, threads=self.threads)
        self.evaluations += len(knobs)
        ratios = profit(met).reshape(len(knobs), count) / _size_usd(self.episodes)
        means: Floats = ratios.mean(axis=1)
        return means


def _size_usd(episodes: Sequence[Episode]) -> Floats:
    return np.array(
        [
            e.settings.owned_nodes
            * e.settings.node_gpus
            * e.settings.market_usd_per_gpu_hour
            * (e.ticks - e.warm_ticks)
            / 4
            for e in episodes
        ]
    )


def best_knobs(
    tunables: Sequence[Knob], start: Floats, objective: Objective, budget: Budget
) -> tuple[Floats, float]:
    """The best knobs found, shape (K,), and their value; never worse than `start`.

    Raises:
        ModuleNotFoundError: the library `cma` is missing.
    """
    search = _search(tunables, start, budget)
    low, width = _box(tunables)
    best, value = start, float(objective(start[None])[0])
    deadline = time.monotonic() + budget.seconds
    for turn in range(budget.generations):
        if time.monotonic() > deadline or search.stop():
            break
        asked = search.ask()
        values = objective(low + width * np.array(asked))
        search.tell(asked, list(-values))
        if values.max() > value:
            best, value = low + width * np.array(asked[int(values.argmax())]), float(values.max())
        if turn % 5 == 0:
            _say(f"  generation {turn:3d}  mean {values.mean():.4f}  best {value:.4f}")
    # The centre of the search averages the luck of single candidates out.
    centre = low + width * np.clip(np.array(search.result.xfavorite), 0, 1)
    central = float(objective(centre[None])[0])
    return (centre, central) if central >= value else (best, value)


def _search(tunables: Sequence[Knob], start: Floats, budget: Budget) -> Any:
    try:
        with warnings.catch_warnings():
            # It regrets at import that it cannot draw.
            warnings.simplefilter("ignore")
            import cma
    except ModuleNotFoundError:
        raise ModuleNotFoundError(NO_CMA) from None
    low, width = _box(tunables)
    options = {
        "bounds": [0, 1],
        "popsize": budget.population,
        "seed": budget.seed,
        "verbose": -9,
        "tolfun": 1e-5,
        "tolx": 1e-3,
    }
    inside = np.clip((start - low) / width, 0.02, 0.98)
    return cma.CMAEvolutionStrategy(list(inside), START_DEVIATION, options)


def _box(tunables: Sequence[Knob]) -> tuple[Floats, Floats]:
    low = np.array([knob.low for knob in tunables])
    return low, np.array([knob.high for knob in tunables]) - low


def warm_start(policy: Baseline) -> Floats:
    """Where tuning begins, shape (K,): what tuning found before, for it or for its kin.

    The knobs of a capacity are taken from where it was tuned with other prices, and those of a
    pricing from where it was tuned with another capacity, the best first.
    """
    known = parameters.tuned()
    parts = set(policy.name.split("+"))
    kin = [name for name in known if parts & set(name.split("+"))]
    values: dict[str, float] = {}
    for name in [*sorted(kin, key=lambda name: known[name]["profit_ratio"]), policy.name]:
        if name in known:
            shared = {knob.name for knob in policy.tunables if _is_shared(knob, policy, name)}
            found = known[name]["knobs"]
            values |= {one: found[one] for one in shared & set(found)}
    return parameters.in_order(policy.tunables, values)


def _is_shared(knob: Knob, policy: Baseline, kin: str) -> bool:
    # Two capacities may use one name for two things, so that the part must be the same.
    prices = {one.name for knobs, _ in PRICINGS.values() for one in knobs}
    capacity, _, pricing = policy.name.partition("+")
    kin_capacity, _, kin_pricing = kin.partition("+")
    return pricing == kin_pricing if knob.name in prices else capacity == kin_capacity


def tuned(policy: Baseline, episodes: Sequence[Episode], budget: Budget) -> Tuning:
    """A baseline's knobs, tuned on from where tuning stands."""
    began = time.monotonic()
    policy = policy.with_knobs(warm_start(policy))
    own = policy.name == rule.NAME
    objective = MeanProfit(policy, policy if own else baseline(rule.NAME), episodes)
    start = float(objective(policy.knobs[None])[0])
    knobs, value = best_knobs(policy.tunables, policy.knobs, objective, budget)
    names = (knob.name for knob in policy.tunables)
    return Tuning(
        name=policy.name,
        knobs={name: round(float(one), 4) for name, one in zip(names, knobs, strict=True)},
        profit_ratio=value,
        start_ratio=start,
        evaluations=objective.evaluations,
        seconds=time.monotonic() - began,
    )


def episodes_for_tuning(generated: int, trace: Path | None, seed: int) -> list[Episode]:
    """Generated pools, and every other training week of a trace where one is given."""
    drawn = training_episodes(
        generated, seed, ticks=WARM_TICKS + MEASURED_TICKS, largest_nodes=LARGEST_NODES
    )
    episodes = [replace(one, warm_ticks=WARM_TICKS) for one in drawn]
    if trace is not None:
        episodes += trace_episodes(trace, weeks_between(FIRST_DAY, LAST_DAY)[::2], [seed])
    return episodes


def write(path: Path, tunings: Sequence[Tuning], command: str, machine: str) -> None:
    """Adds the tunings to the file of parameters; what it held of other policies stays."""
    known: dict[str, Any] = {"policies": {}}
    if path.exists():
        known = json.loads(path.read_text("utf-8"))
    for one in tunings:
        known["policies"][one.name] = {
            "knobs": one.knobs,
            "profit_ratio": round(one.profit_ratio, 5),
            "start_ratio": round(one.start_ratio, 5),
            "evaluations": one.evaluations,
            "seconds": round(one.seconds),
            "command": command,
            "machine": machine,
            "date": datetime.now(UTC).date().isoformat(),
        }
    path.write_text(json.dumps(known, indent=2) + "\n", "utf-8")
    parameters.tuned.cache_clear()


def main(argv: Sequence[str] | None = None) -> None:
    """`python app.py tune`: tunes the named baselines, all by default, and keeps what it found."""
    asked = _arguments(argv)
    names = asked.policies or list(baselines())
    if asked.show:
        _show(names)
        return
    episodes = episodes_for_tuning(asked.episodes, asked.trace, asked.seed)
    _say(f"{len(episodes)} training episodes, {asked.generations} generations a policy")
    budget = Budget(60 * asked.minutes, asked.generations, asked.population, asked.seed)
    for name in names:
        _say(name)
        one = tuned(baseline(name), episodes, budget)
        _say(f"  {one.start_ratio:.4f} -> {one.profit_ratio:.4f} in {one.seconds:.0f} s")
        for knob, value in one.knobs.items():
            _say(f"    {knob} {value:g}")
        write(asked.output, [one], _command(argv), asked.machine)


def _show(names: Sequence[str]) -> None:
    for name in names:
        policy = baseline(name)
        _say(name)
        for knob, value in zip(policy.tunables, policy.knobs, strict=True):
            _say(f"    {knob.name} {value:g}  ({knob.low:g} to {knob.high:g}): {knob.sentence}")


def _command(argv: Sequence[str] | None) -> str:
    words = sys.argv[1:] if argv is None else list(argv)
    return f"python app.py tune {shlex.join(words)}"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python app.py tune", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("policies", nargs="*", metavar="POLICY")
    parser.add_argument("--trace", type=Path, help="a trace whose training weeks are played too")
    parser.add_argument("--episodes", type=int, default=20, help="generated ones (default 20)")
    parser.add_argument("--minutes", type=float, default=30, help="at most, for each policy")
    parser.add_argument("--generations", type=int, default=25, help="for each policy")
    parser.add_argument("--population", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=parameters.PATH)
    parser.add_argument("--machine", default=_HERE, help="for the record")
    parser.add_argument("--show", action="store_true", help="print the knobs and tune nothing")
    return parser.parse_args(argv)


def _say(text: str) -> None:
    print(text, flush=True)
